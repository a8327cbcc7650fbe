"""Writes a sample of a store: `python -m tests.actors.journal.samples.write`.

Run it once per schema version, before a migration is added, and never change a sample again. The
sample is a run that waits for an answer, in an SQLite store, as SQL.
"""

import asyncio
import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory

from actors.journal.migrations import MIGRATIONS
from actors.journal.sqlite import SqliteJournal
from orchestration.ids import RunId
from orchestration.workflow.engine import Engine
from orchestration.workflow.journal import RunStatus
from tests.orchestration.workflow.samples.write import sample_flow

RUN = RunId("sample")


async def main() -> None:
    with TemporaryDirectory() as directory:
        journal = await SqliteJournal(Path(directory)).open()
        outcome = await Engine(journal, owner="sampler").start(sample_flow(), [1, 2], run_id=RUN)
        assert outcome.status is RunStatus.SUSPENDED
        await journal.close()
        connection = sqlite3.connect(Path(directory, "store.db"))
        dump = "\n".join(connection.iterdump())
        connection.close()
    Path(__file__).with_name(f"store-v{len(MIGRATIONS)}.sql").write_text(dump + "\n")


if __name__ == "__main__":
    asyncio.run(main())
