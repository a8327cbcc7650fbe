"""Code that wants all of the machine gets its share, and the next command works."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from actors.sandbox.local import cgroups
from actors.sandbox.local.provider import LocalProvider
from actors.sandbox.protocol import Sandbox, SandboxLimits, SandboxProvider, SandboxSpec
from tests.contracts.sandbox_commands import a_number, seen, survivors

pytestmark = pytest.mark.slow
_MIB = 1024 * 1024
_LIMITS = SandboxLimits(memory=96 * _MIB, processes=64, cpus=0.5, tmp=16 * _MIB, file=64 * _MIB)


@pytest.fixture
async def sandbox(provider: SandboxProvider) -> Sandbox:
    return await provider.create(SandboxSpec(limits=_LIMITS))


async def works(sandbox: Sandbox) -> bool:
    return (await sandbox.exec(["true"], timeout_s=20)).ok


async def test_a_fork_bomb_is_held_and_gone_after_its_time(sandbox: Sandbox) -> None:
    token = a_number()
    bomb = f"f() {{ sleep {token} & f & f & wait; }}; f"
    started = time.monotonic()
    result = await sandbox.exec(bomb, timeout_s=1.0)
    assert time.monotonic() - started < 5
    assert result.ended in ("timeout", "exited")
    assert survivors(token) == []
    assert await works(sandbox)


async def test_a_memory_bomb_is_ended_as_such(
    provider: SandboxProvider, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not provider.capabilities.hard_memory:
        pytest.skip("no control groups here: memory is not promised")
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    bomb = "x = []\nwhile True: x.append(bytearray(8 << 20))"
    result = await sandbox.exec(["/usr/bin/python3", "-S", "-c", bomb], timeout_s=30)
    assert result.ended == "oom"
    assert list(here.iterdir()) == [], "an engine left something where we were started"
    assert await works(sandbox)


async def test_a_child_killed_for_memory_does_not_fail_a_command_that_copes(
    provider: SandboxProvider, sandbox: Sandbox
) -> None:
    if not provider.capabilities.hard_memory:
        pytest.skip("no control groups here: memory is not promised")
    bomb = "/usr/bin/python3 -S -c 'x = bytearray(300 << 20)' || echo coped"
    result = await sandbox.exec(bomb, timeout_s=30)
    assert (result.ended, result.exit_code) == ("exited", 0)
    assert b"coped" in result.stdout


@pytest.mark.parametrize("place", ["/tmp", "/dev/shm", "/home/agent"])
async def test_files_in_memory_have_an_end(sandbox: Sandbox, place: str) -> None:
    result = await sandbox.exec(f"head -c 40000000 /dev/zero > {place}/fill", timeout_s=30)
    assert not result.ok
    assert b"No space left" in result.stderr
    assert await works(sandbox)


async def test_a_file_cannot_outgrow_its_limit(sandbox: Sandbox) -> None:
    result = await sandbox.exec("head -c 100000000 /dev/zero > fill", timeout_s=30)
    assert not result.ok
    assert (await sandbox.stat("fill")).size == _LIMITS.file
    assert not (await sandbox.exec("truncate -s 1T sparse", timeout_s=30)).ok


async def test_a_workspace_cannot_fill_the_disk(provider: SandboxProvider) -> None:
    sandbox = await provider.create(SandboxSpec(limits=SandboxLimits(disk=50 * _MIB)))
    fill = "for i in $(seq 1000); do head -c 2000000 /dev/zero > f$i; sleep 0.005; done"
    result = await sandbox.exec(fill, timeout_s=60)
    assert (result.ended, result.signal) == ("signaled", signal.SIGXFSZ)
    background = await sandbox.spawn(fill)
    ended = await background.wait(timeout_s=60)
    assert ended is not None
    assert (ended.ended, ended.signal) == ("signaled", signal.SIGXFSZ)
    kept = sum(entry.size for entry in await sandbox.list_files())
    assert 40 * _MIB < kept < 600 * _MIB
    await sandbox.exec("rm f*", timeout_s=60)
    assert await works(sandbox)


async def test_the_processors_share_is_held(provider: SandboxProvider, sandbox: Sandbox) -> None:
    groups = await asyncio.to_thread(cgroups.available)
    if "cpu" not in "".join(groups.doors):
        pytest.skip("no control groups here: the processor's share is not promised")
    spin = (
        "import time\nend = time.monotonic() + 1\nwhile time.monotonic() < end: pass\n"
        "print(time.process_time())"
    )
    result = await sandbox.exec(["/usr/bin/python3", "-S", "-c", spin], timeout_s=30)
    assert float(result.stdout) < 0.75
    assert provider.capabilities.tree_kill


async def test_open_files_have_an_end(sandbox: Sandbox) -> None:
    script = "import os\nfor _ in range(70000): os.open('/dev/null', 0)"
    result = await sandbox.exec(["/usr/bin/python3", "-S", "-c", script], timeout_s=30)
    assert b"Too many open files" in result.stderr
    assert await works(sandbox)


_OWNER = """
import asyncio, sys
from pathlib import Path
from actors.sandbox.local.provider import LocalProvider
from actors.sandbox.protocol import SandboxSpec

async def main():
    provider = LocalProvider(Path(sys.argv[1]))
    sandbox = await provider.create(SandboxSpec(labels={"run": "killed"}))
    await sandbox.spawn(f"setsid -f sleep {sys.argv[2]}; sleep {sys.argv[2]}; :")
    await sandbox.exec(["sleep", sys.argv[2]], timeout_s=600)

asyncio.run(main())
"""


async def test_when_the_orchestrator_is_killed_its_commands_die_and_the_rest_is_swept(
    tmp_path: Path,
) -> None:
    token, root = a_number(), tmp_path / "sandboxes"
    owner = subprocess.Popen(  # noqa: ASYNC220 - a moment, in a test
        [sys.executable, "-c", _OWNER, str(root), token]
    )
    await seen(f"sleep\0{token}\0", start=True, count=3)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    async with asyncio.timeout(10):
        while survivors(token):  # noqa: ASYNC110 - /proc tells nobody
            await asyncio.sleep(0.005)
    provider = LocalProvider(root)
    swept = await provider.sweep({"run": "killed"})
    assert len(swept) == 1
    assert cgroups.existing(swept[0].id).paths == ()
    assert [path.name for path in root.iterdir() if not path.name.startswith(".")] == []


async def test_even_one_killed_while_it_starts_a_command_leaves_nothing_after_the_sweep(
    tmp_path: Path,
) -> None:
    for attempt in range(3):
        token, root = a_number(), tmp_path / f"sandboxes-{attempt}"
        owner = subprocess.Popen(  # noqa: ASYNC220 - a moment, in a test
            [sys.executable, "-c", _OWNER, str(root), token]
        )
        await seen(f"sleep\0{token}")
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        await LocalProvider(root).sweep({})
        async with asyncio.timeout(10):
            while survivors(token):  # noqa: ASYNC110 - /proc tells nobody
                await asyncio.sleep(0.005)


async def test_the_standing_descriptors_are_three_and_plain(sandbox: Sandbox) -> None:
    inherited = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(inherited, True)
    listed = "import os\nfor f in os.listdir('/proc/self/fd'):\n"
    listed += "    try: print(f, os.readlink('/proc/self/fd/' + f))\n    except OSError: pass"
    result = await sandbox.exec(["/usr/bin/python3", "-S", "-c", listed], timeout_s=20)
    os.close(inherited)
    lines = sorted(result.stdout.decode().splitlines())
    assert [line.split()[0] for line in lines] == ["0", "1", "2"]
    assert all(":[" in line for line in lines), lines


async def test_nothing_of_home_or_tmp_reaches_the_host_or_the_next_owner(
    provider: SandboxProvider, sandbox: Sandbox
) -> None:
    await sandbox.exec("echo evil >> ~/.bashrc; echo evil > /tmp/left", timeout_s=9)
    assert (await sandbox.exec("cat ~/.bashrc /tmp/left", timeout_s=9)).stdout == b"evil\nevil\n"
    other = await provider.create(SandboxSpec())
    assert not (await other.exec("cat ~/.bashrc", timeout_s=9)).ok
    assert not (await other.exec("cat /tmp/left", timeout_s=9)).ok


def _uids(token: str) -> set[int]:
    """Who runs these processes, as this machine sees it."""
    found: set[int] = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(f"sleep\0{token}\0".encode()):
                found.add(path.stat().st_uid)
        except OSError:
            continue
    return found


async def test_no_process_inside_is_root_outside_and_each_sandbox_is_somebody_else(
    provider: SandboxProvider, sandbox: Sandbox
) -> None:
    token = a_number()
    other = await provider.create(SandboxSpec())
    for box in (sandbox, other):
        await box.spawn(["sleep", token])
    await seen(f"sleep\0{token}\0", start=True, count=2)
    if os.geteuid() == 0:
        assert 0 not in _uids(token)
        assert len(_uids(token)) == 2
    else:
        assert _uids(token) == {os.geteuid()}
    assert b"uid=1000" in (await sandbox.exec(["id"], timeout_s=9)).stdout
