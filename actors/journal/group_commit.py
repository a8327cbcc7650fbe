"""Works on the connection, and commits together what waits together.

Work alone is a transaction of its own. Work that arrives in one round of the event loop, or while
the disk is syncing, shares a transaction, each piece behind its own savepoint; none is answered
before that is durable.

A commit on a good disk takes less time than the way to another thread and back. So it is made at
once while commits are brisk; as soon as one was not, a thread makes them, and the loop goes on.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar, TypeVarTuple

from actors.journal.sqlite_connection import SqliteConnection, explained
from orchestration.errors import StoreError

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
Work = Callable[[SqliteConnection], T]
_MOST = 128
"""Pieces of work in one transaction."""
BRISK_S = 0.001
"""A sync of the disk that is not worth the way to the thread."""


class _Job:
    """Work that can be done again from the start, and whoever waits for its outcome."""

    __slots__ = ("error", "outcome", "waiter", "work")

    def __init__(self, work: Work[Any], waiter: asyncio.Future[Any]) -> None:
        self.work = work
        self.waiter = waiter
        self.outcome: object = None
        self.error: Exception | None = None

    def settle(self) -> None:
        if self.waiter.done():  # its caller was cancelled
            return
        if self.error is not None:
            self.waiter.set_exception(self.error)
        else:
            self.waiter.set_result(self.outcome)


class GroupCommit:
    """The writer of one file. Use it from the event loop that started it.

    The connection is used by the loop's thread while nothing is handed to the other one.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._arrived: list[_Job] = []
        """In this round of the loop."""
        self._handed = 0
        """Jobs that the thread was given and that are not settled yet."""
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: Thread | None = None

    async def start(self, connect: Callable[[], SqliteConnection]) -> None:
        """Start the thread, which connects. Raises what `connect` raises."""
        self._loop = asyncio.get_running_loop()
        ready: asyncio.Future[SqliteConnection] = self._loop.create_future()
        thread = Thread(target=self._run, args=(connect, ready), name="journal", daemon=True)
        thread.start()
        try:
            self._connection = await ready
        except BaseException:
            self._queue.put(None)
            raise
        self._thread = thread

    async def submit(self, work: Work[T], *, is_long: bool = False) -> T:
        """Do the work in a transaction and return its outcome once that is durable.

        `is_long` says that it takes its time even on a good disk.
        """
        if self._thread is None:
            raise StoreError(f"{self._file} is closed", "open the journal before using it")
        waiter: asyncio.Future[T] = self._loop.create_future()
        job = _Job(work, waiter)
        if is_long:
            self._hand_over([job])
            return await waiter
        if not self._arrived:
            self._loop.call_soon(self._begin)
        self._arrived.append(job)
        return await waiter

    async def stop(self) -> None:
        """Finish what was submitted, then close the connection."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._begin()
            self._queue.put(None)
            await asyncio.to_thread(thread.join)

    def _begin(self) -> None:
        """Do what arrived, or hand it to the thread."""
        jobs, self._arrived = self._arrived, []
        if self._handed or self._connection.sync_s > BRISK_S:
            self._hand_over(jobs)
            return
        for first in range(0, len(jobs), _MOST):
            some = jobs[first : first + _MOST]
            self._perform(self._connection, some)
            _settle(some)

    def _hand_over(self, jobs: Sequence[_Job]) -> None:
        self._handed += len(jobs)
        for job in jobs:
            self._queue.put(job)

    def _taken_back(self, jobs: Sequence[_Job]) -> None:
        self._handed -= len(jobs)
        _settle(jobs)

    def _run(
        self, connect: Callable[[], SqliteConnection], ready: asyncio.Future[SqliteConnection]
    ) -> None:
        try:
            with explained(self._file):
                connection = connect()
        except Exception as error:  # noqa: BLE001 - the thread's door: start() raises it
            self._tell(_fail, ready, error)
            return
        self._tell(_succeed, ready, connection)
        while jobs := self._take():
            self._perform(connection, jobs)
            self._tell(self._taken_back, jobs)
        connection.close()

    def _tell(self, callback: Callable[[*Ts], None], *arguments: *Ts) -> None:
        # A loop that was closed has nobody left who waits; what was done stays done.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *arguments)

    def _take(self) -> list[_Job]:
        """Wait for a job and take all that wait with it; none once stopped."""
        jobs: list[_Job] = []
        while not jobs or (len(jobs) < _MOST and not self._queue.empty()):
            job = self._queue.get()
            if job is None:
                # What came before it is done first; it is met again on the next round.
                if jobs:
                    self._queue.put(None)
                break
            jobs.append(job)
        return jobs

    def _perform(self, connection: SqliteConnection, submitted: Sequence[_Job]) -> None:
        jobs = [job for job in submitted if not job.waiter.cancelled()]
        if len(jobs) > 1:
            try:
                self._together(connection, jobs)
            except sqlite3.Error:
                # One job, or the disk, has spoilt it for all: each stands for itself now.
                pass
            else:
                return
        for job in jobs:
            self._alone(connection, job)

    def _together(self, connection: SqliteConnection, jobs: Sequence[_Job]) -> None:
        with connection.transaction():
            for job in jobs:
                self._beside(connection, job)

    def _beside(self, connection: SqliteConnection, job: _Job) -> None:
        try:
            with connection.savepoint():
                job.outcome = job.work(connection)
        except sqlite3.Error:
            raise
        except Exception as error:  # noqa: BLE001 - handed to whoever submitted it
            job.error = error

    def _alone(self, connection: SqliteConnection, job: _Job) -> None:
        job.error = None
        try:
            with explained(self._file), connection.transaction():
                job.outcome = job.work(connection)
        except Exception as error:  # noqa: BLE001 - handed to whoever submitted it
            job.error = error


def _settle(jobs: Sequence[_Job]) -> None:
    for job in jobs:
        job.settle()


def _succeed(ready: asyncio.Future[SqliteConnection], connection: SqliteConnection) -> None:
    if not ready.done():
        ready.set_result(connection)


def _fail(ready: asyncio.Future[SqliteConnection], error: Exception) -> None:
    if not ready.done():
        ready.set_exception(error)
