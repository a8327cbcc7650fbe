"""The engine's way to the journal: large bodies go to blobs, and every write arrives once.

A commit may have been applied although its acknowledgement was lost. So after a failed call the
journal is asked whether the records are there before they are written again.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from orchestration.clock import Clock
from orchestration.errors import NotFoundError, StoreError
from orchestration.ids import BlobId, RunId, StepGrant
from orchestration.workflow.codec import Codec
from orchestration.workflow.facts import History, Text, read_spill, spill_body
from orchestration.workflow.journal import (
    Journal,
    Lease,
    NewRecord,
    Record,
    RecordKind,
    RunStatus,
)
from orchestration.workflow.migrations import migrated
from orchestration.workflow.values import MissingBlobError, Stored

T = TypeVar("T")

LARGE = 32 * 1024
"""Bytes from which a payload lives in the blob table."""
_PAGE = 10_000
_PATIENCE_S = (0.05, 0.2, 0.5, 1.0, 2.0)
"""Waits between tries while the store is away; whoever calls gives up when its lease ends."""


async def load(
    journal: Journal, run_id: RunId, *, kinds: Sequence[RecordKind] | None = None
) -> History:
    """Read and fold a run's records."""
    return History().fold(await read_all(journal, run_id, kinds=kinds))


async def read_all(
    journal: Journal, run_id: RunId, *, kinds: Sequence[RecordKind] | None = None
) -> list[Record]:
    """A run's records, whole and of the present version."""
    stored = await read_stored(journal, run_id, kinds=kinds)
    return [migrated(await unspilled(journal, record)) for record in stored]


async def read_stored(
    journal: Journal, run_id: RunId, *, kinds: Sequence[RecordKind] | None = None
) -> list[Record]:
    """A run's records as they are stored."""
    found: list[Record] = []
    while True:
        after = found[-1].seq if found else 0
        page = await journal.read(run_id, after=after, kinds=kinds, limit=_PAGE)
        found += page
        if len(page) < _PAGE:
            return found


async def unspilled(journal: Journal, record: Record) -> Record:
    """The record with its own body, wherever that is kept."""
    blob = read_spill(record.body)
    if blob is None:
        return record
    return replace(record, body=(await journal.get_blob(blob)).decode())


async def loaded(journal: Journal, read: Callable[[], T]) -> T:
    """Call `read`, fetching the blobs that its values lie in."""
    while True:
        try:
            return read()
        except MissingBlobError as missing:
            await fetch(journal, missing.stored)


async def fetch(journal: Journal, stored: Stored) -> None:
    """Load a value's text from its blob."""
    assert stored.text.blob is not None, "a value without a blob has its text"
    stored.loaded = (await journal.get_blob(stored.text.blob)).decode()


class Storage:
    """Writes for one run."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        still_ours: Callable[[], bool],
        lost: Callable[[Exception], None] = lambda _: None,
    ) -> None:
        """`lost` hears why the store was given up: that ends the drive, and fails no step."""
        self.journal = journal
        self._clock = clock
        self._still_ours = still_ours
        self._lost = lost

    async def store(self, codec: Codec[object], value: object) -> Stored:
        """Encode a value and, if it is large, put it into the blob table."""
        text, copy = codec.encode(value)
        stored = Stored(await self.text(text), codec, copy)
        stored.loaded = text
        return stored

    async def text(self, text: str) -> Text:
        """Keep text inline, or in a blob when it is large."""
        if len(text) <= LARGE:
            return Text(inline=text)
        return Text(blob=await self._blob(text))

    async def append(
        self,
        lease: Lease,
        records: Sequence[NewRecord],
        *,
        status: RunStatus | None = None,
        release: bool = False,
        wake_at: float | None = None,
    ) -> int:
        """Append control records, once."""
        small = [await self._small(record) for record in records]

        async def write() -> int:
            return await self.journal.append(
                lease, small, status=status, release=release, wake_at=wake_at
            )

        async def landed() -> int | None:
            if not small:
                info = await self.journal.info(lease.run_id)
                given_up = release and info.epoch == lease.epoch and not info.owner
                return info.seq if given_up and info.status is status else None
            return await self._landed(lease.run_id, small, lease.epoch)

        return await self._surely(write, landed)

    async def append_under(self, grant: StepGrant, record: NewRecord) -> int:
        """Append a step's own record, once."""
        own = replace(record, step_key=grant.step_key, attempt=grant.attempt)

        async def write() -> int:
            return await self.journal.append_under(grant, [own])

        async def landed() -> int | None:
            return await self._landed(grant.run_id, [own], grant.epoch)

        return await self._surely(write, landed)

    async def loaded(self, read: Callable[[], T]) -> T:
        """Call `read`, fetching the blobs that its values lie in."""
        return await self._patiently(lambda: loaded(self.journal, read))

    async def effects(self, grant: StepGrant) -> list[Record]:
        """The effects that attempts of this step have recorded."""
        kinds = [RecordKind.EFFECT]
        return await self._patiently(
            lambda: self.journal.read(grant.run_id, step_key=grant.step_key, kinds=kinds)
        )

    async def _patiently(self, read: Callable[[], Awaitable[T]]) -> T:
        """Read, waiting a while for a store that is away. What is gone or torn stays so."""
        tries = 0
        while True:
            try:
                return await read()
            except NotFoundError as error:
                self._lost(error)
                raise
            except StoreError as error:
                tries += 1
                if tries > len(_PATIENCE_S) or not self._still_ours():
                    self._lost(error)
                    raise
                await self._clock.sleep(_PATIENCE_S[tries - 1])

    async def _blob(self, text: str) -> BlobId:
        async def write() -> BlobId:
            return await self.journal.put_blob(text.encode())

        async def landed() -> BlobId | None:
            return None  # putting the same content twice stores it once

        return await self._surely(write, landed)

    async def _small(self, record: NewRecord) -> NewRecord:
        if len(record.body) <= LARGE:
            return record
        return replace(record, body=spill_body(record, await self._blob(record.body)))

    async def _landed(self, run_id: RunId, records: Sequence[NewRecord], epoch: int) -> int | None:
        """The sequence number of the last of these records if they are in the journal."""
        last = records[-1]
        found = await self.journal.read(run_id, step_key=last.step_key, kinds=[last.kind])
        for record in found:
            same = (record.attempt, record.epoch) == (last.attempt, epoch)
            if same and record.body == last.body:
                return record.seq
        return None

    async def _surely(
        self,
        write: Callable[[], Awaitable[T]],
        landed: Callable[[], Awaitable[T | None]],
    ) -> T:
        tries = 0
        while True:
            try:
                if tries and (result := await landed()) is not None:
                    return result
                return await write()
            except StoreError as error:
                tries += 1
                if not self._still_ours():
                    self._lost(error)
                    raise
                await self._clock.sleep(_PATIENCE_S[min(tries, len(_PATIENCE_S)) - 1])
