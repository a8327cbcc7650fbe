"""SQLite: one writer, a directory of its own, and files that may be damaged."""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import Executable, text

from actors.journal import state_directory
from actors.journal.migrations import MIGRATIONS
from actors.journal.opening import open_journal
from actors.journal.sqlite import SqliteJournal
from actors.journal.state_directory import refuse_network
from orchestration.errors import StaleOwnerError, StoreError, UsageError
from orchestration.ids import RunId, StepKey
from orchestration.workflow.engine import Engine
from orchestration.workflow.journal import Lease, NewRecord, RecordKind
from tests.actors.journal.samples import write
from tests.orchestration.workflow.samples.write import OUTPUT, sample_flow

RUN = RunId("the-run")
NOTE = NewRecord(RecordKind.NOTE, StepKey("build"), 1, '{"text": "hello"}')


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "the state? 100%"


@pytest.fixture
async def journal(directory: Path) -> AsyncIterator[SqliteJournal]:
    journal = await SqliteJournal(directory).open()
    yield journal
    await journal.close()


async def _claimed(journal: SqliteJournal) -> Lease:
    await journal.create_run(RUN, workflow="w", definition="d", title="t", body="{}")
    return await journal.claim(RUN, "supervisor", ttl_s=1000)


async def _closed_store(directory: Path) -> None:
    """A store with one run and a few records, closed again."""
    journal = await SqliteJournal(directory).open()
    await journal.append(await _claimed(journal), [NOTE] * 3)
    await journal.close()


def _edit(directory: Path, statement: str) -> None:
    connection = sqlite3.connect(directory / "store.db")
    connection.execute(statement)
    connection.commit()
    connection.close()


async def test_a_closed_journal_opens_again_with_all_it_had(directory: Path) -> None:
    first = await SqliteJournal(directory).open()
    lease = await _claimed(first)
    await first.append(lease, [NOTE])
    blob = await first.put_blob(b"content")
    await first.close()
    second = await SqliteJournal(directory).open()
    assert [r.kind for r in await second.read(RUN)] == ["created", "claimed", "note"]
    assert await second.append(lease, [NOTE]) == 4
    assert await second.get_blob(blob) == b"content"
    await second.close()


async def test_closing_finishes_what_was_begun(directory: Path) -> None:
    journal = await SqliteJournal(directory).open()
    lease = await _claimed(journal)
    async with asyncio.TaskGroup() as group:
        appends = [group.create_task(journal.append(lease, [NOTE])) for _ in range(50)]
        await asyncio.sleep(0)
        await journal.close()
    assert sorted(append.result() for append in appends) == list(range(3, 53))


async def test_a_closed_journal_says_so(directory: Path) -> None:
    journal = await SqliteJournal(directory).open()
    await journal.close()
    with pytest.raises(StoreError, match="closed"):
        await journal.runs()
    await journal.close()


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def test_the_directory_is_private(journal: SqliteJournal, directory: Path) -> None:
    assert await journal.runs() == []
    assert oct(_mode(directory)) == "0o700"


async def test_a_second_opener_is_told_who_holds_the_store(
    journal: SqliteJournal, directory: Path
) -> None:
    with pytest.raises(StoreError, match=f"in use by process {os.getpid()}") as refused:
        await SqliteJournal(directory).open()
    assert "store.lock" in refused.value.fix
    assert await journal.runs() == []


async def test_an_opener_waits_for_whoever_has_the_store_for_a_moment(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = state_directory.prepare(directory)

    def sleep(seconds: float) -> None:
        assert 0 < seconds < 1
        held.close()

    monkeypatch.setattr(state_directory, "sleep", sleep)
    journal = SqliteJournal(directory)
    await journal.open()
    assert await journal.runs() == []
    await journal.close()


async def test_a_refused_opener_leaves_the_lock_free(directory: Path) -> None:
    await _closed_store(directory)
    _edit(directory, "INSERT INTO versions VALUES (99, 0)")
    for _ in range(2):
        with pytest.raises(StoreError, match="version 99"):
            await SqliteJournal(directory).open()


async def test_a_newer_store_is_refused_and_not_touched(directory: Path) -> None:
    await _closed_store(directory)
    _edit(directory, "INSERT INTO versions VALUES (99, 0)")
    before = (directory / "store.db").read_bytes()
    with pytest.raises(StoreError, match=r"store\.db has schema version 99") as refused:
        await SqliteJournal(directory).open()
    assert "upgrade" in refused.value.fix
    assert (directory / "store.db").read_bytes() == before


async def test_an_older_store_is_brought_up_to_date(directory: Path) -> None:
    await _closed_store(directory)

    def second(_: str) -> list[Executable]:
        return [text("CREATE TABLE extra (x INTEGER)"), text("INSERT INTO extra VALUES (7)")]

    for _ in range(2):
        newer = await SqliteJournal(directory, migrations=[*MIGRATIONS, second]).open()
        assert (await newer.info(RUN)).seq == 5
        await newer.close()
    with sqlite3.connect(directory / "store.db") as connection:
        assert connection.execute("SELECT x FROM extra").fetchall() == [(7,)]
        [[version]] = connection.execute("SELECT max(version) FROM versions").fetchall()
    assert version == len(MIGRATIONS) + 1
    connection.close()
    with pytest.raises(StoreError, match=f"version {version}"):
        await SqliteJournal(directory).open()


def _restore(directory: Path, sample: Path) -> None:
    directory.mkdir()
    connection = sqlite3.connect(directory / "store.db")
    connection.executescript(sample.read_text())
    connection.close()


SAMPLES = sorted(Path(write.__file__).parent.glob("store-v*.sql"))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
async def test_a_run_in_a_store_of_every_version_goes_on(directory: Path, sample: Path) -> None:
    _restore(directory, sample)
    journal = await SqliteJournal(directory).open()
    assert (await journal.info(write.RUN)).wake_at is None
    await journal.decide(write.RUN, "gate", "5", by="ann")
    outcome = await Engine(journal, owner="later").resume(sample_flow(), write.RUN)
    assert outcome.output == OUTPUT
    await journal.close()


def test_there_is_a_sample_of_every_version_before_this_one() -> None:
    assert [path.stem for path in SAMPLES] == [
        f"store-v{n + 1}" for n in range(len(MIGRATIONS) - 1)
    ]


async def test_a_failed_migration_leaves_the_store_as_it_was(directory: Path) -> None:
    await _closed_store(directory)

    def broken(_: str) -> list[Executable]:
        return [text("ALTER TABLE runs ADD COLUMN extra TEXT"), text("NONSENSE")]

    with pytest.raises(StoreError, match="NONSENSE"):
        await SqliteJournal(directory, migrations=[*MIGRATIONS, broken]).open()
    journal = await SqliteJournal(directory).open()
    assert (await journal.info(RUN)).seq == 5
    await journal.close()


async def test_a_file_that_is_no_database_is_named(directory: Path) -> None:
    await _closed_store(directory)
    (directory / "store.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreError, match=r"store\.db is no store") as refused:
        await SqliteJournal(directory).open()
    assert "backup" in refused.value.fix


@pytest.mark.slow
async def test_a_file_that_another_program_holds_is_named(directory: Path) -> None:
    await _closed_store(directory)
    connection = sqlite3.connect(directory / "store.db", isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreError, match=r"store\.db is locked by another program"):
        await SqliteJournal(directory).open()
    connection.close()
    await _read_all(directory)


async def test_a_damaged_page_is_told_and_the_file_named(directory: Path) -> None:
    await _closed_store(directory)
    file = directory / "store.db"
    content = bytearray(file.read_bytes())
    page = content.index(b"hello") // 2048 * 2048
    content[page : page + 2048] = b"\xff" * 2048
    file.write_bytes(content)
    with pytest.raises(StoreError, match=r"store\.db is damaged") as refused:
        await _read_all(directory)
    assert "backup" in refused.value.fix


async def _read_all(directory: Path) -> None:
    journal = await SqliteJournal(directory).open()
    try:
        await journal.read(RUN)
    finally:
        await journal.close()


async def test_a_flipped_letter_in_a_record_is_told(directory: Path) -> None:
    await _closed_store(directory)
    file = directory / "store.db"
    content = file.read_bytes()
    assert content.count(b"hello") == 3
    file.write_bytes(content.replace(b"hello", b"jello", 1))
    with pytest.raises(StoreError, match=r"record \d of run the-run is damaged"):
        await _read_all(directory)


async def test_a_torn_blob_is_told_and_healed_by_storing_it_again(
    journal: SqliteJournal, directory: Path
) -> None:
    blob = await journal.put_blob(b"content" * 1000)
    file = directory / "blobs" / blob
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(StoreError, match=blob[:12]):
        await journal.get_blob(blob)
    assert await journal.put_blob(b"content" * 1000) == blob
    assert await journal.get_blob(blob) == b"content" * 1000


async def test_half_written_blobs_of_a_killed_process_are_dropped(directory: Path) -> None:
    await _closed_store(directory)
    orphan = directory / "blobs" / "unfinished" / "0123"
    orphan.write_bytes(b"half")
    await _read_all(directory)
    assert not orphan.exists()


async def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written: Not a directory"):
        await SqliteJournal(tmp_path / "file" / "state").open()


async def test_a_cancelled_caller_does_not_disturb_the_writer(journal: SqliteJournal) -> None:
    lease = await _claimed(journal)
    appends = [asyncio.create_task(journal.append(lease, [NOTE])) for _ in range(5)]
    await asyncio.sleep(0)
    for append in appends[:4]:
        append.cancel()
    last = await appends[4]
    assert await journal.append(lease, [NOTE]) == last + 1
    seqs = [record.seq for record in await journal.read(RUN)]
    assert seqs == list(range(1, last + 2))


async def test_a_database_error_in_one_call_does_not_fail_those_beside_it(
    journal: SqliteJournal,
) -> None:
    lease = await _claimed(journal)
    late = Lease(RUN, "supervisor", lease.epoch - 1, 0.0)
    async with asyncio.TaskGroup() as group:
        good = [group.create_task(journal.append(lease, [NOTE])) for _ in range(4)]
        bad = group.create_task(_error(_untitled(journal)))
        stale = group.create_task(_error(journal.append(late, [NOTE])))
        good += [group.create_task(journal.append(lease, [NOTE])) for _ in range(4)]
    assert isinstance(bad.result(), StoreError)
    assert isinstance(stale.result(), StaleOwnerError)
    assert sorted(append.result() for append in good) == list(range(3, 11))


async def _untitled(journal: SqliteJournal) -> None:
    """What the database itself refuses: a column that must not be null."""
    title = cast("str", None)
    await journal.create_run(RunId("other"), workflow="w", definition="d", title=title, body="{}")


async def _error(call: Awaitable[object]) -> Exception | None:
    try:
        await call
    except (StoreError, StaleOwnerError) as error:
        return error
    return None


async def test_a_sound_store_has_no_problems(journal: SqliteJournal) -> None:
    await _claimed(journal)
    assert await journal.problems() == []


MOUNTS = """\
22 1 {device} / / rw,relatime shared:1 - {kind} /dev/vda rw
23 22 0:5 / /proc rw - proc proc rw
"""


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "9p", "fuse.sshfs"])
def test_a_network_file_system_is_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(StoreError, match=kind) as refused:
        refuse_network(tmp_path, _mounts(tmp_path, kind))
    assert "local disk" in refused.value.fix


async def test_a_store_on_a_network_file_system_is_not_opened(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _closed_store(directory)
    before = (directory / "store.db").read_bytes()
    (tmp_path / "mountinfo").write_text(_mounts(tmp_path, "nfs4"))
    monkeypatch.setattr(state_directory, "_MOUNTS", tmp_path / "mountinfo")
    with pytest.raises(StoreError, match=r"is on a network file system \(nfs4\)") as refused:
        await open_journal(directory)
    assert "PostgreSQL" in refused.value.fix
    assert (directory / "store.db").read_bytes() == before


@pytest.mark.parametrize("kind", ["ext4", "tmpfs", "overlay", "fuse.fuse-overlayfs"])
def test_a_local_file_system_is_accepted(tmp_path: Path, kind: str) -> None:
    refuse_network(tmp_path, _mounts(tmp_path, kind))
    refuse_network(tmp_path, "")


def _mounts(path: Path, kind: str) -> str:
    device = path.stat().st_dev
    return MOUNTS.format(device=f"{os.major(device)}:{os.minor(device)}", kind=kind)


async def test_an_address_opens_the_plug_it_names(tmp_path: Path) -> None:
    journal = await open_journal(tmp_path / "state")
    assert isinstance(journal, SqliteJournal)
    await journal.close()
    with pytest.raises(UsageError, match="mysql") as refused:
        await open_journal("mysql://manta:hunter2@host/db")
    assert "hunter2" not in repr(refused.value)
