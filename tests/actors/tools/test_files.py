import pytest

from actors.sandbox.in_memory import InMemoryProvider
from actors.sandbox.protocol import FileMissingError, Sandbox, SandboxLostError, SandboxSpec
from actors.tools.files import PAGE_CHARACTERS, FileTools, canonical
from actors.tools.tool import ToolResult
from actors.tools.toolset import FunctionToolset


@pytest.fixture
async def sandbox() -> Sandbox:
    return await InMemoryProvider().create(SandboxSpec())


@pytest.fixture
def tools(sandbox: Sandbox) -> FunctionToolset:
    return FunctionToolset(FileTools(sandbox))


async def test_reading_shows_numbered_lines(sandbox: Sandbox, tools: FunctionToolset):
    await sandbox.write_file("a.py", b"x = 1\ny = 2\n")
    result = await tools.call("read", {"path": "/workspace/a.py"})
    assert result == ToolResult("     1\tx = 1\n     2\ty = 2", paths_read=("a.py",))


async def test_a_long_file_comes_in_pages_of_whole_lines(sandbox: Sandbox, tools: FunctionToolset):
    lines = [f"line {n} " + "x" * 60 for n in range(1, 1001)]
    await sandbox.write_file("long.txt", "\n".join(lines).encode())
    seen: list[str] = []
    first = 1
    while first <= 1000:
        result = await tools.call("read", {"path": "long.txt", "first_line": first})
        assert len(result.text) < PAGE_CHARACTERS + 500
        shown = [line for line in result.text.splitlines() if "\t" in line]
        seen += [line.split("\t", 1)[1] for line in shown]
        first += len(shown)
        assert first > 1000 or f"go on with first_line={first}" in result.text
    assert seen == lines


async def test_a_very_long_line_is_cut_and_says_so(sandbox: Sandbox, tools: FunctionToolset):
    await sandbox.write_file("min.js", b"x" * 50_000)
    result = await tools.call("read", {"path": "min.js"})
    assert "48,000 characters of this line left out" in result.text


@pytest.mark.parametrize(
    ("data", "arguments", "words"),
    [
        (b"ELF\x00\x01", {}, "binary file of 5 bytes"),
        (b"a\n", {"first_line": 9}, "only 1 line"),
        (b"x" * 10_000_001, {}, "larger than"),
    ],
)
async def test_what_cannot_be_read_is_said(
    sandbox: Sandbox, tools: FunctionToolset, data: bytes, arguments: dict[str, int], words: str
):
    await sandbox.write_file("f", data)
    result = await tools.call("read", {"path": "f", **arguments})
    assert not result.ok
    assert words in result.text


async def test_a_missing_file_and_a_path_outside_are_answers(tools: FunctionToolset):
    for path in ("nowhere.py", "../etc/passwd"):
        result = await tools.call("read", {"path": path})
        assert not result.ok
        assert path.rpartition("/")[2] in result.text


async def test_a_new_file_is_written_at_once(sandbox: Sandbox, tools: FunctionToolset):
    result = await tools.call("write", {"path": "src/new.py", "content": "x = 1\n"})
    assert result == ToolResult(
        "Created src/new.py: 1 line, 6 bytes.", paths_written=("src/new.py",)
    )
    assert await sandbox.read_file("src/new.py") == b"x = 1\n"


async def test_a_file_is_replaced_only_once_it_was_read(sandbox: Sandbox, tools: FunctionToolset):
    await sandbox.write_file("run.sh", b"old", mode=0o755)
    refused = await tools.call("write", {"path": "run.sh", "content": "new"})
    assert not refused.ok
    assert "Read it first" in refused.text
    await tools.call("read", {"path": "./run.sh"})
    assert (await tools.call("write", {"path": "run.sh", "content": "new"})).ok
    assert await sandbox.read_file("run.sh") == b"new"
    assert (await sandbox.stat("run.sh")).mode & 0o777 == 0o755


async def test_a_file_that_changed_meanwhile_is_not_overwritten(
    sandbox: Sandbox, tools: FunctionToolset
):
    await sandbox.write_file("a.py", b"one")
    await tools.call("read", {"path": "a.py"})
    await sandbox.write_file("a.py", b"two, by a formatter")
    refused = await tools.call("write", {"path": "a.py", "content": "three"})
    assert not refused.ok
    assert "has changed since" in refused.text
    assert await sandbox.read_file("a.py") == b"two, by a formatter"


async def test_writing_the_same_again_is_no_change(sandbox: Sandbox, tools: FunctionToolset):
    await sandbox.write_file("a.py", b"same")
    result = await tools.call("write", {"path": "a.py", "content": "same"})
    assert result.ok
    assert result.paths_written == ()


async def test_after_a_restart_files_read_before_may_be_written(sandbox: Sandbox):
    class Before:
        async def paths(self) -> set[str]:
            return {"a.py"}

    await sandbox.write_file("a.py", b"old")
    await sandbox.write_file("b.py", b"old")
    tools = FunctionToolset(FileTools(sandbox, Before()))
    assert (await tools.call("write", {"path": "a.py", "content": "new"})).ok
    assert not (await tools.call("write", {"path": "b.py", "content": "new"})).ok


async def test_an_edit_shows_the_changed_lines(sandbox: Sandbox, tools: FunctionToolset):
    await sandbox.write_file("a.py", "\n".join(f"line {n}" for n in range(1, 21)).encode())
    parts = [{"old": "line 10\n", "new": "ten\n"}, {"old": "line 20", "new": "twenty"}]
    result = await tools.call("edit", {"path": "a.py", "edits": parts})
    assert result.paths_written == ("a.py",)
    assert result.text.splitlines() == [
        "a.py: 2 replacements.",
        "     8\tline 8",
        "     9\tline 9",
        "    10\tten",
        "    11\tline 11",
        "    12\tline 12",
        "     ...",
        "    18\tline 18",
        "    19\tline 19",
        "    20\ttwenty",
    ]


async def test_changes_that_are_near_are_shown_in_one_piece(sandbox: Sandbox):
    tools = FunctionToolset(FileTools(sandbox))
    await sandbox.write_file("a.txt", "".join(f"line {n}\n" for n in range(1, 20)).encode())
    edits = [{"old": "line 3\n", "new": "three\n"}, {"old": "line 8\n", "new": "eight\n"}]
    told = (await tools.call("edit", {"path": "a.txt", "edits": edits})).text
    assert "..." not in told
    assert [line.split("\t")[1] for line in told.splitlines()[1:]] == [
        *("line 1", "line 2", "three", "line 4", "line 5"),
        *("line 6", "line 7", "eight", "line 9", "line 10"),
    ]


async def test_a_failing_edit_among_several_writes_nothing(
    sandbox: Sandbox, tools: FunctionToolset
):
    await sandbox.write_file("a.py", b"a = 1\n")
    parts = [{"old": "a", "new": "b"}, {"old": "zzz", "new": ""}]
    result = await tools.call("edit", {"path": "a.py", "edits": parts})
    assert not result.ok
    assert await sandbox.read_file("a.py") == b"a = 1\n"


async def test_bytes_that_are_no_text_survive_an_edit(sandbox: Sandbox, tools: FunctionToolset):
    await sandbox.write_file("latin.py", b"# caf\xe9\nx = 1\n")
    await tools.call("edit", {"path": "latin.py", "edits": [{"old": "x = 1", "new": "x = 2"}]})
    assert await sandbox.read_file("latin.py") == b"# caf\xe9\nx = 2\n"


async def test_an_edit_of_a_file_that_changed_meanwhile_says_so(
    sandbox: Sandbox, tools: FunctionToolset
):
    await sandbox.write_file("a.py", b"x = 1\n")
    await tools.call("read", {"path": "a.py"})
    await sandbox.write_file("a.py", b"x = 1\ny = 2\n")
    edits = [{"old": "x = 1", "new": "x = 3"}]
    result = await tools.call("edit", {"path": "a.py", "edits": edits})
    assert "had changed since" in result.text
    again = await tools.call("edit", {"path": "a.py", "edits": edits})
    assert again.ok
    assert "already applied" in again.text
    assert again.paths_written == ()


async def test_editing_what_does_not_exist_points_to_write(tools: FunctionToolset):
    result = await tools.call("edit", {"path": "no.py", "edits": [{"old": "a", "new": "b"}]})
    assert not result.ok
    assert "`write`" in result.text


async def test_a_lost_sandbox_is_no_answer(sandbox: Sandbox, tools: FunctionToolset):
    await sandbox.terminate()
    with pytest.raises(SandboxLostError):
        await tools.call("read", {"path": "a.py"})
    with pytest.raises(SandboxLostError):
        await tools.call("write", {"path": "a.py", "content": ""})
    assert not issubclass(SandboxLostError, FileMissingError)


@pytest.mark.parametrize(
    ("given", "one"),
    [("a.py", "a.py"), ("./x/../a.py", "a.py"), ("/workspace/a.py", "a.py"), ("/workspace", ".")],
)
def test_one_file_has_one_name(given: str, one: str):
    assert canonical(given) == one
