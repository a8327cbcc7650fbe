"""A process that appends until it is killed, and says what was acknowledged.

`python -m tests.actors.journal.writer_process DIRECTORY WRITERS` prints `ready`, then a line with
each acknowledged number. Run as `... DIRECTORY fill`, it fills the disk: see `test_full_disk`.
"""

import asyncio
import sys
from pathlib import Path

from actors.journal.sqlite import SqliteJournal
from orchestration.errors import StoreError
from orchestration.ids import RunId, StepKey
from orchestration.workflow.journal import Lease, NewRecord, RecordKind

RUN = RunId("the-run")
NOTE = NewRecord(RecordKind.NOTE, StepKey("build"), 1, '"' + "x" * 1000 + '"')


def say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


async def append_for_ever(journal: SqliteJournal, lease: Lease) -> None:
    while True:
        say(await journal.append(lease, [NOTE, NOTE]))


async def write(directory: Path, writers: int) -> None:
    journal = await SqliteJournal(directory).open()
    await journal.create_run(RUN, workflow="w", definition="d", title="t", body="{}")
    lease = await journal.claim(RUN, "writer", take_over=True)
    say("ready")
    async with asyncio.TaskGroup() as group:
        for _ in range(writers):
            group.create_task(append_for_ever(journal, lease))


async def fill(directory: Path) -> None:
    """Write until the disk is full, make room, and write again."""
    ballast = directory / "ballast"
    ballast.write_bytes(b"x" * 200_000)
    journal = await SqliteJournal(directory / "state").open()
    await journal.create_run(RUN, workflow="w", definition="d", title="t", body="{}")
    lease = await journal.claim(RUN, "writer", ttl_s=1000)
    last = 2
    try:
        while True:
            last = await journal.append(lease, [NOTE])
    except StoreError as error:
        say(error)
    try:
        await journal.put_blob(b"b" * 1_000_000)
    except StoreError as error:
        say(error)
    full = await journal.read(RUN)
    say([r.seq for r in full] == list(range(1, last + 1)))
    ballast.unlink()
    say(await journal.append(lease, [NOTE]) == last + 1)
    blob = await journal.put_blob(b"b" * 20_000)
    say(len(await journal.get_blob(blob)))
    say(await journal.problems())
    await journal.close()
    again = await SqliteJournal(directory / "state").open()
    say(len(await again.read(RUN)) == last + 1)
    await again.close()


if __name__ == "__main__":
    where = Path(sys.argv[1])
    asyncio.run(fill(where) if sys.argv[2] == "fill" else write(where, int(sys.argv[2])))
