"""The level `e2b` keeps every promise of the protocol, through the vendor's own SDK."""

from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from actors.sandbox.e2b import KEY as VARIABLE
from actors.sandbox.e2b import E2BProvider
from actors.sandbox.local import LocalProvider
from actors.sandbox.protocol import SandboxProvider
from tests.actors.sandbox.cloud.e2b_cloud import KEY, E2BCloud
from tests.contracts.sandbox import (
    FileContract,
    ProviderContract,
    SmallCommandContract,
    TreeContract,
)
from tests.contracts.sandbox_commands import BackgroundContract, CommandContract
from tests.contracts.sandbox_git import GitContract

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


@pytest.fixture
def make(cloud: E2BCloud, tmp_path: Path) -> Callable[[], SandboxProvider]:
    return lambda: E2BProvider(tmp_path)


class TestE2BProvider(ProviderContract): ...


class TestE2BFiles(FileContract): ...


class TestE2BTrees(TreeContract): ...


class TestE2BSmallCommands(SmallCommandContract): ...


class TestE2BCommands(CommandContract): ...


class TestE2BBackground(BackgroundContract): ...


class TestE2BGit(GitContract): ...
