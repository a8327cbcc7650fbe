"""The server as any MCP client sees it: the official client, and no word of ours between."""

import json
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters
from mcp_types import TextContent

from tests.actors.lsp.conftest import TOY

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.slow


@pytest.fixture
def languages(tmp_path: Path) -> Path:
    toy = {"command": [sys.executable, str(TOY)], "extensions": {".toy": "toy"}}
    path = tmp_path / "languages.json"
    path.write_text(json.dumps({"languages": {"toy": toy}}))
    return path


@asynccontextmanager
async def client(project: Path, languages: Path, mode: str) -> AsyncGenerator[Client]:
    arguments = ["-P", "-m", "actors.lsp", "--root", str(project), "--languages", str(languages)]
    server = StdioServerParameters(
        command=sys.executable, args=arguments, env={"PYTHONPATH": str(ROOT)}
    )
    async with Client(server, mode=mode) as connected:
        yield connected


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_official_client_lists_and_calls(project: Path, languages: Path, mode: str):
    async with client(project, languages, mode) as connected:
        info = connected.server_info
        assert info
        assert info.name == "manta-lsp"
        tools = (await connected.list_tools()).tools
        assert [tool.name for tool in tools] == [
            *("get_definition", "find_references", "hover", "document_symbols"),
            *("workspace_symbols", "diagnostics", "rename_symbol"),
        ]
        found = await connected.call_tool("get_definition", {"symbol": "knock"})
        assert not found.is_error
        assert isinstance(found.content[0], TextContent)
        assert found.content[0].text.startswith("bank/door.toy:3")
        renamed = await connected.call_tool("rename_symbol", {"symbol": "knock", "new_name": "tap"})
        assert renamed.structured_content == {"written": ["bank/door.toy", "main.toy"]}
        assert (await connected.call_tool("hover", {"colour": "red"})).is_error


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "cluster.cli", "lsp", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_a_root_that_is_not_there_is_one_sentence():
    done = run("--root", "/no/such/place")
    assert done.returncode == 2
    assert done.stderr == "manta lsp: /no/such/place is no directory; name one with --root\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read"),
        ("{}", 'has no "languages"'),
        ('{"languages": {"ruby": {}}}', 'needs a "command"'),
        ('{"languages": {"ruby": {"command": ["x"]}}}', 'needs "extensions"'),
        ('{"languages": {"python": {"colour": 1}}}', "and nothing else"),
        ('{"languages": {"python": {"command": "x"}}}', "must be a list of texts"),
    ],
)
def test_a_file_of_languages_that_cannot_be_used_says_where_and_why(
    tmp_path: Path, text: str, said: str
):
    path = tmp_path / "languages.json"
    path.write_text(text)
    done = run("--languages", str(path))
    assert done.returncode == 2
    assert said in done.stderr
    assert str(path) in done.stderr


def test_it_says_what_is_there_and_ends_with_its_input():
    found = {each["language"]: each for each in json.loads(run("--check").stdout)}
    assert found["python"]["program"]
    assert found["go"]["install"].startswith("go install")
    assert run("--root", ".").returncode == 0


def test_the_door_loads_nothing_of_ray_nor_of_the_rest():
    code = "import sys, actors.lsp.command; print([m for m in sys.modules if m.split('.')[0] in " \
        "('ray', 'mcp', 'pydantic', 'sqlalchemy', 'cluster', 'orchestration')])"  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
