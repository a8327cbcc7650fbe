"""The level `none` keeps every promise of the protocol."""

from collections.abc import Callable
from pathlib import Path

import pytest

from actors.sandbox.bare import BareProvider
from actors.sandbox.protocol import SandboxProvider
from tests.contracts.sandbox import FileContract, ProviderContract, SmallCommandContract
from tests.contracts.sandbox_commands import BackgroundContract, CommandContract
from tests.contracts.sandbox_git import GitContract


@pytest.fixture
def make(tmp_path: Path) -> Callable[[], SandboxProvider]:
    return lambda: BareProvider(tmp_path / "sandboxes")


class TestBareProvider(ProviderContract): ...


class TestBareFiles(FileContract): ...


class TestBareSmallCommands(SmallCommandContract): ...


@pytest.mark.slow
class TestBareCommands(CommandContract): ...


@pytest.mark.slow
class TestBareBackground(BackgroundContract): ...


@pytest.mark.slow
class TestBareGit(GitContract): ...
