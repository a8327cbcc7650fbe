"""What a pause promises, on levels that can."""

import asyncio
import time

import pytest

from actors.sandbox.protocol import (
    FileMissingError,
    Sandbox,
    SandboxLostError,
    SandboxProvider,
    SandboxSpec,
    SandboxUnavailableError,
)
from tests.contracts.sandbox_commands import a_number, seen, survivors


class PauseContract:
    """For levels that can pause; those that cannot raise UnsupportedError."""

    async def test_a_paused_sandbox_refuses_work_and_goes_on_where_it_was(
        self, provider: SandboxProvider
    ) -> None:
        sandbox = await provider.create(SandboxSpec())
        await sandbox.write_file("kept", b"1")
        for _ in range(2):
            await sandbox.pause()
        for attempt in (
            sandbox.exec(["true"], timeout_s=5),
            sandbox.read_file("kept"),
            sandbox.write_file("new", b""),
            sandbox.list_files(),
            sandbox.stat("kept"),
            sandbox.get_tar(),
            sandbox.git_export("0" * 40, message="m"),
        ):
            with pytest.raises(SandboxUnavailableError):
                await attempt
        await sandbox.set_ttl(600)
        for _ in range(2):
            await sandbox.resume()
        assert await sandbox.read_file("kept") == b"1"
        assert (await sandbox.exec(["true"], timeout_s=20)).ok

    async def test_whoever_connects_resumes_it(self, provider: SandboxProvider) -> None:
        sandbox = await provider.create(SandboxSpec(labels={"run": "r"}))
        await sandbox.write_file("kept", b"1")
        await sandbox.pause()
        (ref,) = await provider.find({"run": "r"})
        again = await provider.connect(ref)
        assert await again.read_file("kept") == b"1"

    async def test_a_paused_sandbox_is_ended_and_swept_like_any_other(
        self, provider: SandboxProvider
    ) -> None:
        ended = await provider.create(SandboxSpec())
        swept = await provider.create(SandboxSpec(labels={"run": "r"}))
        for sandbox in (ended, swept):
            await sandbox.pause()
        await ended.terminate()
        assert [ref.id for ref in await provider.sweep({"run": "r"})] == [swept.ref.id]
        for verb in (ended.pause(), ended.resume(), provider.connect(swept.ref)):
            with pytest.raises(SandboxLostError):
                await verb


class FrozenProcessContract:
    """For levels whose pause keeps memory (`pause_memory`)."""

    async def test_processes_stand_still_while_paused_and_then_go_on(
        self, provider: SandboxProvider, sandbox: Sandbox
    ) -> None:
        other = await provider.create(SandboxSpec())
        stamps = "while :; do echo $EPOCHREALTIME >> stamps; done"
        process = await sandbox.spawn(f"setsid -f bash -c '{stamps}'; ({stamps}) & {stamps}")
        await grown(sandbox, 0)
        await sandbox.pause()
        paused = time.time()
        assert (await other.exec("sleep 0.1", timeout_s=20)).ok
        resumed = time.time()
        await sandbox.resume()
        await grown(sandbox, await size_of(sandbox))
        await process.kill()
        lines = (await sandbox.read_file("stamps")).split()
        assert [line for line in lines if paused < float(line) < resumed] == []
        assert min(map(float, lines)) < paused < resumed < max(map(float, lines))

    async def test_nothing_runs_between_the_pause_and_the_end(self, sandbox: Sandbox) -> None:
        token = a_number()
        process = await sandbox.spawn(f"sleep {token}; :")
        await seen(token)
        running = asyncio.create_task(sandbox.exec(["sleep", token], timeout_s=60))
        await seen(f"sleep\0{token}\0", start=True, count=2)
        await sandbox.pause()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert len(survivors(f"sleep\0{token}\0", start=True)) == 1
        await process.kill()
        assert survivors(token) == []


async def grown(sandbox: Sandbox, size: int) -> None:
    """Wait until the file of stamps is larger."""
    async with asyncio.timeout(20):
        while await size_of(sandbox) <= size:  # noqa: ASYNC110 - files tell nobody
            await asyncio.sleep(0.002)


async def size_of(sandbox: Sandbox) -> int:
    try:
        return (await sandbox.stat("stamps")).size
    except FileMissingError:
        return 0
