"""The journal protocol over any database that performs verbs."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Self, TypeVar

from actors.journal import verbs
from actors.journal.verbs import Verb
from orchestration.ids import BlobId, RunId, StepGrant, StepKey
from orchestration.workflow.journal import (
    Lease,
    NewRecord,
    Record,
    RecordKind,
    RunInfo,
    RunStatus,
)

T = TypeVar("T")


class SqlJournal(ABC):
    """All of `Journal` but blobs; a plug says how one verb becomes one transaction.

    A call that is cancelled may happen all the same, or not at all; never by half.
    """

    def __init__(self, *, poll_s: float | None) -> None:
        """`poll_s`: how often to look for other processes' records; None if there are none."""
        self._poll_s = poll_s
        self._watchers: dict[RunId, set[asyncio.Event]] = {}

    @abstractmethod
    async def open(self) -> Self:
        """Make the store ready for use. Raises `StoreError` if that cannot be."""

    @abstractmethod
    async def _perform(self, begin: Callable[[], Verb[T]]) -> T:
        """Perform a verb, from its beginning each time it is tried, as one durable transaction."""

    @abstractmethod
    async def put_blob(self, content: bytes) -> BlobId: ...

    @abstractmethod
    async def get_blob(self, blob: BlobId) -> bytes: ...

    @abstractmethod
    async def close(self) -> None: ...

    async def create_run(
        self,
        run_id: RunId,
        *,
        workflow: str,
        definition: str,
        title: str,
        body: str,
        parent: RunId | None = None,
        records: Sequence[NewRecord] = (),
    ) -> bool:
        all_records = (NewRecord(RecordKind.CREATED, body=body), *records)
        return await self._perform(
            partial(verbs.create_run, run_id, workflow, definition, title, parent, all_records)
        )

    async def claim(
        self, run_id: RunId, owner: str, *, ttl_s: float = 15.0, take_over: bool = False
    ) -> Lease:
        return await self._write(run_id, partial(verbs.claim, run_id, owner, ttl_s, take_over))

    async def renew(self, lease: Lease, *, ttl_s: float = 15.0) -> Lease:
        return await self._perform(partial(verbs.renew, lease, ttl_s))

    async def release(self, lease: Lease, status: RunStatus) -> None:
        await self.append(lease, (), status=status, release=True)

    async def append(
        self,
        lease: Lease,
        records: Sequence[NewRecord],
        *,
        status: RunStatus | None = None,
        release: bool = False,
        wake_at: float | None = None,
    ) -> int:
        verb = partial(verbs.append, lease, tuple(records), status, release, wake_at)
        return await self._write(lease.run_id, verb)

    async def append_under(self, grant: StepGrant, records: Sequence[NewRecord]) -> int:
        verb = partial(verbs.append_under, grant, tuple(records))
        return await self._write(grant.run_id, verb)

    async def read(
        self,
        run_id: RunId,
        *,
        after: int = 0,
        step_key: StepKey | None = None,
        kinds: Sequence[RecordKind] | None = None,
        limit: int = 10_000,
    ) -> list[Record]:
        wanted = None if kinds is None else tuple(kinds)
        return await self._perform(partial(verbs.read, run_id, after, step_key, wanted, limit))

    async def wait(self, run_id: RunId, *, after: int, timeout_s: float) -> bool:
        written = asyncio.Event()
        watchers = self._watchers.setdefault(run_id, set())
        watchers.add(written)
        try:
            if (await self.info(run_id)).seq > after:
                return True
            async with asyncio.timeout(timeout_s):
                await self._see(run_id, after, written)
        except TimeoutError:
            return False
        finally:
            watchers.discard(written)
            if not watchers:
                self._watchers.pop(run_id, None)
        return True

    async def info(self, run_id: RunId) -> RunInfo:
        return await self._perform(partial(verbs.get_run, run_id))

    async def runs(self, *, limit: int = 100) -> list[RunInfo]:
        return await self._perform(partial(verbs.list_runs, limit))

    async def due(self, *, limit: int = 100) -> list[RunInfo]:
        return await self._perform(partial(verbs.due_runs, limit))

    async def request_cancel(self, run_id: RunId, *, by: str) -> bool:
        return await self._write(run_id, partial(verbs.request_cancel, run_id, by))

    async def decide(self, run_id: RunId, label: str, body: str, *, by: str) -> bool:
        return await self._write(run_id, partial(verbs.decide, run_id, label, body, by))

    async def _write(self, run_id: RunId, begin: Callable[[], Verb[T]]) -> T:
        outcome = await self._perform(begin)
        for written in self._watchers.get(run_id, ()):
            written.set()
        return outcome

    async def _see(self, run_id: RunId, after: int, written: asyncio.Event) -> None:
        """Return once the run has grown: this process wakes us, others are looked for."""
        while (await self.info(run_id)).seq <= after:
            try:
                async with asyncio.timeout(self._poll_s):
                    await written.wait()
            except TimeoutError:
                continue
            written.clear()
