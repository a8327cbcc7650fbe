"""SQLite under real faults: killed processes, rivals, full disks, lost rights."""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from actors.journal.sqlite import SqliteJournal
from actors.journal.state_directory import prepare
from orchestration.errors import StoreError
from tests.actors.journal.writer_process import NOTE, RUN

ROOT = Path(__file__).parents[3]
NOBODY = 65534


def _start(directory: Path, mode: str, prefix: Sequence[str] = ()) -> subprocess.Popen[str]:
    module = "tests.actors.journal.writer_process"
    return subprocess.Popen(
        [*prefix, sys.executable, "-m", module, str(directory), mode],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _killed_after(writer: subprocess.Popen[str], lines: int) -> list[int]:
    """Kill a writer once it has acknowledged so much; all it acknowledged, in the end."""
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n", writer.communicate()
    acknowledged = [int(writer.stdout.readline()) for _ in range(lines)]
    writer.send_signal(signal.SIGKILL)
    rest, _ = writer.communicate()
    whole_lines = rest[: rest.rfind("\n") + 1].split()
    return acknowledged + [int(line) for line in whole_lines]


async def _survives_kills(directory: Path, kills: int) -> None:
    highest = 0
    for _ in range(kills):
        writer = _start(directory, str(random.choice([1, 8])))
        acknowledged = _killed_after(writer, random.randrange(1, 400))
        highest = max(highest, *acknowledged)
        journal = await SqliteJournal(directory).open()
        records = []
        while page := await journal.read(RUN, after=len(records)):
            records += page
        assert [r.seq for r in records] == list(range(1, len(records) + 1))
        assert len(records) >= highest
        assert [r.epoch for r in records] == sorted(r.epoch for r in records)
        assert await journal.problems() == []
        await journal.close()


@pytest.mark.slow
async def test_a_killed_writer_loses_nothing_acknowledged(tmp_path: Path) -> None:
    await _survives_kills(tmp_path / "state", 3)


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_a_writer_killed_again_and_again_loses_nothing(tmp_path: Path) -> None:
    await _survives_kills(tmp_path / "state", 50)


@pytest.mark.slow
async def test_a_torn_log_costs_its_tail_and_no_more(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    _killed_after(_start(directory, "1"), 50)
    log = directory / "store.db-wal"
    log.write_bytes(log.read_bytes()[: log.stat().st_size // 2 + 100])
    journal = await SqliteJournal(directory).open()
    seqs = [record.seq for record in await journal.read(RUN)]
    assert seqs == list(range(1, len(seqs) + 1))
    assert await journal.problems() == []
    lease = await journal.claim(RUN, "writer")
    assert await journal.append(lease, [NOTE]) == len(seqs) + 2
    await journal.close()


@pytest.mark.slow
async def test_of_rival_processes_one_writes_and_the_others_name_it(tmp_path: Path) -> None:
    writers = [_start(tmp_path / "state", "1") for _ in range(3)]
    said = {writer.pid: writer.stdout.readline() for writer in writers if writer.stdout}
    owners = [pid for pid, line in said.items() if line == "ready\n"]
    assert len(owners) == 1, [writer.communicate() for writer in writers]
    for writer in writers:
        if writer.pid in owners:
            assert len(_acknowledged(writer)) >= 20
        else:
            _, complaint = writer.communicate()
            assert f"in use by process {owners[0]}" in complaint
            assert writer.returncode == 1


def _acknowledged(writer: subprocess.Popen[str]) -> list[int]:
    assert writer.stdout is not None
    numbers = [int(writer.stdout.readline()) for _ in range(20)]
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    return numbers


@pytest.mark.slow
def test_a_full_disk_loses_nothing_and_works_again_when_space_returns() -> None:
    # bubblewrap gives an unprivileged process a small disk of its own.
    disk = ["bwrap", "--dev-bind", "/", "/", "--size", "2000000", "--tmpfs", "/mnt"]
    output, errors = _start(Path("/mnt"), "fill", disk).communicate()
    lines = output.splitlines()
    assert lines, errors
    assert lines[0].startswith("/mnt/state/store.db is on a full disk — free some space")
    assert "a blob of 1000000 bytes could not be written" in lines[1]
    assert lines[2:] == ["True", "True", "20000", "[]", "True"], errors


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that any user may enter, as pytest's own may not."""
    path = Path(tempfile.mkdtemp(dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.mark.slow
async def test_a_store_on_a_read_only_file_system_is_named_and_stays_as_it_is(
    tmp_path: Path,
) -> None:
    journal = await SqliteJournal(tmp_path).open()
    await journal.close()
    before = (tmp_path / "store.db").read_bytes()
    locked = ["bwrap", "--dev-bind", "/", "/", "--ro-bind", str(tmp_path), str(tmp_path)]
    _, errors = _start(tmp_path, "1", locked).communicate()
    assert "StoreError" in errors
    assert f"the state directory {tmp_path} cannot be written: Read-only file system" in errors
    assert "make it writable, or name another one" in errors
    assert (tmp_path / "store.db").read_bytes() == before


@pytest.fixture
async def foreign_file(open_directory: Path) -> AsyncIterator[Path]:
    """A store whose directory is ours, and whose file we may only read."""
    journal = await SqliteJournal(open_directory).open()
    await journal.close()
    (open_directory / "store.db").chmod(0o444)
    root = os.geteuid() == 0
    if root:  # may write anywhere
        for name in ("", "store.lock", "blobs", "blobs/unfinished"):
            os.chown(open_directory / name, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    yield open_directory
    if root:
        os.seteuid(0)


async def test_a_file_that_may_only_be_read_is_named(foreign_file: Path) -> None:
    with pytest.raises(StoreError, match=r"store\.db is read-only") as refused:
        await SqliteJournal(foreign_file).open()
    assert refused.value.fix == "make the file and its directory writable"


@pytest.fixture
def foreign_directory(open_directory: Path) -> Iterator[Path]:
    """A directory of root's while we are somebody else, or one that is write-protected."""
    open_directory.chmod(0o555)
    root = os.geteuid() == 0
    if root:  # may write anywhere
        os.seteuid(NOBODY)
    yield open_directory
    if root:
        os.seteuid(0)
    open_directory.chmod(0o755)


def test_a_directory_without_write_permission_is_named(foreign_directory: Path) -> None:
    with pytest.raises(StoreError, match="cannot be written: Permission denied") as refused:
        prepare(foreign_directory / "state")
    assert "make it writable" in refused.value.fix
