"""A sandbox that died, or that somebody else has taken up: whoever still holds it is told."""

import asyncio
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from actors.sandbox.local.provider import LocalProvider
from actors.sandbox.protocol import (
    Sandbox,
    SandboxLostError,
    SandboxProvider,
    SandboxSpec,
    SandboxUnavailableError,
)
from tests.contracts.sandbox_commands import a_number, seen, survivors

pytestmark = pytest.mark.slow


@pytest.fixture
async def elsewhere(tmp_path: Path) -> AsyncGenerator[LocalProvider]:
    """The provider of another process."""
    provider = LocalProvider(tmp_path / "sandboxes")
    yield provider
    await provider.close()


@pytest.fixture
async def sandbox(provider: SandboxProvider) -> Sandbox:
    return await provider.create(SandboxSpec(labels={"run": "r"}))


async def gone(sandbox: Sandbox) -> None:
    """Every verb says so."""
    for verb in (
        sandbox.exec(["true"], timeout_s=9),
        sandbox.spawn(["true"]),
        sandbox.read_file("f"),
        sandbox.write_file("f", b""),
        sandbox.list_files(),
        sandbox.stat("f"),
        sandbox.remove("f"),
        sandbox.put_tar(b""),
        sandbox.get_tar(),
        sandbox.git_import((), "0" * 40),
        sandbox.snapshot(),
        sandbox.expose(80),
        sandbox.set_ttl(1),
        sandbox.pause(),
        sandbox.resume(),
    ):
        with pytest.raises(SandboxLostError) as caught:
            await verb
        assert caught.value.fix
    await sandbox.terminate()


async def test_a_sandbox_whose_files_vanished_is_lost_and_can_be_made_anew(
    provider: SandboxProvider, sandbox: Sandbox, tmp_path: Path
) -> None:
    await sandbox.write_file("f", b"1")
    shutil.rmtree(tmp_path / "sandboxes" / sandbox.ref.id)
    await gone(sandbox)
    assert await provider.find({"run": "r"}) == []
    assert (await (await provider.create(SandboxSpec())).exec(["true"], timeout_s=20)).ok


async def test_one_that_was_ended_elsewhere_is_lost_here_with_what_ran_in_it(
    elsewhere: LocalProvider, sandbox: Sandbox
) -> None:
    token = a_number()
    running = asyncio.create_task(sandbox.exec(["sleep", token], timeout_s=60))
    await seen(f"sleep\0{token}\0", start=True)
    await (await elsewhere.connect(sandbox.ref)).terminate()
    with pytest.raises(SandboxLostError):
        await running
    assert survivors(token) == []
    await gone(sandbox)


async def test_one_that_was_paused_or_resumed_elsewhere_is_so_here(
    elsewhere: LocalProvider, sandbox: Sandbox
) -> None:
    token = a_number()
    process = await sandbox.spawn(["sleep", token])
    await seen(f"sleep\0{token}\0", start=True)
    other = await elsewhere.connect(sandbox.ref)
    await other.pause()
    with pytest.raises(SandboxUnavailableError, match="paused"):
        await sandbox.exec(["true"], timeout_s=9)
    await other.resume()
    assert (await sandbox.exec(["true"], timeout_s=20)).ok
    assert await process.wait(timeout_s=0.01) is None
    await process.kill()


async def test_two_hands_on_one_workspace_see_the_same_files(
    elsewhere: LocalProvider, sandbox: Sandbox
) -> None:
    other = await elsewhere.connect(sandbox.ref)
    await sandbox.write_file("f", b"mine")
    assert (await other.exec("cat f; echo theirs > f", timeout_s=20)).stdout == b"mine"
    assert await sandbox.read_file("f") == b"theirs\n"
