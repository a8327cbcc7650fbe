"""The level `daytona` keeps every promise of the protocol, through the vendor's own SDK."""

from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from actors.sandbox.cloud.daytona import KEY as VARIABLE
from actors.sandbox.cloud.daytona import DaytonaProvider
from actors.sandbox.local.provider import LocalProvider
from actors.sandbox.protocol import SandboxProvider
from tests.actors.sandbox.cloud.daytona_cloud import KEY, DaytonaCloud
from tests.contracts.sandbox import (
    FileContract,
    ProviderContract,
    SmallCommandContract,
    TreeContract,
)
from tests.contracts.sandbox_commands import BackgroundContract, CommandContract
from tests.contracts.sandbox_git import GitContract
from tests.contracts.sandbox_pause import PauseContract

pytestmark = pytest.mark.slow


@pytest.fixture
async def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[DaytonaCloud]:
    machines = LocalProvider(tmp_path / "machines")
    cloud = DaytonaCloud(machines)
    await cloud.open()
    monkeypatch.setenv("DAYTONA_API_URL", f"{cloud.url}/api")
    monkeypatch.setenv(VARIABLE, KEY)
    yield cloud
    await cloud.close()
    await machines.close()


@pytest.fixture
def make(cloud: DaytonaCloud, tmp_path: Path) -> Callable[[], SandboxProvider]:
    return lambda: DaytonaProvider(tmp_path)


class TestDaytonaProvider(ProviderContract): ...


class TestDaytonaFiles(FileContract): ...


class TestDaytonaPauses(PauseContract): ...


class TestDaytonaTrees(TreeContract): ...


class TestDaytonaSmallCommands(SmallCommandContract): ...


class TestDaytonaCommands(CommandContract): ...


class TestDaytonaBackground(BackgroundContract): ...


class TestDaytonaGit(GitContract): ...
