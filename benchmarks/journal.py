"""How near the journals come to the floor: the least a durable, fenced append can cost.

    .venv/bin/python -m benchmarks.journal

One round lets every contestant write 1000 steps into a new store, in turn; the table shows medians
of the rounds, and each contestant's rate against the floor of its own rounds. The floor is a
plain transaction on the driver: raise the run's number where the epoch is ours, insert the record,
commit. All wait for the disk at each commit. "KB/step" is what was given to write calls, closing
included.
"""

import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg

from actors.journal.postgresql import PostgresJournal
from actors.journal.sqlite import SqliteJournal
from orchestration.ids import RunId, StepKey
from orchestration.workflow.journal import Journal, Lease, NewRecord, RecordKind
from tests.actors.journal.postgres_server import Server, running_server

RUN = RunId("the-run")
STEPS, ROUNDS, TOGETHER = 1000, 5, 32
SMALL, LARGE = '"' + "x" * 1000 + '"', "y" * 100_000
RAISE = "UPDATE r SET seq = seq + 1 WHERE run = 'a' AND epoch = 1 RETURNING seq"


@dataclass(frozen=True)
class Round:
    """One contestant's round: steps a second, CPU milliseconds and KB written for each."""

    rate: float
    cpu_ms: float
    written_kb: float


def _written() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("wchar"))


def floor_sqlite(directory: Path, body: str) -> None:
    connection = sqlite3.connect(directory / "floor.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE r (run TEXT PRIMARY KEY, seq INT, epoch INT)")
    connection.execute("CREATE TABLE j (run TEXT, seq INT, body TEXT, PRIMARY KEY (run, seq))")
    connection.execute("INSERT INTO r VALUES ('a', 0, 1)")
    for _ in range(STEPS):
        connection.execute("BEGIN")
        [seq] = connection.execute(RAISE).fetchone()
        connection.execute("INSERT INTO j VALUES ('a', ?, ?)", (seq, body))
        connection.execute("COMMIT")
    connection.close()


def floor_postgresql(url: str, body: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE r (run TEXT PRIMARY KEY, seq INT, epoch INT)")
        connection.execute("CREATE TABLE j (run TEXT, seq INT, body TEXT, PRIMARY KEY (run, seq))")
        connection.execute("INSERT INTO r VALUES ('a', 0, 1)")
        for _ in range(STEPS):
            with connection.transaction():
                row = connection.execute(RAISE.encode()).fetchone()
                assert row is not None
                connection.execute("INSERT INTO j VALUES ('a', %s, %s)", (row[0], body))


async def _claimed(journal: Journal) -> Lease:
    await journal.create_run(RUN, workflow="w", definition="d", title="t", body="{}")
    return await journal.claim(RUN, "owner", ttl_s=1000)


async def notes(journal: Journal) -> None:
    """One record a step, as a worker's turn is."""
    lease = await _claimed(journal)
    for _ in range(STEPS):
        await journal.append(lease, [NewRecord(RecordKind.NOTE, StepKey("s"), 1, SMALL)])


async def chain(journal: Journal) -> None:
    """A chain of steps: the end of one and the start of the next in one append."""
    lease = await _claimed(journal)
    for n in range(STEPS):
        done = NewRecord(RecordKind.DONE, StepKey(f"step{n}"), 1, SMALL)
        await journal.append(lease, [done, NewRecord(RecordKind.STARTED, StepKey(f"step{n + 1}"))])


async def crowd(journal: Journal) -> None:
    """Many workers at once."""
    lease = await _claimed(journal)

    async def worker() -> None:
        for _ in range(STEPS // TOGETHER):
            await journal.append(lease, [NewRecord(RecordKind.NOTE, StepKey("s"), 1, SMALL)])

    async with asyncio.TaskGroup() as group:
        for _ in range(TOGETHER):
            group.create_task(worker())


async def large(journal: Journal) -> None:
    """A large payload, as a blob, and the record that names it."""
    lease = await _claimed(journal)
    for n in range(STEPS):
        blob = await journal.put_blob(f"{n}{LARGE}".encode())
        await journal.append(lease, [NewRecord(RecordKind.NOTE, StepKey("s"), 1, f'"{blob}"')])


async def _on_sqlite(work: Callable[[Journal], Awaitable[None]], directory: Path) -> None:
    journal = await SqliteJournal(directory / "state").open()
    await work(journal)
    await journal.close()


async def _on_postgresql(work: Callable[[Journal], Awaitable[None]], url: str) -> None:
    journal = await PostgresJournal(url).open()
    await work(journal)
    await journal.close()


def _timed(contestant: Callable[[], None]) -> Round:
    written, cpu, start = _written(), time.process_time(), time.perf_counter()
    contestant()
    seconds = time.perf_counter() - start
    used = (time.process_time() - cpu) * 1000 / STEPS
    return Round(STEPS / seconds, used, (_written() - written) / 1024 / STEPS)


def contestants(server: Server, directory: Path) -> dict[str, Callable[[], None]]:
    """By name; those of one kind follow their floor."""

    def sqlite(work: Callable[[Journal], Awaitable[None]]) -> Callable[[], None]:
        return lambda: asyncio.run(_on_sqlite(work, directory))

    def postgresql(work: Callable[[Journal], Awaitable[None]]) -> Callable[[], None]:
        return lambda: asyncio.run(_on_postgresql(work, server.database()))

    return {
        "floor: SQLite, 1 KB": lambda: floor_sqlite(directory, SMALL),
        "SQLite, a record": sqlite(notes),
        "SQLite, a chain's step": sqlite(chain),
        f"SQLite, {TOGETHER} workers": sqlite(crowd),
        "floor: SQLite, 100 KB": lambda: floor_sqlite(directory, LARGE),
        "SQLite, 100 KB blob": sqlite(large),
        "floor: PostgreSQL, 1 KB": lambda: floor_postgresql(server.database(), SMALL),
        "PostgreSQL, a record": postgresql(notes),
        "PostgreSQL, a chain's step": postgresql(chain),
        f"PostgreSQL, {TOGETHER} workers": postgresql(crowd),
    }


def _play(server: Server) -> dict[str, list[Round]]:
    results: dict[str, list[Round]] = {}
    for _ in range(ROUNDS + 1):
        with tempfile.TemporaryDirectory() as base:
            for number, name in enumerate(contestants(server, Path())):
                directory = Path(base, str(number))
                directory.mkdir()
                round_ = _timed(contestants(server, directory)[name])
                results.setdefault(name, []).append(round_)
    return {name: rounds[1:] for name, rounds in results.items()}  # the first one warms up


def main() -> None:
    with running_server(durable=True) as server:
        results = _play(server)
    print(f"{'contestant':28} {'steps/s':>8} {'of floor':>9} {'CPU ms':>7} {'KB/step':>8}")
    floor: list[Round] = []
    for name, rounds in results.items():
        floor = rounds if name.startswith("floor") else floor
        share = statistics.median(r.rate / f.rate for r, f in zip(rounds, floor, strict=True))
        rate, cpu, written = (
            statistics.median(values)
            for values in zip(*((r.rate, r.cpu_ms, r.written_kb) for r in rounds), strict=True)
        )
        print(f"{name:28} {rate:8.0f} {share:9.2f} {cpu:7.2f} {written:8.1f}")


if __name__ == "__main__":
    main()
