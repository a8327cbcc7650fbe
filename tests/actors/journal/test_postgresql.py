"""PostgreSQL: what goes wrong between a client and its server."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
from sqlalchemy import Executable, text

from actors.journal.migrations import MIGRATIONS
from actors.journal.postgresql import PostgresJournal
from orchestration.errors import ConflictError, StaleOwnerError, StoreError, UsageError
from orchestration.ids import RunId, StepGrant, StepKey
from orchestration.workflow.journal import Lease, NewRecord, RecordKind, RunStatus
from tests.actors.journal.cutting_proxy import Cut, CuttingProxy
from tests.actors.journal.postgres_server import Server, running_server

pytestmark = pytest.mark.slow

RUN, STEP = RunId("the-run"), StepKey("build")
NOTE = NewRecord(RecordKind.NOTE, STEP, 1, '{"text": "hi"}')
_VERSIONS = [(n + 1,) for n in range(len(MIGRATIONS))]


async def _create(journal: PostgresJournal) -> bool:
    return await journal.create_run(RUN, workflow="w", definition="d", title="t", body="{}")


async def _claimed(journal: PostgresJournal) -> Lease:
    await _create(journal)
    return await journal.claim(RUN, "supervisor")


@pytest.fixture
async def url(postgres: Server) -> str:
    return postgres.database()


@pytest.fixture
async def journal(url: str) -> AsyncIterator[PostgresJournal]:
    journal = await PostgresJournal(url, poll_s=0.01).open()
    yield journal
    await journal.close()


@pytest.fixture
async def wire(url: str) -> AsyncIterator[CuttingProxy]:
    # Socket paths are short: pytest's own directories are not.
    with TemporaryDirectory(dir="/tmp") as directory:
        async with CuttingProxy(url, Path(directory)) as proxy:
            yield proxy


@pytest.fixture
async def wired(wire: CuttingProxy) -> AsyncIterator[PostgresJournal]:
    journal = await PostgresJournal(wire.url).open()
    yield journal
    await journal.close()


@pytest.mark.parametrize("cut", list(Cut))
async def test_an_append_whose_commit_breaks_is_written_once(
    wire: CuttingProxy, wired: PostgresJournal, cut: Cut
) -> None:
    lease = await _claimed(wired)
    wire.cut = cut
    assert await wired.append(lease, [NOTE, NOTE]) == 4
    assert await wired.append(lease, [NOTE]) == 5
    assert [r.seq for r in await wired.read(RUN)] == [1, 2, 3, 4, 5]
    assert wire.cuts == 1


@pytest.mark.parametrize("cut", list(Cut))
async def test_every_verb_whose_commit_breaks_happens_once(
    wire: CuttingProxy, wired: PostgresJournal, cut: Cut
) -> None:
    wire.cut = cut
    assert await _create(wired)
    wire.cut = cut
    lease = await wired.claim(RUN, "supervisor")
    assert lease.epoch == 1
    wire.cut = cut
    renewed = await wired.renew(lease, ttl_s=50)
    assert (await wired.info(RUN)).lease_until == renewed.until
    asking = NewRecord(RecordKind.SUSPENDED, STEP, 1, '{"label": "plan"}')
    await wired.append(lease, [NewRecord(RecordKind.STARTED, STEP, 1)])
    wire.cut = cut
    assert await wired.append_under(StepGrant(RUN, STEP, 1, 1), [NOTE]) == 4
    wire.cut = cut
    await wired.append(lease, [asking], status=RunStatus.SUSPENDED, release=True)
    wire.cut = cut
    assert await wired.decide(RUN, "plan", '"yes"', by="ann")
    wire.cut = cut
    assert await wired.request_cancel(RUN, by="ann")
    wire.cut = cut
    blob = await wired.put_blob(b"content")
    assert await wired.get_blob(blob) == b"content"
    assert [r.seq for r in await wired.read(RUN)] == list(range(1, 9))
    assert (await wired.info(RUN)).epoch == 1
    assert wire.cuts == 8


@pytest.mark.parametrize("cut", list(Cut))
async def test_a_release_whose_commit_breaks_is_no_stale_owner(
    wire: CuttingProxy, wired: PostgresJournal, cut: Cut
) -> None:
    lease = await _claimed(wired)
    wire.cut = cut
    await wired.release(lease, RunStatus.SUSPENDED)
    assert (await wired.info(RUN)).status is RunStatus.SUSPENDED
    assert wire.cuts == 1


async def test_a_refusal_is_not_tried_again(wire: CuttingProxy, wired: PostgresJournal) -> None:
    lease = await _claimed(wired)
    await wired.claim(RUN, "supervisor")
    wire.cut = Cut.AFTER
    with pytest.raises(StaleOwnerError):
        await wired.append(lease, [NOTE])
    assert wire.cuts == 0


async def test_an_unacknowledged_append_that_another_owner_overtook_is_stale(
    wire: CuttingProxy, wired: PostgresJournal, journal: PostgresJournal
) -> None:
    lease = await _claimed(wired)
    wire.cut = Cut.BEFORE
    append = asyncio.create_task(wired.append(lease, [NOTE]))
    await wire.broke.wait()
    await journal.claim(RUN, "other", take_over=True)
    with pytest.raises(StaleOwnerError):
        await append
    kinds = [record.kind for record in await journal.read(RUN, after=1)]
    assert kinds == [RecordKind.CLAIMED, RecordKind.CLAIMED]


async def test_a_worker_that_waited_while_the_next_attempt_started_is_stale(
    journal: PostgresJournal, url: str
) -> None:
    lease = await _claimed(journal)
    await journal.append(lease, [NewRecord(RecordKind.STARTED, STEP, 1)])
    async with await psycopg.AsyncConnection.connect(url) as owner:
        await owner.execute("UPDATE runs SET seq = seq")
        worker = asyncio.create_task(journal.append_under(StepGrant(RUN, STEP, 1, 1), [NOTE]))
        await _until_somebody_waits(url)
        await owner.execute("UPDATE steps SET attempt = 2")
        await owner.commit()
        with pytest.raises(StaleOwnerError):
            await worker


async def _until_somebody_waits(url: str) -> None:
    query = b"SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as watcher:
        while await (await watcher.execute(query)).fetchone() is None:
            pass  # each look is a round trip: the loop is not busy


async def test_two_processes_count_one_run_without_gaps(url: str) -> None:
    first = await PostgresJournal(url).open()
    second = await PostgresJournal(url).open()
    lease = await _claimed(first)
    async with asyncio.TaskGroup() as group:
        for n in range(20):
            group.create_task((first if n % 2 else second).append(lease, [NOTE, NOTE]))
    assert [r.seq for r in await first.read(RUN)] == list(range(1, 43))
    await first.close()
    await second.close()


async def test_a_record_of_another_process_ends_the_waiting(url: str) -> None:
    first = await PostgresJournal(url, poll_s=0.01).open()
    second = await PostgresJournal(url).open()
    lease = await _claimed(first)
    waiting = asyncio.create_task(first.wait(RUN, after=2, timeout_s=30))
    await asyncio.sleep(0)
    await second.append(lease, [NOTE])
    assert await waiting
    await first.close()
    await second.close()


async def test_processes_that_open_at_once_migrate_once(postgres: Server, url: str) -> None:
    journals = [PostgresJournal(url) for _ in range(5)]
    async with asyncio.TaskGroup() as group:
        for journal in journals:
            group.create_task(journal.open())
    assert postgres.execute("SELECT version FROM versions", url) == _VERSIONS
    for journal in journals:
        await journal.close()


async def test_a_failed_migration_leaves_the_store_as_it_was(
    journal: PostgresJournal, postgres: Server, url: str
) -> None:
    await _create(journal)

    def broken(_: str) -> list[Executable]:
        return [text("ALTER TABLE runs ADD COLUMN extra TEXT"), text("NONSENSE")]

    newer = PostgresJournal(url, migrations=[*MIGRATIONS, broken])
    with pytest.raises(StoreError, match="NONSENSE"):
        await newer.open()
    assert postgres.execute("SELECT version FROM versions", url) == _VERSIONS
    assert (await journal.info(RUN)).seq == 1
    await newer.close()


async def test_a_newer_store_is_refused(
    postgres: Server, journal: PostgresJournal, url: str
) -> None:
    await _create(journal)
    postgres.execute("INSERT INTO versions VALUES (99, 0)", url)
    late = PostgresJournal(url)
    with pytest.raises(StoreError, match="version 99") as refused:
        await late.open()
    assert "upgrade" in refused.value.fix
    await late.close()


async def test_a_damaged_record_or_blob_is_told(
    postgres: Server, journal: PostgresJournal, url: str
) -> None:
    await _create(journal)
    blob = await journal.put_blob(b"content")
    postgres.execute("UPDATE records SET body = '[]'", url)
    postgres.execute("UPDATE blobs SET content = 'c0ntent'", url)
    with pytest.raises(StoreError, match="record 1 of run the-run"):
        await journal.read(RUN)
    with pytest.raises(StoreError, match=blob[:12]):
        await journal.get_blob(blob)


async def test_a_cancelled_call_leaves_the_journal_usable(
    journal: PostgresJournal, url: str
) -> None:
    lease = await _claimed(journal)
    async with await psycopg.AsyncConnection.connect(url) as rival:
        await rival.execute("UPDATE runs SET seq = seq")
        stuck = asyncio.create_task(journal.append(lease, [NOTE]))
        await _until_somebody_waits(url)
        stuck.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stuck
        await rival.rollback()
    last = await journal.append(lease, [NOTE])
    assert [r.seq for r in await journal.read(RUN)] == list(range(1, last + 1))


async def test_a_server_that_restarts_loses_nothing_acknowledged() -> None:
    with running_server() as server:
        journal = await PostgresJournal(server.database()).open()
        lease = await _claimed(journal)
        acknowledged: list[int] = []
        enough = asyncio.Event()

        async def write() -> None:
            while len(acknowledged) < 120:
                acknowledged.append(await journal.append(lease, [NOTE]))
                if len(acknowledged) >= 40:
                    enough.set()

        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(write())
            await enough.wait()
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.start)
        seqs = [record.seq for record in await journal.read(RUN)]
        assert seqs == list(range(1, len(seqs) + 1))
        assert sorted(acknowledged) == seqs[2:]
        await journal.close()


async def test_a_store_that_stays_away_is_an_error_without_the_password() -> None:
    away = PostgresJournal("postgresql://manta:hunter2@/postgres?host=/nonexistent", patience_s=0.2)
    with pytest.raises(StoreError, match="nonexistent") as error:
        await away.open()
    assert "hunter2" not in repr(error.value)
    assert "PostgreSQL" in error.value.fix
    await away.close()


async def test_a_missing_database_is_told_at_once(postgres: Server) -> None:
    missing = PostgresJournal(f"postgresql://manta@/nowhere?host={postgres.directory}")
    with pytest.raises(StoreError, match="nowhere") as error:
        await asyncio.wait_for(missing.open(), 5)
    assert "create the database" in error.value.fix
    await missing.close()


async def test_a_text_that_is_no_url_is_refused_without_repeating_it() -> None:
    with pytest.raises(UsageError) as refused:
        PostgresJournal("postgresql//manta:hunter2@host")
    assert "hunter2" not in repr(refused.value)


async def test_a_conflict_passes_through(journal: PostgresJournal) -> None:
    lease = await _claimed(journal)
    await journal.release(lease, RunStatus.DONE)
    with pytest.raises(ConflictError):
        await journal.claim(RUN, "supervisor")


def test_a_process_with_sqlite_loads_nothing_of_postgresql() -> None:
    script = """
import asyncio, sys, tempfile
from actors.journal.opening import open_journal
async def main():
    journal = await open_journal(tempfile.mkdtemp())
    await journal.close()
asyncio.run(main())
print([name for name in sys.modules if "psycopg" in name or "postgresql" in name])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
