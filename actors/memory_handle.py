"""Memory, spoken to its actor. What is slow or gone is said, and keeps nobody waiting."""

import asyncio
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from actors.handles import ActorHandle, ResidentHandle
from actors.memory import PIECES, IndexReport, Lesson, RecallReport, SourceFile
from actors.meter import RECALLS, Meter, Silence
from actors.vector_store.protocol import RowKind
from orchestration.errors import MantaError, StoreError

T = TypeVar("T")
GRACE_S = 1.0
"""Beyond the time that memory gives itself: a process that hangs cannot keep time."""
PATIENCE_S = 120.0
"""For one batch of files, or one lesson."""
KINDS: tuple[RowKind, ...] = ("code", "lesson")


class MemoryHandle(ResidentHandle):
    """A client of memory's actor. `recall` never raises."""

    def __init__(
        self,
        actor: ActorHandle,
        name: str,
        *,
        recall_s: float = 1.5,
        meter: Meter | None = None,
    ) -> None:
        super().__init__(actor, name)
        self._recall_s = recall_s
        self._meter = meter or Silence()

    async def recall(
        self, repository: str, query: str, *, limit: int = PIECES, kinds: Sequence[RowKind] = KINDS
    ) -> RecallReport:
        began = time.monotonic()
        report = await self._recalled(repository, query, limit, kinds)
        outcome = "answered" if report.consulted else "missed"
        self._meter.observe(RECALLS, time.monotonic() - began, outcome=outcome)
        return report

    async def _recalled(
        self, repository: str, query: str, limit: int, kinds: Sequence[RowKind]
    ) -> RecallReport:
        try:
            asked = self._ask("recall", repository, query, limit=limit, kinds=kinds, again=False)
            return await asyncio.wait_for(asked, self._recall_s + GRACE_S)
        except TimeoutError:
            return RecallReport(
                note="memory's process does not answer; not consulted", consulted=False
            )
        except MantaError as error:
            return RecallReport(note=f"memory is unavailable: {error}", consulted=False)

    async def manifest(self, repository: str) -> dict[str, str]:
        return await _soon(self._ask("manifest", repository))

    async def index(
        self,
        repository: str,
        commit: str,
        files: Mapping[str, SourceFile],
        removed: Sequence[str] = (),
    ) -> IndexReport:
        return await _soon(self._ask("index", repository, commit, files, removed))

    async def remember(self, repository: str, lesson: Lesson) -> None:
        await _soon(self._ask("remember", repository, lesson))

    async def drop(self, repository: str, kinds: Sequence[RowKind] = KINDS) -> int:
        return await _soon(self._ask("drop", repository, kinds))

    async def close(self) -> None:
        """Memory outlives its clients."""

    def recaller(self, repository: str) -> "RepositoryRecall":
        """Recall confined to one repository, for a player's tools."""
        return RepositoryRecall(self, repository)


@dataclass(frozen=True, slots=True)
class RepositoryRecall:
    """Implements the tools' `Recaller`. The repository is ours to say, never the model's."""

    memory: MemoryHandle
    repository: str

    async def recall(self, query: str, *, limit: int) -> RecallReport:
        return await self.memory.recall(self.repository, query, limit=limit)


async def _soon(work: Awaitable[T]) -> T:
    try:
        return await asyncio.wait_for(work, PATIENCE_S)
    except TimeoutError:
        raise StoreError(
            f"memory's process has not answered for {PATIENCE_S:.0f} s",
            "look at its log in Ray's dashboard, or end the cluster with `manta down`",
        ) from None
