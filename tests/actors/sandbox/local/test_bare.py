"""The level `none` keeps every promise of the protocol."""

from collections.abc import Callable
from pathlib import Path

import pytest

from actors.sandbox.local.bare import BareProvider
from actors.sandbox.protocol import (
    Sandbox,
    SandboxLostError,
    SandboxProvider,
    SandboxSpec,
    UnsupportedError,
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


async def test_a_sandbox_ends_by_itself_after_its_time(tmp_path: Path) -> None:
    clock = ManualClock()
    provider = BareProvider(tmp_path / "timed", clock=clock)
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
