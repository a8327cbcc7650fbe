"""The desk's protocol: two plugs, one at the store itself and one that asks a hall over HTTP.

Every door stands on it: the commands, the HTTP API, `manta mcp`, editors, and `cluster.Manta`.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from actors.evidence import Evidence
from cluster.desk.deciding import Verdict
from cluster.desk.overhearing import Doing
from cluster.desk.wire import (
    Cancelled,
    DiffShown,
    GraphShown,
    Letter,
    PlanShown,
    Recorded,
    RunDetail,
    RunPage,
)
from cluster.desk.wishing import Wishes
from cluster.handover.handing import Handover
from cluster.intake import Order
from orchestration.events import Event
from orchestration.ids import RunId
from orchestration.messages import Delivery


@dataclass(frozen=True, slots=True)
class Submitted:
    """A run that is driven, or waits for its turn."""

    run_id: RunId
    is_new: bool
    """False where a run of this id was there, and this is the same."""
    notes: tuple[str, ...] = ()
    """What the person should know of the repository."""


class Desk(Protocol):
    """What can be done with runs.

    Every method raises NotFoundError for a run that is not there, UsageError for what cannot be
    meant, ConflictError for what came too late, and InfrastructureError where nobody answers.
    """

    async def submit(self, order: Order, wishes: Wishes | None = None) -> Submitted:
        """Take an order in and see to it that it is driven; returns before it is done."""
        ...

    async def runs(self, *, limit: int = 50, offset: int = 0) -> RunPage:
        """Runs, newest first."""
        ...

    async def run(self, run_id: RunId) -> RunDetail:
        """One run as it stands, with what it asks."""
        ...

    def events(
        self, run_id: RunId, *, after: int = 0, follow: bool = True
    ) -> AsyncGenerator[Event]:
        """What happens after a number, until the run ends, waits for a person, or is left behind.

        A lost connection is taken up again; nothing is missed or told twice. Without `follow` only
        what has happened by now.
        """
        ...

    async def doing(self, run_id: RunId) -> Doing:
        """What models say right now, as far as they can be overheard; not part of the events."""
        ...

    async def plan(self, run_id: RunId) -> PlanShown: ...

    async def diff(self, run_id: RunId) -> DiffShown: ...

    async def evidence(self, run_id: RunId) -> Evidence: ...

    async def graph(self, run_id: RunId) -> GraphShown: ...

    async def delivery(self, run_id: RunId) -> tuple[Delivery, bytes]:
        """What was delivered, and its branch as a git bundle built on the base commit."""
        ...

    async def patch(self, run_id: RunId) -> bytes:
        """What was delivered as one mail, for `git am` and `git apply`."""
        ...

    async def letter(self, run_id: RunId) -> Letter:
        """What was delivered in the words of a pull request."""
        ...

    async def hand_over(self, run_id: RunId, *, make: bool, home: Path | None = None) -> Handover:
        """What became of a finished run's result on this machine, if anything did.

        With `make` what its request names is done, where that can be done here; else its branch is
        made in the repository `home`, if one is named.
        """
        ...

    async def decide(self, run_id: RunId, verdict: Verdict, *, resume: bool = True) -> Recorded:
        """Record what a person says. The first decision counts.

        With `resume` the run goes on by itself once nothing is asked any more. What is in the way
        of that is told in the answer: the decision stands.
        """
        ...

    async def resume(self, run_id: RunId, *, take_over: bool = False) -> None:
        """See to it that a run is driven on.

        Raises:
            RunOwnedError: somebody drives it already.
        """
        ...

    async def cancel(self, run_id: RunId, *, by: str) -> Cancelled:
        """Ask a run to stop, wherever it is driven."""
        ...
