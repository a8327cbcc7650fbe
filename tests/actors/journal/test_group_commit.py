"""The writer: at once while the disk is brisk, in its thread when not, never in both."""

import asyncio
import itertools
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from actors.journal import group_commit
from actors.journal.group_commit import GroupCommit
from actors.journal.sqlite_connection import SqliteConnection
from orchestration.clock import SystemClock
from orchestration.errors import StoreError


class Watched(SqliteConnection):
    """Tells where it was used, and by how many at once; `disk` says how brisk each commit was."""

    disk: Iterator[float] = itertools.repeat(0.0)

    def __init__(self, file: Path) -> None:
        self.lock = threading.Lock()
        self.threads: list[str] = []
        super().__init__(file, SystemClock().now)
        self.commits = 0
        self._raw.execute("CREATE TABLE IF NOT EXISTS t (n INTEGER)")

    def add(self, number: int) -> int:
        assert self.lock.acquire(blocking=False), "two threads at once"
        self.threads.append(threading.current_thread().name)
        self._raw.execute("INSERT INTO t VALUES (?)", (number,))
        self.lock.release()
        return number

    def numbers(self) -> list[int]:
        return [row[0] for row in self._raw.execute("SELECT n FROM t ORDER BY rowid")]

    @property
    def sync_s(self) -> float:
        return next(self.disk)

    @sync_s.setter
    def sync_s(self, _: float) -> None:
        self.commits = getattr(self, "commits", 0) + 1


@pytest.fixture
async def writer(tmp_path: Path) -> AsyncIterator[tuple[GroupCommit, Watched]]:
    writer = GroupCommit(tmp_path / "t.db")
    made: list[Watched] = []

    def connect() -> Watched:
        made.append(Watched(tmp_path / "t.db"))
        return made[0]

    await writer.start(connect)
    yield writer, made[0]
    await writer.stop()


async def add(writer: GroupCommit, number: int) -> int:
    return await writer.submit(lambda connection: connection.add(number))  # type: ignore[attr-defined] # pyright: ignore


async def numbers(writer: GroupCommit) -> list[int]:
    return await writer.submit(lambda connection: connection.numbers())  # type: ignore[attr-defined] # pyright: ignore


@pytest.mark.parametrize(("sync_s", "thread"), [(0.0, "MainThread"), (1.0, "journal")])
async def test_a_brisk_disk_is_written_at_once_and_a_slow_one_by_the_thread(
    writer: tuple[GroupCommit, Watched], sync_s: float, thread: str
) -> None:
    commits, connection = writer
    connection.disk = itertools.repeat(sync_s)
    assert [await add(commits, n) for n in range(5)] == list(range(5))
    assert set(connection.threads) == {thread}


async def test_a_disk_that_is_now_brisk_now_slow_keeps_the_order(
    writer: tuple[GroupCommit, Watched],
) -> None:
    commits, connection = writer
    connection.disk = itertools.cycle([0.0, 1.0, 1.0, 0.0])
    async with asyncio.TaskGroup() as group:
        for n in range(300):
            group.create_task(add(commits, n))
            if n % 7 == 0:
                await asyncio.sleep(0)
            if n % 50 == 0:
                await numbers(commits)
    assert await numbers(commits) == list(range(300))
    assert set(connection.threads) == {"MainThread", "journal"}


async def test_what_arrives_in_one_round_is_committed_together(
    writer: tuple[GroupCommit, Watched],
) -> None:
    commits, connection = writer
    async with asyncio.TaskGroup() as group:
        for n in range(200):
            group.create_task(add(commits, n))
    assert connection.commits == -(-200 // group_commit._MOST)  # pyright: ignore[reportPrivateUsage]
    assert await numbers(commits) == list(range(200))


@pytest.mark.parametrize("sync_s", [0.0, 1.0])
async def test_stopping_finishes_what_was_submitted(tmp_path: Path, sync_s: float) -> None:
    writer = GroupCommit(tmp_path / "t.db")
    await writer.start(lambda: Watched(tmp_path / "t.db"))
    Watched.disk, before = itertools.repeat(sync_s), Watched.disk
    try:
        adding = [asyncio.create_task(add(writer, n)) for n in range(20)]
        await asyncio.sleep(0)
        await writer.stop()
        assert [await task for task in adding] == list(range(20))
    finally:
        Watched.disk = before
    with pytest.raises(StoreError, match="is closed"):
        await add(writer, 99)
    with sqlite3.connect(tmp_path / "t.db") as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (20,)
    connection.close()


async def test_long_work_does_not_hold_the_loop_up(writer: tuple[GroupCommit, Watched]) -> None:
    commits, connection = writer
    begun, go = threading.Event(), threading.Event()

    def wait(_: SqliteConnection) -> bool:
        begun.set()
        return go.wait(5)

    long = asyncio.create_task(commits.submit(wait, is_long=True))
    await asyncio.to_thread(begun.wait, 5)
    short = asyncio.create_task(add(commits, 1))
    await asyncio.sleep(0)
    assert not short.done(), "the loop goes on, and the connection is in use"
    go.set()
    assert await long
    assert await short == 1
    assert set(connection.threads) == {"journal"}
