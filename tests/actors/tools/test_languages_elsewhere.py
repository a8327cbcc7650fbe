"""Language servers for agents on the levels that start from an image.

A toy server tells whether all words arrive; the real one for Python takes long at a vendor's.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import pytest

from actors.sandbox.cloud.daytona import DaytonaProvider
from actors.sandbox.cloud.e2b import E2BProvider
from actors.sandbox.container.provider import ContainerProvider
from actors.sandbox.local.provider import LocalProvider
from actors.sandbox.protocol import Sandbox, SandboxProvider, SandboxSpec
from actors.tools.equipment import Equipment
from actors.tools.files import FileTools
from actors.tools.languages import LanguageServers
from actors.tools.room import ROOM, SHOWN, carried, room_in
from actors.tools.slots import Slots
from actors.tools.tool import ToolResult, Toolset
from actors.tools.toolset import FunctionToolset
from cluster.settings import running_toolchains
from tests.actors.lsp.conftest import TOY as TOY_SERVER
from tests.actors.sandbox.cloud.daytona_cloud import KEY as DAYTONA_KEY
from tests.actors.sandbox.cloud.daytona_cloud import DaytonaCloud
from tests.actors.sandbox.cloud.e2b_cloud import KEY as E2B_KEY
from tests.actors.sandbox.cloud.e2b_cloud import E2BCloud
from tests.actors.sandbox.container.image import IMAGE, engine, why_not

pytestmark = pytest.mark.slow
SHOP = b"class Cart:\n    def total(self) -> int:\n        return 1\n"
TILL = b"from shop import Cart\n\n\ndef pay(cart: Cart) -> int:\n    return cart.total()\n"
TOY = TOY_SERVER.read_bytes()
TOOLS = tuple(str(path) for path in running_toolchains())
"""With Python's server in it, as an image has it."""


@pytest.fixture(params=["container", "e2b", "daytona"])
async def provider(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[SandboxProvider]:
    if request.param == "container":
        if reason := why_not():
            pytest.skip(f"no container runs here: {reason}")
        tools = ("/usr", *TOOLS)
        boxes = ContainerProvider(tmp_path / "b", image=IMAGE, toolchains=tools, engine=engine())
        yield boxes
        await boxes.sweep({})
        await boxes.close()
        return
    machines = LocalProvider(tmp_path / "machines", toolchains=TOOLS)
    cloud = E2BCloud(machines) if request.param == "e2b" else DaytonaCloud(machines)
    await cloud.open()
    for variable in ("E2B_API_URL", "E2B_SANDBOX_URL"):
        monkeypatch.setenv(variable, cloud.url)
    monkeypatch.setenv("DAYTONA_API_URL", f"{cloud.url}/api")
    monkeypatch.setenv("E2B_API_KEY", E2B_KEY)
    monkeypatch.setenv("DAYTONA_API_KEY", DAYTONA_KEY)
    boxes = E2BProvider(tmp_path) if request.param == "e2b" else DaytonaProvider(tmp_path)
    yield boxes
    await boxes.sweep({})
    await boxes.close()
    await cloud.close()
    await machines.close()


@pytest.fixture
async def sandbox(provider: SandboxProvider) -> Sandbox:
    path = {"PATH": "/workspace/bin:/usr/bin:/bin"}
    box = await provider.create(SandboxSpec(toolchains=(str(ROOM),), env=path))
    program = b"#!/bin/sh\nexec /usr/bin/python3 -I -S /workspace/bin/toy.py\n"
    await box.write_file("bin/basedpyright-langserver", program, mode=0o755)
    await box.write_file("bin/toy.py", TOY)
    await fill(box)
    return box


async def fill(box: Sandbox) -> None:
    await box.write_file("shop.py", SHOP)
    await box.write_file("till.py", TILL)
    await box.exec("git init -q && git add *.py", timeout_s=20)


async def silent(text: str) -> None:
    raise AssertionError(f"nobody should be told: {text}")


@dataclass(frozen=True)
class Desk:
    """A coder's tools in a sandbox, and the one place for a language server on this machine."""

    tools: Toolset
    slots: Slots

    @classmethod
    async def of(cls, sandbox: Sandbox, place: Path) -> "Desk":
        slots = Slots(place / "slots", 1)
        files = FunctionToolset(FileTools(sandbox))
        equipment = Equipment(languages=LanguageServers(slots, least=2))
        equipped = await equipment.added_to(files, sandbox, "coder", silent)
        return cls(equipped.toolset, slots)


async def test_an_agent_is_answered_and_told_what_its_edit_broke(sandbox: Sandbox, tmp_path: Path):
    desk = await Desk.of(sandbox, tmp_path)
    found = await desk.tools.call("document_symbols", {"path": "shop.py"})
    assert "class Cart" in found.text
    assert desk.slots.take() is None
    told = await edited(desk.tools, "cart.total()", "BUG")
    assert "till.py:5:1 error" in told.text

    await desk.tools.close()
    assert desk.slots.take(), "its place is free again"
    left = await sandbox.exec(["pgrep", "-f", "actors.lsp|toy.py"], timeout_s=20)
    assert left.exit_code == 1
    assert await room_in(sandbox) == (SHOWN if sandbox.ref.level == "container" else carried())
    status = await sandbox.exec(["git", "status", "--porcelain"], timeout_s=20)
    assert status.stdout == b"A  shop.py\nAM till.py\n?? bin/\n"


@pytest.mark.parametrize(
    "provider",
    ["container", *(pytest.param(each, marks=pytest.mark.faults) for each in ("e2b", "daytona"))],
    indirect=True,
)
async def test_python_is_understood_and_renamed(provider: SandboxProvider, tmp_path: Path):
    sandbox = await provider.create(SandboxSpec(toolchains=(str(ROOM),)))
    await fill(sandbox)
    desk = await Desk.of(sandbox, tmp_path)
    found = await desk.tools.call("get_definition", {"symbol": "total", "path": "till.py"})
    assert found.text.startswith("shop.py:2  method Cart.total")
    done = await desk.tools.call("rename_symbol", {"symbol": "Cart.total", "new_name": "summed"})
    assert set(done.paths_written) == {"shop.py", "till.py"}
    assert b"cart.summed()" in await sandbox.read_file("till.py")
    await desk.tools.close()


async def edited(tools: Toolset, old: str, new: str) -> ToolResult:
    """The answer to an edit, made again until the server was quick enough."""
    for _ in range(10):
        result = await tools.call("edit", {"path": "till.py", "edits": [{"old": old, "new": new}]})
        if "diagnostics" in result.text:
            return result
        await tools.call("edit", {"path": "till.py", "edits": [{"old": new, "new": old}]})
    raise AssertionError("it was never quick enough")
