"""go test: what a recorded run of Go 1.19 says, and real runs where go is installed."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from actors.runners.go import GoRunner
from actors.sandbox.in_memory import InMemoryProvider, answered
from actors.sandbox.protocol import ExecResult, SandboxSpec
from orchestration.ids import CommitId
from orchestration.proof import Outcome, TestReport
from tests.actors.runners.conftest import Files, Run

RECORDED = Path(__file__).parent / "recorded"
GO = GoRunner()
needs_go = pytest.mark.skipif(not shutil.which("go"), reason="go is not installed")
LISTING = b"""greet/greet_test.go:5:func TestHello(t *testing.T) {
greet/greet_test.go:11:func TestFails(t *testing.T) {
greet/greet_test.go:15:func TestSkipped(t *testing.T) { t.Skip("later") }
greet/greet_test.go:17:func TestParts(t *testing.T) {
broken/a_test.go:5:func TestBye(t *testing.T) {
boom/a_test.go:5:func TestFirst(t *testing.T) {}
boom/a_test.go:6:func TestBoom(t *testing.T) { var m map[string]int; m["a"] = 1 }
boom/a_test.go:7:func TestNever(t *testing.T) {}
quit/a_test.go:8:func TestFirst(t *testing.T) {}
quit/a_test.go:9:func TestQuit(t *testing.T) { syscall.Exit(0) }
"""


async def reported(stdout: bytes, stderr: bytes = b"", code: int = 1) -> TestReport:
    async def answer(argv: Sequence[str], files: dict[str, bytes]) -> ExecResult:
        return answered(0, LISTING) if argv[0] == "git" else answered(code, stdout, stderr)

    sandbox = await InMemoryProvider(handler=answer).create(SandboxSpec())
    await sandbox.write_file("go.mod", b"module example.com/m\n\ngo 1.19\n")
    return await GO.run(sandbox, CommitId("1" * 40), timeout_s=5)


def recorded(*without: str) -> bytes:
    lines = (RECORDED / "go-1.19.jsonl").read_text().splitlines(keepends=True)
    return "".join(line for line in lines if not any(w in line for w in without)).encode()


async def test_every_way_to_end_is_told_apart() -> None:
    stderr = (RECORDED / "go-1.19.stderr").read_bytes()
    report = await reported(recorded("m/quit"), stderr)
    assert report.problem == ""
    cases = {case.id: case for case in report.cases}
    assert {id_: str(case.outcome) for id_, case in cases.items()} == {
        "boom/a_test.go::TestFirst": "passed",
        "boom/a_test.go::TestBoom": "failed",
        "greet/greet_test.go::TestHello": "passed",
        "greet/greet_test.go::TestFails": "failed",
        "greet/greet_test.go::TestSkipped": "skipped",
        "greet/greet_test.go::TestParts": "failed",
        "greet/greet_test.go::TestParts[one]": "passed",
        "greet/greet_test.go::TestParts[two]": "failed",
        "broken/a_test.go::TestBye": "error",
    }
    says = {id_: case.message.partition("\n")[0] for id_, case in cases.items()}
    assert says["greet/greet_test.go::TestFails"] == 'got "Hello Bo"'
    assert says["boom/a_test.go::TestBoom"] == "panic: assignment to entry in nil map [recovered]"
    assert says["broken/a_test.go::TestBye"] == "undefined: Bye"
    assert 'got "Hello Bo"' in report.tail


async def test_a_test_that_ends_the_process_is_no_success() -> None:
    report = await reported(recorded("m/boom", "m/greet", "m/broken"), code=0)
    assert report.problem == "TestQuit of example.com/m/quit began, and the run ended before it did"


async def test_a_sandbox_without_go_says_so() -> None:
    assert "no go in the sandbox" in (await reported(b"", code=127)).problem
    report = await reported(b"", b"go: cannot find main module\n", 1)
    assert report.problem == "go test could not run: go: cannot find main module"


CODE: Files = {
    "go.mod": "module example.com/m\n\ngo 1.19\n",
    "greet/greet.go": 'package greet\n\nfunc Hello(n string) string { return "Hello " + n }\n',
    "greet/greet_test.go": 'package greet\n\nimport "testing"\n\n'
    'func TestHello(t *testing.T) { if Hello("A") != "Hello A" { t.Fatal() } }\n',
    "other/other.go": "package other\n",
    "other/other_test.go": 'package other\n\nimport "testing"\n\nfunc TestA(t *testing.T) {}\n',
}
BYE: Files = {
    "greet/bye_test.go": 'package greet\n\nimport "testing"\n\n'
    'func TestBye(t *testing.T) { if Bye("A") != "Bye A" { t.Fatal() } }\n'
}


@needs_go
@pytest.mark.slow
async def test_a_real_run_names_what_is_missing(run: Run) -> None:
    report = await run(GO, {**CODE, **BYE})
    assert report.problem == ""
    assert {c.id: (str(c.outcome), c.message.partition("\n")[0]) for c in report.cases} == {
        "greet/bye_test.go::TestBye": ("error", "undefined: Bye"),
        "greet/greet_test.go::TestHello": ("error", "undefined: Bye"),
        "other/other_test.go::TestA": ("passed", ""),
    }


@needs_go
@pytest.mark.slow
async def test_only_what_is_asked_for_runs(run: Run) -> None:
    for only in ("other/other_test.go", "other/other_test.go::TestA"):
        report = await run(GO, CODE, only=(only,))
        assert (report.exit_code, report.problem) == (0, "")
        assert [(c.id, c.outcome) for c in report.cases] == [
            ("other/other_test.go::TestA", Outcome.PASSED)
        ]
