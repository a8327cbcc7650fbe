"""The level `local` keeps every promise of the protocol."""

from collections.abc import Callable
from pathlib import Path

import pytest

from actors.sandbox.local import LocalProvider
from actors.sandbox.protocol import SandboxProvider
from tests.contracts.sandbox import FileContract, ProviderContract, SmallCommandContract
from tests.contracts.sandbox_commands import BackgroundContract, CommandContract
from tests.contracts.sandbox_git import GitContract


@pytest.fixture
def make(tmp_path: Path) -> Callable[[], SandboxProvider]:
    return lambda: LocalProvider(tmp_path / "sandboxes")


class TestLocalProvider(ProviderContract): ...


class TestLocalFiles(FileContract): ...


class TestLocalSmallCommands(SmallCommandContract): ...


class TestLocalCommands(CommandContract): ...


class TestLocalBackground(BackgroundContract): ...


class TestLocalGit(GitContract): ...
