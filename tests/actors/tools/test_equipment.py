"""What agents get besides their role's tools, in a real sandbox."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from actors.mcp.config import ServerConfig
from actors.mcp.protocol import Offer, RemoteAnswer, RemoteTool
from actors.sandbox.local.provider import LocalProvider
from actors.sandbox.protocol import Sandbox, SandboxSpec
from actors.tools.equipment import Equipment
from actors.tools.languages import LanguageServers
from actors.tools.remember import NoteTools
from actors.tools.room import ROOM
from actors.tools.slots import Slots
from actors.tools.toolset import FunctionToolset
from cluster.settings import running_toolchains
from tests.actors.mcp.test_host import RUDE

pytestmark = pytest.mark.slow
NO_JAVA = (
    "agents have no language server for java: in the sandbox jdtls is missing: "
    "see https://github.com/eclipse-jdtls/eclipse.jdt.ls"
)


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncGenerator[Sandbox]:
    tools = [str(path) for path in running_toolchains()]
    provider = LocalProvider(tmp_path / "sandboxes", toolchains=tools)
    box = await provider.create(SandboxSpec(toolchains=(str(ROOM),)))
    await box.write_file("server.py", RUDE.read_bytes())
    await box.write_file("a.py", b"def here() -> int:\n    return 1\n")
    await box.exec("git init -q && git add -A", timeout_s=10)
    yield box
    await box.terminate()
    await provider.close()


class Away:
    """A person's servers: one that answers, one that is in trouble."""

    def __init__(self) -> None:
        self.closed = False

    async def offer(self, role: str) -> Offer:
        tools = (RemoteTool("web", "search", "Searches.", {}),) if role == "coder" else ()
        return Offer(tools, ("MCP server db: no\x1b[2J answer",))

    async def call(
        self, role: str, server: str, tool: str, arguments: dict[str, Any]
    ) -> RemoteAnswer:
        return RemoteAnswer(f"{role} {server} {tool}")

    async def close(self) -> None:
        self.closed = True


async def silent(text: str) -> None:
    raise AssertionError(f"nobody should be told: {text}")


def own() -> FunctionToolset:
    return FunctionToolset(NoteTools())


async def test_without_equipment_nothing_is_added_nor_started(sandbox: Sandbox):
    equipped = await Equipment().added_to(own(), sandbox, "coder", silent)
    assert [d.name for d in await equipped.toolset.definitions()] == ["remember"]
    assert not equipped.leaves_sandbox("remember")


async def test_a_persons_servers_leave_the_sandbox_and_their_troubles_are_told(sandbox: Sandbox):
    told: list[str] = []

    async def note(text: str) -> None:
        told.append(text)

    away = Away()
    equipped = await Equipment(servers=away).added_to(own(), sandbox, "coder", note)
    names = [d.name for d in await equipped.toolset.definitions()]
    assert names == ["remember", "web__search"]
    assert told == ["MCP server db: no answer"]
    assert equipped.leaves_sandbox("web__search")
    assert not equipped.leaves_sandbox("remember")
    assert "coder web search" in (await equipped.toolset.call("web__search", {})).text
    await equipped.toolset.close()
    assert not away.closed


async def test_a_trusted_repositorys_server_runs_inside_and_sees_nothing_of_us(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HOST_SECRET", "s3cr3t")
    config = ServerConfig("mine", ("python3", "server.py"), env={"TOKEN": "inside"})
    equipment = Equipment(repository=(config,))
    equipped = await equipment.added_to(own(), sandbox, "coder", silent)
    said = await equipped.toolset.call("mine__secret", {})
    assert "my token is (hidden)" in said.text
    assert "'PATH'" in said.text
    assert "HOST_SECRET" not in said.text
    assert not equipped.leaves_sandbox("mine__secret")
    await equipped.toolset.close()
    left = await sandbox.exec(["pgrep", "-f", "server.py"], timeout_s=10)
    assert left.exit_code == 1
    judged = await equipment.added_to(own(), sandbox, "reviewer", silent)
    assert [d.name for d in await judged.toolset.definitions()] == ["remember"]


async def test_a_server_inside_that_dies_is_an_answer(sandbox: Sandbox):
    config = ServerConfig("mine", ("python3", "server.py"))
    equipped = await Equipment(repository=(config,)).added_to(own(), sandbox, "coder", silent)
    died = await equipped.toolset.call("mine__die", {})
    assert not died.ok
    assert "rude: out of my mind" in died.text
    await equipped.toolset.close()


async def test_judges_read_with_language_servers_and_change_nothing(
    sandbox: Sandbox, tmp_path: Path
):
    equipment = Equipment(languages=LanguageServers(Slots(tmp_path / "slots", 1), least=2))
    coder = await equipment.added_to(own(), sandbox, "coder", silent)
    judge = await equipment.added_to(own(), sandbox, "reviewer", silent)
    assert "rename_symbol" in [d.name for d in await coder.toolset.definitions()]
    names = [d.name for d in await judge.toolset.definitions()]
    assert "find_references" in names
    assert "rename_symbol" not in names
    assert not (await judge.toolset.call("rename_symbol", {})).ok


async def test_a_sandbox_without_a_server_is_told_of_and_worked_in(
    sandbox: Sandbox, tmp_path: Path
):
    await sandbox.exec("touch b.java c.java && git add -A", timeout_s=10)
    told: list[str] = []

    async def note(text: str) -> None:
        told.append(text)

    equipment = Equipment(languages=LanguageServers(Slots(tmp_path / "slots", 1), least=2))
    equipped = await equipment.added_to(own(), sandbox, "coder", note)
    assert "rename_symbol" in [d.name for d in await equipped.toolset.definitions()]
    await sandbox.exec("git rm -q --cached *.py", timeout_s=10)
    equipped = await equipment.added_to(own(), sandbox, "coder", note)
    assert [d.name for d in await equipped.toolset.definitions()] == ["remember"]
    assert told == [NO_JAVA, NO_JAVA]


async def test_what_sandboxes_see_of_manta_is_one_room_that_they_cannot_change(sandbox: Sandbox):
    seen = await sandbox.exec(["ls", str(ROOM.parent)], timeout_s=10)
    assert seen.stdout.decode().split() == ["lsp"]
    tried = await sandbox.exec(["touch", str(ROOM / "x")], timeout_s=10)
    assert not tried.ok
