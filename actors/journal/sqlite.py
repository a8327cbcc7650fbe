"""The journal of one machine: an SQLite file with one writer, and blobs beside it."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Self, TypeVar

from actors.journal import state_directory
from actors.journal.blob_files import BlobFiles
from actors.journal.group_commit import GroupCommit
from actors.journal.migrations import MIGRATIONS, Migration, migrate
from actors.journal.rehearsal import rehearse
from actors.journal.sql_journal import SqlJournal
from actors.journal.sqlite_connection import SqliteConnection
from actors.journal.verbs import Verb
from orchestration.clock import Clock, SystemClock
from orchestration.ids import BlobId

T = TypeVar("T")


class SqliteJournal(SqlJournal):
    """A durable journal in a directory of its own: `store.db`, `blobs/` and `store.lock`.

    What a call has acknowledged survives the loss of power. The directory belongs to one process
    at a time; whoever opens it meanwhile gets a `StoreError` naming that process.
    """

    def __init__(
        self,
        directory: Path,
        *,
        clock: Clock | None = None,
        migrations: Sequence[Migration] = MIGRATIONS,
    ) -> None:
        super().__init__(poll_s=None)
        self._directory = directory
        self._file = directory / "store.db"
        self._clock = clock or SystemClock()
        self._migrations = migrations
        self._writer = GroupCommit(self._file)
        self._blobs = BlobFiles(directory / "blobs")
        self._lock: IO[str] | None = None

    async def open(self) -> Self:
        """Take the directory, making it if need be, and bring its schema up to date.

        Raises:
            StoreError: it is in use, damaged, newer, read-only or on a network file system.
        """
        lock = await asyncio.to_thread(state_directory.prepare, self._directory)
        try:
            await asyncio.to_thread(self._blobs.open)
            await self._writer.start(self._connect)
        except BaseException:
            lock.close()
            raise
        self._lock = lock
        return self

    async def close(self) -> None:
        """Finish what was begun and give the directory up."""
        await self._writer.stop()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    async def put_blob(self, content: bytes) -> BlobId:
        return await asyncio.to_thread(self._blobs.put, content)

    async def get_blob(self, blob: BlobId) -> bytes:
        return await asyncio.to_thread(self._blobs.get, blob)

    async def problems(self) -> list[str]:
        """What SQLite's own check of the whole file finds wrong with it."""
        return await self._writer.submit(SqliteConnection.problems, is_long=True)

    async def _perform(self, begin: Callable[[], Verb[T]]) -> T:
        return await self._writer.submit(lambda connection: connection.perform(begin()))

    def _connect(self) -> SqliteConnection:
        connection = SqliteConnection(self._file, self._clock.now)
        try:
            with connection.transaction():
                connection.perform(migrate("sqlite", str(self._file), self._migrations))
            connection.rehearse(rehearse())
        except BaseException:
            connection.close()
            raise
        return connection
