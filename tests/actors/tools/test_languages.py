"""Language servers beside the code: in a real sandbox, by way of the module that sandboxes see."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from actors.sandbox.local.bare import BareProvider
from actors.sandbox.local.provider import LocalProvider
from actors.sandbox.protocol import Sandbox, SandboxSpec
from actors.tools.files import FileTools
from actors.tools.languages import (
    DiagnosedToolset,
    LanguageServers,
    LanguageToolset,
    language_tools,
)
from actors.tools.room import ROOM, carried
from actors.tools.slots import Slots
from actors.tools.tool import ToolResult, Toolset
from actors.tools.toolset import FunctionToolset
from cluster.settings import running_toolchains
from tests.actors.mcp.strangers import NPM, typescript_server
from tests.contracts.toolset import ToolsetContract

pytestmark = pytest.mark.slow
SHOP = b"class Cart:\n    def total(self) -> int:\n        return 1\n"
TILL = b"from shop import Cart\n\n\ndef pay(cart: Cart) -> int:\n    return cart.total()\n"


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncGenerator[Sandbox]:
    tools = [str(path) for path in running_toolchains()]
    provider = LocalProvider(tmp_path / "sandboxes", toolchains=tools)
    box = await provider.create(SandboxSpec(toolchains=(str(ROOM),)))
    await box.write_file("shop.py", SHOP)
    await box.write_file("till.py", TILL)
    await box.exec("git init -q && git add -A", timeout_s=10)
    yield box
    await box.terminate()
    await provider.close()


@pytest.fixture
def slots(tmp_path: Path) -> Slots:
    return Slots(tmp_path / "slots", 1)


@pytest.fixture
async def languages(sandbox: Sandbox, slots: Slots) -> AsyncGenerator[LanguageToolset]:
    tools = await language_tools(sandbox, LanguageServers(slots, least=2))
    assert tools
    yield tools
    await tools.close()


class TestLanguages(ToolsetContract):
    name, arguments = "get_definition", {"symbol": "Cart"}

    @pytest.fixture
    def toolset(self, languages: LanguageToolset) -> Toolset:
        return languages


async def test_python_is_understood_inside_the_sandbox(languages: LanguageToolset):
    found = await languages.call("get_definition", {"symbol": "total", "path": "till.py"})
    assert found.text.startswith("shop.py:2  method Cart.total")
    uses = await languages.call("find_references", {"symbol": "Cart.total"})
    assert "till.py" in uses.text
    assert "5: return cart.total()" in uses.text
    told = await languages.call("hover", {"symbol": "pay"})
    assert "(cart: Cart) -> int" in told.text.replace("\n    ", "").replace("\n", "")


async def test_a_rename_reaches_all_files_and_says_so(languages: LanguageToolset, sandbox: Sandbox):
    done = await languages.call("rename_symbol", {"symbol": "Cart.total", "new_name": "summed"})
    assert done.ok, done.text
    assert set(done.paths_written) == {"shop.py", "till.py"}
    assert b"cart.summed()" in await sandbox.read_file("till.py")
    assert b"def summed" in await sandbox.read_file("shop.py")


async def test_an_edit_says_what_it_broke(languages: LanguageToolset, sandbox: Sandbox):
    files = DiagnosedToolset(FunctionToolset(FileTools(sandbox)), languages)
    await languages.call("document_symbols", {"path": "till.py"})  # started: now it is quick
    broken = {"path": "till.py", "edits": [{"old": "cart.total()", "new": "cart.sum()"}]}
    await files.call("edit", broken)
    # The machine may be slow and the wait is short: what was broken is still there to be seen.
    again = {"path": "till.py", "edits": [{"old": "cart.sum()", "new": "cart.sun()"}]}
    told = await _told(files, again)
    assert "till.py:5:17 error" in told.text
    assert '"sun"' in told.text
    mended = {"path": "till.py", "edits": [{"old": "cart.sun()", "new": "cart.total()"}]}
    assert "diagnostics: No errors in till.py." in (await _told(files, mended)).text


async def _told(files: Toolset, edit: dict[str, Any]) -> ToolResult:
    """The answer to an edit, tried until the server was quick enough."""
    for _ in range(10):
        result = await files.call("edit", edit)
        if "diagnostics" in result.text:
            return result
        await files.call("write", {"path": "nothing.txt", "content": "x"})
    raise AssertionError("it was never quick enough")


@pytest.mark.timeout(400)  # npm fetches the server
async def test_typescript_is_understood_too(sandbox: Sandbox, tmp_path: Path):
    typescript_server()
    provider = BareProvider(tmp_path / "bare", toolchains=[str(NPM), str(Path(sys.prefix))])
    box = await provider.create(SandboxSpec())
    await box.write_file("a.ts", b"export function tax(net: number): number { return net }\n")
    await box.write_file("b.ts", b"import { tax } from './a'\n\nexport const due = tax(7)\n")
    await box.write_file("tsconfig.json", b'{"include": ["*.ts"]}\n')
    await box.exec("git init -q && git add -A", timeout_s=10)
    tools = await language_tools(box, LanguageServers(Slots(tmp_path / "s", 1), least=2))
    assert tools
    uses = await tools.call("find_references", {"symbol": "tax"})
    assert "3: export const due = tax(7)" in uses.text
    renamed = await tools.call("rename_symbol", {"symbol": "tax", "new_name": "duty"})
    assert renamed.ok, renamed.text
    assert b"duty(7)" in await box.read_file("b.ts")
    await box.write_file(
        "b.ts", b"import { duty } from './a'\n\nexport const due: string = duty(7)\n"
    )
    wrong = await tools.call("diagnostics", {"path": "b.ts"})
    assert "is not assignable to type 'string'" in wrong.text
    await tools.close()
    await provider.sweep({})
    await provider.close()


async def test_a_small_repository_has_no_language_tools(sandbox: Sandbox, slots: Slots):
    assert await language_tools(sandbox, LanguageServers(slots, least=3)) is None


async def test_a_language_without_a_server_has_no_language_tools(sandbox: Sandbox, slots: Slots):
    await sandbox.exec("rm *.py && touch a.java b.java && git add -A", timeout_s=10)
    assert await language_tools(sandbox, LanguageServers(slots, least=2)) is None


async def test_a_sandbox_without_python_has_no_language_tools_and_says_so(
    tmp_path: Path, slots: Slots
):
    provider = BareProvider(tmp_path / "bare")
    box = await provider.create(SandboxSpec(env={"PATH": "/nowhere"}))
    told: list[str] = []

    async def note(text: str) -> None:
        told.append(text)

    assert await language_tools(box, LanguageServers(slots, least=0), note) is None
    (said,) = told
    assert said.startswith("agents have no language server for python, ")
    assert "python3 of version 3.11 or newer is missing" in said
    await provider.sweep({})
    await provider.close()


async def test_only_so_many_run_on_a_machine(
    languages: LanguageToolset, sandbox: Sandbox, slots: Slots
):
    assert (await languages.call("document_symbols", {"path": "shop.py"})).ok
    other = LanguageToolset(sandbox, slots, frozenset({".py"}))
    refused = await other.call("document_symbols", {"path": "shop.py"})
    assert not refused.ok
    assert "as many language servers as it may" in refused.text
    await languages.close()
    assert (await other.call("document_symbols", {"path": "shop.py"})).ok
    await other.close()


async def test_a_server_that_is_killed_comes_back(languages: LanguageToolset, sandbox: Sandbox):
    assert (await languages.call("document_symbols", {"path": "shop.py"})).ok
    server = languages._server  # pyright: ignore[reportPrivateUsage] - to kill it
    assert server
    await server._process.kill()  # pyright: ignore[reportPrivateUsage] - to kill it
    assert (await languages.call("document_symbols", {"path": "shop.py"})).ok


async def test_a_server_that_keeps_dying_is_started_no_more_and_says_why(
    tmp_path: Path, slots: Slots
):
    provider = LocalProvider(tmp_path / "sandboxes")
    sandbox = await provider.create(SandboxSpec())  # it is shown nothing: what is there counts
    dies = b"import sys\nopen('starts', 'a').write('x')\nsys.exit('no such grammar')\n"
    put = f"mkdir -p {carried()}/actors/lsp && cat > {carried()}/actors/lsp/__main__.py"
    await sandbox.exec(put, timeout_s=10, stdin=dies)
    tools = LanguageToolset(sandbox, slots, frozenset({".py"}))
    said = [await tools.call("document_symbols", {"path": "shop.py"}) for _ in range(4)]
    await tools.close()

    assert not any(each.ok for each in said)
    assert "no such grammar" in said[0].text
    assert "keeps dying; use grep and read" in said[-1].text
    assert (await sandbox.read_file("starts")) == b"xxx"
    await sandbox.terminate()
    await provider.close()


async def test_a_lost_sandbox_is_no_answer_and_holds_no_place(
    languages: LanguageToolset, sandbox: Sandbox, slots: Slots
):
    await sandbox.terminate()
    with pytest.raises(Exception, match="gone"):
        await languages.call("document_symbols", {"path": "shop.py"})
    assert slots.take()


async def test_an_edit_waits_no_longer_than_it_may(sandbox: Sandbox, slots: Slots):
    slow = LanguageToolset(sandbox, slots, frozenset({".py"}))
    files = DiagnosedToolset(FunctionToolset(FileTools(sandbox)), slow)
    async with asyncio.timeout(6):
        result = await files.call("write", {"path": "new.py", "content": "x: int = 1\n"})
    assert result.text.startswith("Created new.py")
    await slow.close()
