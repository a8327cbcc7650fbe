"""The level `e2b` keeps every promise of the protocol, through the vendor's own SDK."""

import asyncio
import gc
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from actors.sandbox.cloud.e2b import KEY as VARIABLE
from actors.sandbox.cloud.e2b import E2BProvider
from actors.sandbox.local.provider import LocalProvider
from actors.sandbox.protocol import Sandbox, SandboxProvider
from tests.actors.sandbox.cloud.e2b_cloud import KEY, E2BCloud
from tests.contracts.sandbox import (
    FileContract,
    ProviderContract,
    SmallCommandContract,
    TreeContract,
)
from tests.contracts.sandbox_commands import (
    BackgroundContract,
    CommandContract,
    a_number,
    seen,
    survivors,
)
from tests.contracts.sandbox_git import GitContract
from tests.contracts.sandbox_pause import FrozenProcessContract, PauseContract

pytestmark = pytest.mark.slow


@pytest.fixture
async def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[E2BCloud]:
    machines = LocalProvider(tmp_path / "machines")
    cloud = E2BCloud(machines)
    await cloud.open()
    monkeypatch.setenv("E2B_API_URL", cloud.url)
    monkeypatch.setenv("E2B_SANDBOX_URL", cloud.url)
    monkeypatch.setenv(VARIABLE, KEY)
    yield cloud
    await cloud.close()
    await machines.close()
    gc.collect()  # what the SDK leaves of cancelled calls speaks up now, not in somebody's parser


@pytest.fixture
def make(cloud: E2BCloud, tmp_path: Path) -> Callable[[], SandboxProvider]:
    return lambda: E2BProvider(tmp_path)


class TestE2BProvider(ProviderContract): ...


class TestE2BFiles(FileContract): ...


class TestE2BPauses(PauseContract, FrozenProcessContract):
    async def test_nothing_runs_between_the_pause_and_the_end(self, sandbox: Sandbox) -> None:
        """Nobody gets through to a machine that stands still: it is ended when that wakes."""
        token = a_number()
        running = asyncio.create_task(sandbox.exec(["sleep", token], timeout_s=60))
        await seen(token)
        await sandbox.pause()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await sandbox.resume()
        assert (await sandbox.exec(["true"], timeout_s=20)).ok
        assert survivors(token) == []


class TestE2BTrees(TreeContract): ...


class TestE2BSmallCommands(SmallCommandContract): ...


class TestE2BCommands(CommandContract): ...


class TestE2BBackground(BackgroundContract): ...


class TestE2BGit(GitContract): ...
