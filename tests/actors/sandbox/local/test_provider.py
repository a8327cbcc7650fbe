"""The level `local` keeps every promise of the protocol."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.sandbox.local.provider import LocalProvider
from actors.sandbox.protocol import (
    Sandbox,
    SandboxLostError,
    SandboxProvider,
    SandboxSpec,
)
from orchestration.clock import ManualClock
from tests.contracts.sandbox import (
    FileContract,
    ProviderContract,
    SmallCommandContract,
    SnapshotContract,
    TreeContract,
)
from tests.contracts.sandbox_commands import BackgroundContract, CommandContract
from tests.contracts.sandbox_git import GitContract
from tests.contracts.sandbox_pause import FrozenProcessContract, PauseContract

pytestmark = pytest.mark.slow


@pytest.fixture
def make(tmp_path: Path) -> Callable[[], SandboxProvider]:
    return lambda: LocalProvider(tmp_path / "sandboxes")


class TestLocalProvider(ProviderContract): ...


class TestLocalFiles(FileContract): ...


class TestLocalPauses(PauseContract, FrozenProcessContract): ...


class TestLocalTrees(TreeContract): ...


class TestLocalSnapshots(SnapshotContract): ...


class TestLocalSmallCommands(SmallCommandContract): ...


@pytest.mark.slow
class TestLocalCommands(CommandContract): ...


@pytest.mark.slow
class TestLocalBackground(BackgroundContract): ...


@pytest.mark.slow
class TestLocalGit(GitContract): ...


async def test_a_sandbox_ends_by_itself_after_its_time(tmp_path: Path) -> None:
    clock = ManualClock()
    provider = LocalProvider(tmp_path / "timed", clock=clock)
    short = await provider.create(SandboxSpec(labels={"run": "r"}, ttl_s=60))
    renewed = await provider.create(SandboxSpec(labels={"run": "r"}, ttl_s=60))
    forever = await provider.create(SandboxSpec(labels={"run": "r"}))
    await clock.advance(50)
    await renewed.set_ttl(60)
    await clock.advance(50)
    assert {ref.id for ref in await provider.find({})} == {renewed.ref.id, forever.ref.id}
    await renewed.set_ttl(None)
    await clock.advance(10_000)
    assert (await provider.connect(renewed.ref)).ref == renewed.ref
    with pytest.raises(SandboxLostError):
        await provider.connect(short.ref)
    brief = await provider.create(SandboxSpec(labels={"run": "r"}, ttl_s=1))
    await clock.advance(2)
    swept = await provider.sweep({}, keep=[brief.ref.id, renewed.ref.id, forever.ref.id])
    assert [ref.id for ref in swept] == [brief.ref.id]
    await provider.sweep({})
    await provider.close()


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_whoever_is_cancelled_at_the_first_command_stops_nobody_and_leaks_nothing(
    sandbox: Sandbox,
) -> None:
    before = open_descriptors()
    first = asyncio.create_task(sandbox.exec(["true"], timeout_s=20))
    second = asyncio.create_task(sandbox.exec(["true"], timeout_s=20))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (await second).ok
    await sandbox.terminate()
    assert open_descriptors() < before
