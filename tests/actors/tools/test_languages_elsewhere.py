"""Language servers for agents on the levels that start from an image: the real one for Python."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from actors.sandbox.container import ContainerProvider
from actors.sandbox.daytona import DaytonaProvider
from actors.sandbox.e2b import E2BProvider
from actors.sandbox.local import LocalProvider
from actors.sandbox.protocol import Sandbox, SandboxProvider, SandboxSpec
from actors.tools.equipment import Equipment
from actors.tools.files import FileTools
from actors.tools.languages import LanguageServers
from actors.tools.room import ROOM, SHOWN, carried, room_in
from actors.tools.slots import Slots
from actors.tools.tool import ToolResult, Toolset
from actors.tools.toolset import FunctionToolset
from cluster.settings import running_toolchains
from tests.actors.sandbox.cloud.daytona_cloud import KEY as DAYTONA_KEY
from tests.actors.sandbox.cloud.daytona_cloud import DaytonaCloud
from tests.actors.sandbox.cloud.e2b_cloud import KEY as E2B_KEY
from tests.actors.sandbox.cloud.e2b_cloud import E2BCloud
from tests.actors.sandbox.container_image import IMAGE, engine, why_not

pytestmark = pytest.mark.slow
SHOP = b"class Cart:\n    def total(self) -> int:\n        return 1\n"
TILL = b"from shop import Cart\n\n\ndef pay(cart: Cart) -> int:\n    return cart.total()\n"
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
    return await made(provider, SandboxSpec(toolchains=(str(ROOM),)))


async def made(provider: SandboxProvider, spec: SandboxSpec) -> Sandbox:
    box = await provider.create(spec)
    await box.write_file("shop.py", SHOP)
    await box.write_file("till.py", TILL)
    await box.exec("git init -q && git add -A", timeout_s=20)
    return box


async def silent(text: str) -> None:
    raise AssertionError(f"nobody should be told: {text}")


async def test_an_agent_is_answered_told_what_its_edit_broke_and_renames(
    sandbox: Sandbox, tmp_path: Path
):
    languages = LanguageServers(Slots(tmp_path / "slots", 1), least=2)
    equipped = await Equipment(languages=languages).added_to(
        FunctionToolset(FileTools(sandbox)), sandbox, "coder", silent
    )
    tools = equipped.toolset
    found = await tools.call("get_definition", {"symbol": "total", "path": "till.py"})
    assert found.text.startswith("shop.py:2  method Cart.total")
    told = await edited(tools, "cart.total()", "cart.sum()")
    assert "till.py:5:17 error" in told.text
    assert "No errors" in (await edited(tools, "cart.sum()", "cart.total()")).text
    done = await tools.call("rename_symbol", {"symbol": "Cart.total", "new_name": "summed"})
    assert set(done.paths_written) == {"shop.py", "till.py"}
    assert b"cart.summed()" in await sandbox.read_file("till.py")

    await tools.close()
    assert languages.slots.take(), "its place is free again"
    left = await sandbox.exec(["pgrep", "-f", "actors.lsp"], timeout_s=20)
    assert left.exit_code == 1
    assert await room_in(sandbox) == (SHOWN if sandbox.ref.level == "container" else carried())
    status = await sandbox.exec(["git", "status", "--porcelain"], timeout_s=20)
    assert sorted(status.stdout.split()) == [b"AM", b"AM", b"shop.py", b"till.py"]


async def edited(tools: Toolset, old: str, new: str) -> ToolResult:
    """The answer to an edit, made again until the server was quick enough."""
    for _ in range(10):
        result = await tools.call("edit", {"path": "till.py", "edits": [{"old": old, "new": new}]})
        if "diagnostics" in result.text:
            return result
        await tools.call("edit", {"path": "till.py", "edits": [{"old": new, "new": old}]})
    raise AssertionError("it was never quick enough")


async def test_an_image_without_a_server_is_told_of_and_worked_in(
    provider: SandboxProvider, tmp_path: Path
):
    bare = SandboxSpec(toolchains=(str(ROOM),), env={"PATH": "/usr/bin:/bin"})
    sandbox = await made(provider, bare)
    told: list[str] = []

    async def note(text: str) -> None:
        told.append(text)

    languages = LanguageServers(Slots(tmp_path / "slots", 1), least=2)
    own = FunctionToolset(FileTools(sandbox))
    equipped = await Equipment(languages=languages).added_to(own, sandbox, "coder", note)
    assert await equipped.toolset.definitions() == await own.definitions()
    assert told == [
        "agents have no language server for python: in the sandbox basedpyright-langserver is "
        "missing: pip install basedpyright"
    ]
