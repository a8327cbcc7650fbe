"""The vendors' real clouds: the few promises that a stand-in cannot prove. Costs a few cents.

Run with a key in the environment: `E2B_API_KEY=... pytest tests/actors/sandbox/cloud/test_live.py`.
"""

import asyncio
import os
import secrets
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from actors.sandbox.opening import connect_or_create, open_provider
from actors.sandbox.protocol import Sandbox, SandboxLostError, SandboxProvider, SandboxSpec
from tests.contracts.sandbox_git import Origin

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def _with_key(level: str) -> object:
    name = f"{level.upper()}_API_KEY"
    missing = pytest.mark.skipif(not os.environ.get(name), reason=f"{name} is not set")
    return pytest.param(level, marks=missing)


@pytest.fixture(params=[_with_key("e2b"), _with_key("daytona")])
async def provider(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncGenerator[SandboxProvider]:
    level: str = request.param
    image = os.environ.get(f"MANTA_TEST_{level.upper()}_IMAGE", "")
    provider = await open_provider(level, tmp_path, image=image)
    yield provider
    await provider.sweep({"run": RUN})
    await provider.close()


RUN = f"live-{secrets.token_hex(4)}"


@pytest.fixture
async def sandbox(provider: SandboxProvider) -> Sandbox:
    return await provider.create(SandboxSpec(labels={"run": RUN}, ttl_s=600))


async def test_commands_files_and_bytes(sandbox: Sandbox) -> None:
    data = bytes(range(256)) * 2000
    await sandbox.write_file("deep/blob", data)
    result = await sandbox.exec("cat deep/blob; echo oops >&2; exit 3", timeout_s=60)
    assert (result.exit_code, result.stdout, result.stderr) == (3, data, b"oops\n")
    echoed = await sandbox.exec("sha256sum", timeout_s=60, stdin=data)
    assert echoed.ok


async def test_the_whole_tree_is_dead_at_the_deadline(sandbox: Sandbox) -> None:
    script = "trap '' TERM; setsid -f sleep 987; nohup sleep 987 & echo partial; sleep 987"
    began = time.monotonic()
    result = await sandbox.exec(script, timeout_s=3)
    assert (result.ended, result.stdout) == ("timeout", b"partial\n")
    assert time.monotonic() - began < 30
    left = await sandbox.exec("pgrep -f '[s]leep 987' | wc -l", timeout_s=60)
    assert left.stdout.strip() == b"0"


async def test_there_is_no_way_out(sandbox: Sandbox) -> None:
    """E2B's firewall takes a connection before it refuses it: what counts is an answer."""
    for target in ("1.1.1.1", "169.254.169.254"):
        talk = f"exec 3<>/dev/tcp/{target}/80 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3"
        tried = await sandbox.exec(f'timeout 5 bash -c "{talk}"', timeout_s=30)
        assert tried.stdout == b"", target


async def test_a_commit_goes_in_and_another_comes_out(sandbox: Sandbox, template: Origin) -> None:
    await sandbox.git_import([template.bundle], template.commit)
    await sandbox.write_file("new.txt", b"1\n")
    commit, bundle = await sandbox.git_export(template.commit, message="feat: new")
    template.take(bundle, commit)


async def test_it_is_found_again_paused_and_resumed(
    provider: SandboxProvider, sandbox: Sandbox
) -> None:
    await sandbox.write_file("kept", b"1")
    again = await connect_or_create(provider, SandboxSpec(labels={"run": RUN}))
    await sandbox.pause()
    other = await provider.connect(sandbox.ref)
    assert await other.read_file("kept") == b"1"
    assert again.ref.labels == {"run": RUN}


async def test_eight_at_once_and_then_gone(provider: SandboxProvider, sandbox: Sandbox) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(sandbox.exec(f"echo {n}", timeout_s=60)) for n in range(8)]
    assert [task.result().stdout for task in tasks] == [f"{n}\n".encode() for n in range(8)]
    assert sandbox.ref.id in [ref.id for ref in await provider.sweep({"run": RUN})]
    with pytest.raises(SandboxLostError):
        await sandbox.exec("true", timeout_s=10)
