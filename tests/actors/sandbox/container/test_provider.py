"""The level `container` keeps every promise of the protocol."""

from collections.abc import Callable
from pathlib import Path

import pytest

from actors.sandbox.protocol import SandboxProvider
from tests.actors.sandbox.container.image import containers
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
    return lambda: containers(tmp_path / "sandboxes")


class TestContainerProvider(ProviderContract): ...


class TestContainerFiles(FileContract): ...


class TestContainerTrees(TreeContract): ...


class TestContainerSnapshots(SnapshotContract): ...


class TestContainerSmallCommands(SmallCommandContract): ...


class TestContainerCommands(CommandContract): ...


class TestContainerBackground(BackgroundContract): ...


class TestContainerPauses(PauseContract, FrozenProcessContract):
    @pytest.fixture(autouse=True)
    def able(self, provider: SandboxProvider) -> None:
        if not provider.capabilities.pause_memory:
            pytest.skip("an engine without privileges pauses with control groups version 2 only")


@pytest.mark.attacks
class TestContainerGit(GitContract):
    """Among the attacks for its length only: the scripts are those of the level `local`."""
