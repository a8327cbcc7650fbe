"""Attacks on the file API by code that owns the workspace: nothing outside is ever touched."""

import asyncio
import itertools
import os
import socket
from pathlib import Path

import pytest

from actors.sandbox.protocol import PathRefusedError, Sandbox, SandboxError, SandboxProvider

_SECRET = b"the host's secret"


@pytest.fixture
def workspace(tmp_path: Path, sandbox: Sandbox) -> Path:
    return tmp_path / "sandboxes" / sandbox.ref.id / "workspace"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_bytes(_SECRET)
    return folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def refused(sandbox: Sandbox, path: str) -> None:
    """No verb reads or writes through this path."""
    with pytest.raises(PathRefusedError):
        await sandbox.read_file(path)
    with pytest.raises(PathRefusedError):
        await sandbox.write_file(path, b"overwritten")


async def test_a_link_to_a_file_outside_is_refused(
    sandbox: Sandbox, workspace: Path, outside: Path
) -> None:
    (workspace / "link").symlink_to(outside / "secret")
    assert (workspace / "link").read_bytes() == _SECRET, "a naive reader falls for it"
    await refused(sandbox, "link")
    assert (outside / "secret").read_bytes() == _SECRET


async def test_a_linked_directory_is_no_way_out(
    sandbox: Sandbox, workspace: Path, outside: Path
) -> None:
    (workspace / "dir").symlink_to(outside)
    (workspace / "up").symlink_to("..")
    assert (workspace / "dir" / "secret").read_bytes() == _SECRET
    await refused(sandbox, "dir/secret")
    await refused(sandbox, "up/sandbox.json")
    with pytest.raises(PathRefusedError):
        await sandbox.write_file("dir/new", b"")
    with pytest.raises(PathRefusedError):
        await sandbox.list_files("dir")
    with pytest.raises(PathRefusedError):
        await sandbox.remove("dir/secret")
    await sandbox.remove("dir")
    assert names(outside) == {"secret"}


async def test_removing_a_tree_does_not_follow_links_in_it(
    sandbox: Sandbox, workspace: Path, outside: Path
) -> None:
    (workspace / "tree").mkdir()
    (workspace / "tree" / "link").symlink_to(outside)
    await sandbox.remove("tree")
    assert (outside / "secret").read_bytes() == _SECRET


@pytest.mark.parametrize("magic", ["/proc/self/root/etc/passwd", "/proc/self/cwd/pyproject.toml"])
async def test_the_kernels_magic_links_are_refused(
    sandbox: Sandbox, workspace: Path, magic: str
) -> None:
    await refused(sandbox, magic)
    (workspace / "magic").symlink_to(magic)
    await refused(sandbox, "magic")


async def test_a_link_that_stays_inside_works(sandbox: Sandbox, workspace: Path) -> None:
    await sandbox.write_file("docs/AGENTS.md", b"old")
    (workspace / "CLAUDE.md").symlink_to("docs/AGENTS.md")
    assert await sandbox.read_file("CLAUDE.md") == b"old"
    await sandbox.write_file("CLAUDE.md", b"new")
    assert await sandbox.read_file("docs/AGENTS.md") == b"new"
    assert (await sandbox.stat("CLAUDE.md")).kind == "symlink"


async def test_a_dangling_link_is_not_written_through(
    sandbox: Sandbox, workspace: Path, outside: Path
) -> None:
    (workspace / "dangling").symlink_to(outside / "new")
    (workspace / "inner").symlink_to("not-there-yet")
    for name in ("dangling", "inner"):
        with pytest.raises(PathRefusedError):
            await sandbox.write_file(name, b"x")
    assert not (outside / "new").exists()


async def test_what_is_no_plain_file_is_refused_at_once(sandbox: Sandbox, workspace: Path) -> None:
    os.mkfifo(workspace / "fifo")
    listener = socket.socket(socket.AF_UNIX)
    folder = os.open(workspace, os.O_PATH)
    listener.bind(f"/proc/self/fd/{folder}/socket")
    os.close(folder)
    async with asyncio.timeout(5):
        await refused(sandbox, "fifo")
        await refused(sandbox, "socket")
    assert (await sandbox.stat("fifo")).kind == "other"
    listener.close()


async def test_a_sparse_terabyte_is_read_only_as_far_as_asked(
    sandbox: Sandbox, workspace: Path
) -> None:
    with (workspace / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    assert await sandbox.read_file("sparse", offset=1 << 39, limit=10) == bytes(10)


@pytest.mark.parametrize(
    "rounds",
    [
        pytest.param(1_000, marks=pytest.mark.slow),
        pytest.param(10_000, marks=pytest.mark.attacks),
    ],
)
async def test_a_directory_swapped_in_a_race_never_gives_a_byte_from_outside(
    sandbox: Sandbox, outside: Path, rounds: int
) -> None:
    (outside / "f").write_bytes(_SECRET)
    await sandbox.exec("mkdir real; echo inside > real/f", timeout_s=9)
    swapper = await sandbox.spawn(
        [
            "/usr/bin/python3",
            "-S",
            "-c",
            "import os, sys\nos.symlink(sys.argv[1], 'evil')\nprint('go', flush=True)\n"
            "while True:\n"
            "    os.rename('real', 'name'); os.rename('name', 'real')\n"
            "    os.symlink(sys.argv[1], 'x'); os.rename('real', 'y'); os.rename('x', 'real')\n"
            "    os.unlink('real'); os.rename('y', 'real')\n",
            str(outside),
        ]
    )
    assert await swapper.read(timeout_s=20) == b"go\n"
    seen: set[bytes] = set()
    numbers = itertools.count()
    # While others have the processors, `real` may be away all the time.
    while (number := next(numbers)) < rounds or not seen:
        try:
            seen.add(await sandbox.read_file("real/f"))
            if number % 10 == 0:
                await sandbox.write_file("real/written", b"w")
        except SandboxError:
            continue
    await swapper.kill()
    assert seen == {b"inside\n"}
    assert names(outside) == {"secret", "f"}


@pytest.mark.slow
async def test_trees_of_any_depth_and_mode_are_removed(
    provider: SandboxProvider, sandbox: Sandbox, workspace: Path
) -> None:
    deep = (
        "import os\nfor _ in range(3000):\n    os.mkdir('d'); os.chdir('d')\n"
        "open('f', 'w').close()\nos.chmod('.', 0)\n"
    )
    await sandbox.exec(["/usr/bin/python3", "-S", "-c", deep], timeout_s=30)
    await sandbox.remove("d")
    assert await sandbox.list_files() == []
    await sandbox.exec(["/usr/bin/python3", "-S", "-c", deep], timeout_s=30)
    await sandbox.terminate()
    assert workspace.parent.name not in names(workspace.parents[1])
    assert names(workspace.parents[1] / ".gone") == set()
    await provider.close()
