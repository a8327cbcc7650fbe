"""The level `local` keeps every promise of the protocol."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.sandbox.local.provider import LocalProvider
from actors.sandbox.protocol import (
    Sandbox,
    SandboxProvider,
)
from orchestration.clock import Clock
from tests.contracts.sandbox import (
    FileContract,
    ProviderContract,
    SmallCommandContract,
    SnapshotContract,
    TimeContract,
    TreeContract,
)
from tests.contracts.sandbox_commands import BackgroundContract, CommandContract
from tests.contracts.sandbox_git import GitContract
from tests.contracts.sandbox_pause import FrozenProcessContract, PauseContract

pytestmark = pytest.mark.slow


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


@pytest.fixture
def timed(tmp_path: Path) -> Callable[[Clock], SandboxProvider]:
    return lambda clock: LocalProvider(tmp_path / "timed", clock=clock)


class TestLocalTimes(TimeContract): ...


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
