import pytest

from actors.sandbox.in_memory import InMemoryProvider
from actors.sandbox.protocol import Sandbox, SandboxSpec
from actors.tools.files import FileTools
from actors.tools.git import GitTools
from actors.tools.remember import NoteTools
from actors.tools.search import SearchTools
from actors.tools.shell import ShellTools
from actors.tools.tool import ToolResult, Toolset
from actors.tools.toolset import CombinedToolset, FunctionToolset
from actors.tools.wrappers import (
    ApprovalRequiredToolset,
    FilteredToolset,
    OutputLimitedToolset,
)
from tests.contracts.toolset import ToolsetContract


@pytest.fixture
async def box() -> Sandbox:
    box = await InMemoryProvider().create(SandboxSpec())
    await box.write_file("a.txt", b"hello\n" * 100)
    return box


def hands(box: Sandbox) -> FunctionToolset:
    return FunctionToolset(
        FileTools(box), SearchTools(box), ShellTools(box), GitTools(box), NoteTools()
    )


async def allow(name: str, arguments: object) -> str:
    del name, arguments
    return ""


class TestOurOwnTools(ToolsetContract):
    name, arguments = "read", {"path": "a.txt"}

    @pytest.fixture
    def toolset(self, box: Sandbox) -> Toolset:
        return hands(box)


class TestCombined(ToolsetContract):
    name, arguments = "read", {"path": "a.txt"}

    @pytest.fixture
    def toolset(self, box: Sandbox) -> Toolset:
        return CombinedToolset(FunctionToolset(NoteTools()), FunctionToolset(FileTools(box)))


class TestFiltered(ToolsetContract):
    name, arguments = "read", {"path": "a.txt"}

    @pytest.fixture
    def toolset(self, box: Sandbox) -> Toolset:
        return FilteredToolset(hands(box), {"read", "grep"}.__contains__)


class TestOutputLimited(ToolsetContract):
    name, arguments = "read", {"path": "a.txt"}

    @pytest.fixture
    def toolset(self, box: Sandbox) -> Toolset:
        return OutputLimitedToolset(hands(box), 200)


class TestApprovalRequired(ToolsetContract):
    name, arguments = "read", {"path": "a.txt"}

    @pytest.fixture
    def toolset(self, box: Sandbox) -> Toolset:
        return ApprovalRequiredToolset(hands(box), allow)


async def test_every_tool_of_ours_has_words_for_the_model(box: Sandbox):
    definitions = await hands(box).definitions()
    assert [d.name for d in definitions] == [
        *("read", "write", "edit", "list_files", "glob", "grep"),
        *("run", "background", "git_status", "git_diff", "git_log", "remember"),
    ]
    assert all(len(d.description) > 30 for d in definitions)


async def test_a_filtered_tool_does_not_exist(box: Sandbox):
    toolset = FilteredToolset(hands(box), lambda name: name == "read")
    assert [d.name for d in await toolset.definitions()] == ["read"]
    result = await toolset.call("write", {"path": "b", "content": ""})
    assert result == ToolResult("There is no tool `write`. The tools are: read.", ok=False)


async def test_a_long_result_is_cut_in_the_middle(box: Sandbox):
    toolset = OutputLimitedToolset(hands(box), 200)
    result = await toolset.call("read", {"path": "a.txt"})
    assert len(result.text) < 300
    assert "the tool returned too much" in result.text
    assert result.paths_read == ("a.txt",)


async def test_a_declined_call_is_not_made_and_the_reason_reaches_the_model(box: Sandbox):
    async def decline(name: str, arguments: dict[str, object]) -> str:
        return f"{arguments['path']} is not yours" if name == "write" else ""

    toolset = ApprovalRequiredToolset(hands(box), decline)
    result = await toolset.call("write", {"path": "b.txt", "content": ""})
    assert result == ToolResult("Not allowed: b.txt is not yours", ok=False)
    assert [f.path for f in await box.list_files()] == ["a.txt"]


async def test_the_first_toolset_that_offers_a_name_answers_it(box: Sandbox):
    ours, theirs = FunctionToolset(FileTools(box)), hands(box)
    combined = CombinedToolset(ours, theirs)
    names = [d.name for d in await combined.definitions()]
    assert names.count("read") == 1
    await combined.call("read", {"path": "a.txt"})
    assert (await ours.call("write", {"path": "a.txt", "content": "new"})).ok


async def test_a_capability_that_the_sandbox_lacks_is_an_answer(box: Sandbox):
    result = await hands(box).call("background", {"action": "start", "command": "true"})
    assert not result.ok
    assert "no process runs in memory" in result.text
