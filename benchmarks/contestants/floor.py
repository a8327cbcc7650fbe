"""The floor, no engine at all: a row of a plain table for each step, durable before the next."""

import sqlite3
from pathlib import Path

import psycopg

from benchmarks.contestants.meter import Job, Resumed, measured, payload, read_job

TABLE = "CREATE TABLE IF NOT EXISTS j (run TEXT, seq INT, body TEXT, PRIMARY KEY (run, seq))"
FENCE = "CREATE TABLE IF NOT EXISTS r (run TEXT PRIMARY KEY, seq INT, epoch INT)"
RAISE = b"UPDATE r SET seq = seq + 1 WHERE run = %s AND epoch = 1 RETURNING seq"


def sqlite(job: Job) -> None:
    connection = sqlite3.connect(Path(job.directory, "floor.db"), isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(TABLE)

    def add(name: str, number: int, body: str) -> None:
        connection.execute("INSERT INTO j VALUES (?, ?, ?)", (name, number, body))

    def play(job: Job) -> None:
        for number in range(job.steps):
            add(job.name, number, payload(number, job.size))

    if job.work == "suspend":
        add(job.name, 0, "waits")
    elif job.work == "resume":
        resumed = Resumed()
        resumed.call()
        [[waiting]] = connection.execute("SELECT body FROM j WHERE run = ?", (job.name,))
        add(job.name, 1, f"no longer {waiting}")
        resumed.reached()
        resumed.report()
    else:
        measured(play, connection.close, job)


def postgresql(job: Job) -> None:
    """A fenced transaction a step: the run's number is raised where the epoch is ours."""
    connection = psycopg.connect(job.store, autocommit=True)
    connection.execute(TABLE.encode())
    connection.execute(FENCE.encode())

    def play(job: Job) -> None:
        connection.execute("INSERT INTO r VALUES (%s, 0, 1)", (job.name,))
        for number in range(job.steps):
            with connection.transaction():
                row = connection.execute(RAISE, (job.name,)).fetchone()
                assert row is not None
                values = (job.name, row[0], payload(number, job.size))
                connection.execute("INSERT INTO j VALUES (%s, %s, %s)", values)

    measured(play, connection.close, job)


def main() -> None:
    job = read_job()
    (postgresql if job.store else sqlite)(job)


if __name__ == "__main__":
    main()
