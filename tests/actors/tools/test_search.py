import pytest

from actors.sandbox.protocol import Sandbox
from actors.tools.search import SearchTools, glob_pattern
from actors.tools.tool import ToolError
from actors.tools.toolset import FunctionToolset


@pytest.fixture
async def tools(sandbox: Sandbox) -> FunctionToolset:
    files = {
        "src/greet.py": "def greet(name):\n    return name\n",
        "src/deep/er/part.py": "def part():\n    return greet('x')\n",
        "README.md": "# Greet\n",
        "node_modules/x/index.js": "greet\n",
        "blob.bin": "greet\x00\n",
    }
    for path, text in files.items():
        await sandbox.write_file(path, text.encode())
    return FunctionToolset(SearchTools(sandbox))


async def test_grep_answers_path_line_and_text_sorted(tools: FunctionToolset):
    result = await tools.call("grep", {"pattern": r"gre+t\b"})
    assert result.text.splitlines() == [
        "src/deep/er/part.py:2:    return greet('x')",
        "src/greet.py:1:def greet(name):",
    ]


async def test_grep_is_narrowed_by_path_name_and_case(tools: FunctionToolset):
    where = {"pattern": "GREET", "ignore_case": True, "files": "*.md"}
    assert (await tools.call("grep", where)).text == "README.md:1:# Greet"
    inside = await tools.call("grep", {"pattern": "greet", "path": "src/deep"})
    assert inside.text.startswith("src/deep/er/part.py:2:")


async def test_grep_shows_lines_around_a_match(tools: FunctionToolset):
    result = await tools.call("grep", {"pattern": "def part", "around": 1})
    assert result.text.splitlines() == [
        "src/deep/er/part.py:1:def part():",
        "src/deep/er/part.py:2-    return greet('x')",
    ]


async def test_grep_without_a_match_is_no_failure(tools: FunctionToolset):
    result = await tools.call("grep", {"pattern": "nowhere"})
    assert (result.ok, result.text) == (True, "No match.")


async def test_a_broken_expression_and_a_missing_path_are_failures(tools: FunctionToolset):
    for arguments in ({"pattern": "(unclosed"}, {"pattern": "x", "path": "nowhere"}):
        result = await tools.call("grep", arguments)
        assert not result.ok
        assert result.text


async def test_a_pattern_that_looks_like_an_option_is_a_pattern(tools: FunctionToolset):
    assert (await tools.call("grep", {"pattern": "--version"})).text == "No match."


async def test_glob_finds_files_with_and_without_git(tools: FunctionToolset, sandbox: Sandbox):
    wanted = {"pattern": "src/**/*.py"}
    found = "src/deep/er/part.py\nsrc/greet.py"
    assert (await tools.call("glob", wanted)).text == found
    await sandbox.exec("git init -q . && echo greet.py > .gitignore", timeout_s=10)
    assert (await tools.call("glob", wanted)).text == "src/deep/er/part.py"


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("*.py", "a/b/c.py", "a.pyc"),
        ("src/*.py", "src/a.py", "src/b/a.py"),
        ("**/test_?.py", "test_a.py", "test_ab.py"),
        ("src/**", "src/a/b", "tests/a"),
        ("*.{js,ts}", "x/a.ts", "a.tsx"),
        ("[!a].py", "b.py", "a.py"),
        ("a+b.py", "a+b.py", "aab.py"),
    ],
)
def test_globs_mean_what_people_mean(pattern: str, matching: str, other: str):
    expression = glob_pattern(pattern)
    assert expression.fullmatch(matching)
    assert not expression.fullmatch(other)


def test_a_broken_glob_is_a_failure_that_says_so():
    with pytest.raises(ToolError, match="no glob pattern"):
        glob_pattern("[z-a].py")


async def test_listing_shows_folders_and_sizes(tools: FunctionToolset):
    result = await tools.call("list_files", {})
    assert "src/" in result.text.splitlines()
    assert "README.md  8" in result.text.splitlines()
    deep = await tools.call("list_files", {"path": "src", "depth": 3})
    assert "src/deep/er/part.py  34" in deep.text.splitlines()
    assert "index.js" not in (await tools.call("list_files", {"depth": 5})).text
