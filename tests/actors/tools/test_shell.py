import pytest

from actors.sandbox.protocol import Sandbox
from actors.tools.shell import ShellTools
from actors.tools.toolset import FunctionToolset

pytestmark = pytest.mark.slow


@pytest.fixture
def tools(sandbox: Sandbox) -> FunctionToolset:
    return FunctionToolset(ShellTools(sandbox))


async def test_a_command_answers_with_its_real_exit_code_and_all_in_order(tools: FunctionToolset):
    result = await tools.call("run", {"command": "echo out; echo err >&2; echo more; exit 3"})
    assert (result.ok, result.exit_code) == (False, 3)
    assert result.text.rstrip() == "out\nerr\nmore"
    assert result.seconds > 0


async def test_a_silent_success_says_so(tools: FunctionToolset):
    result = await tools.call("run", {"command": "true"})
    assert (result.ok, result.exit_code, result.text) == (True, 0, "(no output)")


async def test_a_command_that_does_not_end_is_ended_and_said_so(tools: FunctionToolset):
    result = await tools.call("run", {"command": "echo begun; sleep 60", "timeout_s": 0.3})
    assert (result.ok, result.exit_code) == (False, None)
    assert result.text.startswith("begun\n[no end after 0.3 s")


async def test_a_signal_is_named(tools: FunctionToolset):
    result = await tools.call("run", {"command": "kill -9 $$"})
    assert not result.ok
    assert "signal 9" in result.text


@pytest.mark.parametrize(
    ("command", "codes"),
    [
        ("(exit 5) | tail -1", "5 0"),
        ("(exit 4) | (exit 3) | cat", "4 3 0"),
        ("# tests\nfalse | cat", "1 0"),
        ("set -eu; false | cat", "1 0"),
    ],
)
async def test_a_failure_in_a_pipe_is_no_success(tools: FunctionToolset, command: str, codes: str):
    result = await tools.call("run", {"command": command})
    assert (result.ok, result.exit_code) == (False, 0)
    assert result.text == f"[exit codes in the last pipe: {codes}]"


@pytest.mark.parametrize(
    "command",
    [
        "yes | head -1",
        "false | cat; true",
        "false | cat && true",
        "false | true; exit 0",
        "set -u; echo y | cat",
        "cat <<END\ny\nEND",
        "cat <<END | cat\ny\nEND",
        "exec true",
    ],
)
async def test_what_ended_well_stays_a_success(tools: FunctionToolset, command: str):
    result = await tools.call("run", {"command": command})
    assert (result.ok, result.exit_code) == (True, 0)
    assert result.text in {"y", "(no output)"}


async def test_lines_are_counted_as_the_model_wrote_them(tools: FunctionToolset):
    assert "line 2:" in (await tools.call("run", {"command": "true\nnosuch"})).text
    broken = await tools.call("run", {"command": "if then"})
    assert not broken.ok
    assert "line 1: syntax error" in broken.text


async def test_a_command_sees_no_arguments_of_ours(tools: FunctionToolset):
    assert (await tools.call("run", {"command": "echo $# $*"})).text == "0"


async def test_starting_nothing_is_told(tools: FunctionToolset):
    result = await tools.call("background", {"action": "start"})
    assert (result.ok, result.text) == (False, "Give the `command` to start.")


async def test_a_command_runs_where_it_is_told(tools: FunctionToolset, sandbox: Sandbox):
    await sandbox.write_file("deep/x.txt", b"here")
    result = await tools.call("run", {"command": "cat x.txt", "folder": "deep"})
    assert result.text == "here"


async def test_a_background_process_is_started_watched_and_stopped(tools: FunctionToolset):
    started = await tools.call(
        "background", {"action": "start", "command": "echo up; echo warn >&2; exec sleep 60"}
    )
    assert started.text.startswith("Started process-1.")
    seen = ""
    while "warn" not in seen:
        seen += (
            await tools.call(
                "background", {"action": "output", "process": "process-1", "wait_s": 5}
            )
        ).text
    assert seen.index("up") < seen.index("warn")
    stopped = await tools.call("background", {"action": "stop", "process": "process-1"})
    assert stopped.ok
    gone = await tools.call("background", {"action": "output", "process": "process-1"})
    assert not gone.ok
    assert "Running: none" in gone.text


async def test_the_end_of_a_background_process_comes_with_its_last_words(tools: FunctionToolset):
    await tools.call("background", {"action": "start", "command": "seq 100000; echo last; exit 4"})
    answers = [
        await tools.call("background", {"action": "output", "process": "process-1", "wait_s": 2})
    ]
    while "has ended" not in answers[-1].text:
        answers.append(
            await tools.call(
                "background", {"action": "output", "process": "process-1", "wait_s": 2}
            )
        )
    result = answers[-1]
    whole = "".join(answer.text for answer in answers)
    assert "100000\nlast\n[process-1 has ended" in whole
    assert (result.ok, result.exit_code) == (False, 4)


async def test_closing_the_tools_ends_what_they_started(tools: FunctionToolset, sandbox: Sandbox):
    command = "echo $$ > pid; exec sleep 60"
    await tools.call("background", {"action": "start", "command": command})
    while not (await sandbox.exec("cat pid", timeout_s=5)).stdout.strip():
        pass
    await tools.close()
    alive = await sandbox.exec('kill -0 "$(cat pid)"', timeout_s=5)
    assert not alive.ok


async def test_only_so_many_processes_run_at_once(tools: FunctionToolset):
    for _ in range(8):
        assert (await tools.call("background", {"action": "start", "command": "exec sleep 60"})).ok
    assert (
        "Stop one first"
        in (await tools.call("background", {"action": "start", "command": "true"})).text
    )
    await tools.close()
