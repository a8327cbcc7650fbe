"""The level `none` keeps every promise of the protocol."""

from collections.abc import Callable
from pathlib import Path

import pytest

from actors.sandbox.local.bare import BareProvider
from actors.sandbox.protocol import (
    Sandbox,
    SandboxProvider,
    UnsupportedError,
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


@pytest.fixture
def make(tmp_path: Path) -> Callable[[], SandboxProvider]:
    return lambda: BareProvider(tmp_path / "sandboxes")


class TestBareProvider(ProviderContract): ...


class TestBareFiles(FileContract): ...


class TestBareTrees(TreeContract): ...


class TestBareSnapshots(SnapshotContract): ...


class TestBareSmallCommands(SmallCommandContract): ...


@pytest.mark.slow
class TestBareCommands(CommandContract): ...


@pytest.mark.slow
class TestBareBackground(BackgroundContract): ...


@pytest.mark.slow
class TestBareGit(GitContract): ...


@pytest.fixture
def timed(tmp_path: Path) -> Callable[[Clock], SandboxProvider]:
    return lambda clock: BareProvider(tmp_path / "timed", clock=clock)


class TestBareTimes(TimeContract): ...


async def test_a_pause_is_refused_not_imitated(sandbox: Sandbox) -> None:
    with pytest.raises(UnsupportedError):
        await sandbox.pause()
    await sandbox.resume()
    assert (await sandbox.exec(["true"], timeout_s=10)).ok


async def test_where_no_descriptor_tells_of_an_end_a_thread_does(
    monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox
) -> None:
    monkeypatch.delattr("os.pidfd_open")
    assert (await sandbox.exec("echo hi; exit 3", timeout_s=10)).exit_code == 3
    assert (await sandbox.exec(["sleep", "60"], timeout_s=0.1)).ended == "timeout"
