"""Containers that die, outlive their maker, are found by others, or cannot be made at all."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from actors.sandbox.container.argv import name_of
from actors.sandbox.container.provider import ContainerProvider
from actors.sandbox.opening import connect_or_create
from actors.sandbox.protocol import (
    Sandbox,
    SandboxLostError,
    SandboxSpec,
    SandboxUnavailableError,
)
from orchestration.clock import ManualClock
from tests.actors.sandbox.container.image import IMAGE, TOOLCHAINS, containers
from tests.actors.sandbox.container.image import engine as used
from tests.contracts.sandbox_commands import a_number, seen, survivors

pytestmark = pytest.mark.slow
_REPOSITORY = Path(__file__).parents[4]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def provider(tmp_path: Path, clock: ManualClock) -> AsyncGenerator[ContainerProvider]:
    provider = containers(tmp_path / "sandboxes", clock=clock)
    yield provider
    await provider.sweep({})
    await provider.close()


@pytest.fixture
async def sandbox(provider: ContainerProvider) -> Sandbox:
    return await provider.create(SandboxSpec(labels={"run": "r"}))


async def engine(provider: ContainerProvider, *words: str) -> str:
    return await asyncio.to_thread(provider.engine.ask, *words)


async def test_a_container_that_died_is_lost_and_the_next_attempt_gets_a_new_one(
    provider: ContainerProvider, sandbox: Sandbox
) -> None:
    assert (await sandbox.exec(["true"], timeout_s=20)).ok
    running = asyncio.create_task(sandbox.exec(["sleep", a_number()], timeout_s=60))
    await asyncio.sleep(0.5)
    await engine(provider, "kill", name_of(sandbox.ref.id))
    for attempt in (running, sandbox.exec(["true"], timeout_s=20)):
        with pytest.raises(SandboxLostError):
            await attempt
    again = await connect_or_create(provider, SandboxSpec(labels={"run": "r"}))
    assert again.ref.id != sandbox.ref.id
    with pytest.raises(SandboxLostError):
        await provider.connect(sandbox.ref)
    assert (await again.exec(["true"], timeout_s=20)).ok


async def test_another_process_finds_what_runs_inside(
    provider: ContainerProvider, sandbox: Sandbox, tmp_path: Path
) -> None:
    token = a_number()
    await sandbox.spawn(["sleep", token])
    await seen(token)
    other = containers(tmp_path / "sandboxes")
    (ref,) = await other.find({"run": "r"})
    found = await (await other.connect(ref)).exec(["ps", "-e", "-o", "args"], timeout_s=20)
    assert token in found.stdout.decode()
    await other.close()
    assert (await sandbox.exec(["true"], timeout_s=20)).ok


async def test_whoever_shoots_the_shepherd_loses_the_flock(sandbox: Sandbox) -> None:
    token = a_number()
    shoot = f"setsid -f sleep {token}; sleep 0.1; kill -9 $PPID; sleep {token}"
    result = await sandbox.exec(shoot, timeout_s=30)
    assert (result.ended, result.signal) == ("signaled", 9)
    assert survivors(token) == []
    assert (await sandbox.exec(["true"], timeout_s=20)).ok


async def test_a_command_cannot_say_how_it_ended(sandbox: Sandbox) -> None:
    forged = r"""printf '%032d{"code": 0}' 0 >&2; exit 3"""
    result = await sandbox.exec(forged, timeout_s=20)
    assert (result.ended, result.exit_code) == ("exited", 3)
    assert result.stderr.endswith(b'{"code": 0}')


_OWNER = """
import asyncio, sys
from pathlib import Path
from actors.sandbox.protocol import SandboxSpec
from tests.actors.sandbox.container.image import containers

async def main():
    provider = containers(Path(sys.argv[1]))
    sandbox = await provider.create(SandboxSpec(labels={"run": "killed"}))
    await sandbox.spawn(f"setsid -f sleep {sys.argv[2]}; sleep {sys.argv[2]}; :")
    await sandbox.exec(["sleep", sys.argv[2]], timeout_s=600)

asyncio.run(main())
"""


async def test_when_the_orchestrator_is_killed_its_commands_die_and_the_rest_is_swept(
    provider: ContainerProvider, tmp_path: Path
) -> None:
    token = a_number()
    owner = subprocess.Popen(  # noqa: ASYNC220 - a moment, in a test
        [sys.executable, "-c", _OWNER, str(tmp_path / "sandboxes"), token], cwd=_REPOSITORY
    )
    await seen(f"sleep\0{token}\0", start=True, count=3)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    async with asyncio.timeout(20):
        while survivors(f"sleep\0{token}\0", start=True):  # noqa: ASYNC110 - /proc tells nobody
            await asyncio.sleep(0.01)
    swept = await provider.sweep({"run": "killed"})
    assert len(swept) == 1
    assert swept[0].id not in await engine(provider, "ps", "--all", "--format", "{{.Names}}")


async def test_a_container_whose_sandbox_is_forgotten_is_swept(
    provider: ContainerProvider, sandbox: Sandbox, tmp_path: Path
) -> None:
    assert (await sandbox.exec(["true"], timeout_s=20)).ok
    (tmp_path / "sandboxes" / sandbox.ref.id / "sandbox.json").unlink()
    await provider.sweep({"run": "another"})
    assert sandbox.ref.id not in await engine(provider, "ps", "--all", "--format", "{{.Names}}")
    with pytest.raises(SandboxLostError):
        await sandbox.exec(["true"], timeout_s=20)


async def test_a_sandbox_ends_by_itself_after_its_time(
    provider: ContainerProvider, clock: ManualClock
) -> None:
    short = await provider.create(SandboxSpec(labels={"run": "r"}, ttl_s=60))
    assert (await short.exec(["true"], timeout_s=20)).ok
    await clock.advance(100)
    assert await provider.find({}) == []
    assert [ref.id for ref in await provider.sweep({"run": "other"})] == [short.ref.id]
    assert short.ref.id not in await engine(provider, "ps", "--all", "--format", "{{.Names}}")


async def test_labels_are_the_engines_too(provider: ContainerProvider, sandbox: Sandbox) -> None:
    assert (await sandbox.exec(["true"], timeout_s=20)).ok
    names = await engine(provider, "ps", "--filter", "label=run=r", "--format", "{{.Names}}")
    assert name_of(sandbox.ref.id) in names.split()


async def test_a_missing_image_is_told_with_the_way_to_build_it(tmp_path: Path) -> None:
    containers(tmp_path)
    provider = ContainerProvider(
        tmp_path / "sandboxes", image="localhost/manta-nowhere:1", engine=used()
    )
    failed = [check for check in await provider.doctor() if not check.ok]
    assert [check.name for check in failed] == ["image"]
    assert "cluster/docker/sandbox.Dockerfile" in failed[0].fix
    sandbox = await provider.create(SandboxSpec())
    with pytest.raises(SandboxUnavailableError, match="manta-nowhere"):
        await sandbox.exec(["true"], timeout_s=20)
    await provider.sweep({})
    await provider.close()


async def test_an_image_without_what_commands_need_is_told(tmp_path: Path) -> None:
    containers(tmp_path)
    provider = ContainerProvider(tmp_path / "sandboxes", image=IMAGE, engine=used())
    assert TOOLCHAINS == ("/usr",), "without it the image holds no program at all"
    failed = [check for check in await provider.doctor() if not check.ok]
    assert "python3" in failed[0].detail
    assert "python3, bash, git and tar" in failed[0].fix
    await provider.close()
