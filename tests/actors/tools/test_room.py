"""Our folder in a sandbox that is shown nothing of this machine."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from actors.sandbox.local.provider import LocalProvider
from actors.sandbox.protocol import Sandbox, SandboxSpec
from actors.tools.room import ROOM, SHOWN, carried, room_in

pytestmark = pytest.mark.slow
MAIN = f"{carried()}/actors/lsp/__main__.py"


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncGenerator[LocalProvider]:
    provider = LocalProvider(tmp_path / "sandboxes")
    yield provider
    await provider.sweep({})
    await provider.close()


@pytest.fixture
async def sandbox(provider: LocalProvider) -> Sandbox:
    return await provider.create(SandboxSpec())


async def said(sandbox: Sandbox, command: str) -> str:
    return (await sandbox.exec(command, timeout_s=20)).stdout.decode()


async def test_it_is_carried_whole_and_outside_of_the_workspace(sandbox: Sandbox):
    assert await room_in(sandbox) == carried()
    listed = (await said(sandbox, f"ls {carried()}/actors/lsp")).split()
    assert listed == sorted(p.name for p in ROOM.iterdir() if p.suffix in (".py", ".json"))
    asked = f"PYTHONPATH={carried()} /usr/bin/python3 -P -m actors.lsp --check"
    assert '"language": "python"' in await said(sandbox, asked)
    assert await sandbox.list_files() == []


async def test_it_is_carried_once_and_again_where_it_is_lost_or_torn(sandbox: Sandbox):
    await room_in(sandbox)
    await said(sandbox, f"echo marked > {MAIN}")
    await room_in(sandbox)
    assert await said(sandbox, f"cat {MAIN}") == "marked\n"
    await said(sandbox, f"rm {MAIN}")
    await room_in(sandbox)
    assert "argparse" in await said(sandbox, f"cat {MAIN}")


async def test_it_is_not_carried_where_it_is_shown(provider: LocalProvider):
    sandbox = await provider.create(SandboxSpec(toolchains=(str(ROOM),)))
    assert await room_in(sandbox) == SHOWN
    assert await said(sandbox, f"ls -d {carried()}") == ""


async def test_where_it_cannot_be_brought_there_is_none(sandbox: Sandbox):
    await said(sandbox, f"touch {carried()}")
    assert await room_in(sandbox) == ""
