import pytest

from actors.sandbox.protocol import Sandbox
from actors.tools.git import GitTools
from actors.tools.toolset import FunctionToolset

pytestmark = pytest.mark.slow

_BEGIN = """
git init -q . && git config user.name T && git config user.email t@t
echo one > a.txt && git add a.txt && git commit -qm 'Begin'
echo two > a.txt && echo new > b.txt
"""


@pytest.fixture
async def tools(sandbox: Sandbox) -> FunctionToolset:
    assert (await sandbox.exec(_BEGIN, timeout_s=10)).ok
    return FunctionToolset(GitTools(sandbox))


async def test_status_diff_and_log_tell_the_change(tools: FunctionToolset):
    assert "M a.txt\n?? b.txt" in (await tools.call("git_status", {})).text
    diff = (await tools.call("git_diff", {})).text
    assert "-one\n+two" in diff
    assert diff.endswith("New files, not in the diff:\nb.txt")
    assert (await tools.call("git_log", {"count": 1})).text.endswith("T: Begin")


async def test_a_diff_runs_no_program_that_the_repository_names(
    tools: FunctionToolset, sandbox: Sandbox
):
    hostile = "git config diff.external 'touch owned; cat' && git config core.pager 'touch owned'"
    await sandbox.exec(hostile, timeout_s=10)
    assert "-one\n+two" in (await tools.call("git_diff", {})).text
    assert not (await sandbox.exec("test -e owned", timeout_s=5)).ok


@pytest.mark.parametrize("since", ["--output=owned", "", "a b"])
async def test_a_commit_that_is_an_option_is_refused(
    tools: FunctionToolset, sandbox: Sandbox, since: str
):
    result = await tools.call("git_diff", {"since": since})
    assert result.text.startswith("The arguments of `git_diff` are not valid:\n- since")
    assert not (await sandbox.exec("test -e owned", timeout_s=5)).ok


async def test_git_that_fails_says_why(tools: FunctionToolset):
    result = await tools.call("git_diff", {"since": "nowhere"})
    assert not result.ok
    assert "nowhere" in result.text
