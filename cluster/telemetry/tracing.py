"""Whether spans are written, and how a worker's process comes to its tracer."""

import logging
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from actors.agent.tracing import NoTracer, Tracer
from actors.resident import entry_point
from actors.supervisor import nobody
from cluster.configuration import keys
from orchestration.ids import RunId
from orchestration.workflow.journal import Journal

Traces = Literal["off", "on", "content"]
SPANS = "cluster.telemetry.spans:open_tracer"
"""Loaded only where spans are written."""
_log = logging.getLogger(__name__)


class RunTracer(Tracer, Protocol):
    """Follows agents in a player's process, and whole runs in a supervisor's."""

    def witness(
        self, journal: Journal, run_id: RunId, restarted: bool, /
    ) -> AbstractAsyncContextManager[None]: ...


class Untraced(NoTracer):
    """Writes nothing."""

    def witness(
        self, journal: Journal, run_id: RunId, restarted: bool, /
    ) -> AbstractAsyncContextManager[None]:
        return nobody(journal, run_id, restarted)


@dataclass(frozen=True, slots=True)
class Tracing:
    """What a worker is told of it. Holds no secret."""

    how: Traces = "off"
    variables: str = ""
    """A file with OpenTelemetry's variables; "" for the node's environment."""

    async def open(self) -> RunTracer:
        """The tracer; what goes wrong is logged, and the work goes on without."""
        if self.how == "off":
            return Untraced()
        try:
            keys.adopt(Path(self.variables) if self.variables else None)
            return await entry_point(SPANS)(self.how == "content")
        except Exception as error:  # noqa: BLE001 - a door: spans never fail the work
            _log.warning("no spans are written: %r", error)
            return Untraced()
