"""pytest in a real sandbox: what it says, and how it may be lied to."""

from collections.abc import Sequence

import pytest

from actors.runners.python import PytestRunner
from actors.sandbox.in_memory import InMemoryProvider, answered
from actors.sandbox.protocol import ExecResult, Sandbox, SandboxSpec
from orchestration.ids import CommitId
from orchestration.proof import Outcome, TestReport
from tests.actors.runners.conftest import Run

pytestmark = pytest.mark.slow

PYTEST = PytestRunner()

MANY = {
    "pytest.ini": "[pytest]\naddopts = -x --no-such-plugin=1\nxfail_strict = true\n",
    "src/pkg/__init__.py": "ONE = 1\n",
    "tests/shared.py": "class Shared:\n    def test_inherited(self): pass\n",
    "tests/test_many.py": """
import pytest, subprocess, sys
from pkg import ONE
from shared import Shared


def test_passes(): assert ONE == 1
def test_fails(): assert ONE == 2, "not two"
def test_raises(): {}["key"]
def test_missing(): import pkg; pkg.two()
@pytest.mark.skip
def test_skipped(): pass
@pytest.mark.xfail
def test_expected_to_fail(): assert 0
@pytest.mark.xfail
def test_passes_unexpectedly(): pass
@pytest.mark.parametrize("x", ["a::b", "c d", "\\u00e9"])
def test_each(x): pass
def test_no_fixture(nothing): pass
@pytest.fixture
def breaks(): raise RuntimeError("in the fixture")
def test_setup(breaks): pass
@pytest.fixture
def leaves():
    yield
    raise RuntimeError("on the way out")
def test_teardown(leaves): pass
class TestGroup(Shared):
    def test_inner(self): pass
def test_child_process():
    subprocess.run([sys.executable, "-c", "import pkg"], check=True)
def test_prints(): print("\\x1b[31mred\\x1b[0m"); assert False, "\\x1b]0;title\\x07 \\u202e"
""",
    "tests/test_import.py": "from pkg import two\n\ndef test_it(): pass\n",
    "tests/test_syntax.py": "def test_it(:\n",
    "tests/test_module_skip.py": "import pytest\npytest.skip('all', allow_module_level=True)\n",
    "tests/test_unit.py": "import unittest as u\nclass T(u.TestCase):\n    def test_u(s): pass\n",
}


async def test_every_way_to_end_is_told_apart(run: Run) -> None:
    report = await run(PYTEST, MANY)
    assert report.problem == ""
    assert (report.exit_code, report.ended, report.command) == (1, "exited", "python -m pytest")
    cases = {case.id.removeprefix("tests/test_"): case for case in report.cases}
    assert {id_: str(case.outcome) for id_, case in cases.items()} == {
        "many.py::test_passes": "passed",
        "many.py::test_fails": "failed",
        "many.py::test_raises": "failed",
        "many.py::test_missing": "failed",
        "many.py::test_skipped": "skipped",
        "many.py::test_expected_to_fail": "skipped",
        "many.py::test_passes_unexpectedly": "failed",
        "many.py::test_each[a::b]": "passed",
        "many.py::test_each[c d]": "passed",
        "many.py::test_each[\\xe9]": "passed",
        "many.py::test_no_fixture": "error",
        "many.py::test_setup": "error",
        "many.py::test_teardown": "error",
        "many.py::TestGroup::test_inner": "passed",
        "many.py::TestGroup::test_inherited": "passed",
        "many.py::test_child_process": "passed",
        "many.py::test_prints": "failed",
        "import.py": "error",
        "syntax.py": "error",
        "module_skip.py": "skipped",
        "unit.py::T::test_u": "passed",
    }

    def says(name: str) -> str:
        return cases[name].message.partition("\n")[0]

    assert says("many.py::test_fails").startswith("AssertionError: not two")
    assert says("many.py::test_raises") == "KeyError: 'key'"
    assert says("many.py::test_missing").startswith("AttributeError: module 'pkg'")
    assert says("many.py::test_no_fixture") == "fixture 'nothing' not found"
    assert says("many.py::test_setup") == "RuntimeError: in the fixture"
    assert says("import.py").startswith("ImportError: cannot import name 'two'")
    assert says("syntax.py").startswith("SyntaxError:")
    assert "\x1b" not in cases["many.py::test_prints"].message + report.tail


@pytest.mark.slow
async def test_a_green_suite_is_clean_and_leaves_no_trace(run: Run, sandbox: Sandbox) -> None:
    report = await run(PYTEST, {"test_a.py": "def test_a(): pass\n"})
    assert (report.exit_code, report.problem) == (0, "")
    assert [case.id for case in report.cases] == ["test_a.py::test_a"]
    status = await sandbox.exec(["git", "status", "--porcelain", "--ignored"], timeout_s=20)
    assert status.stdout == b""
    assert not [f for f in await sandbox.list_files(".git") if "manta" in f.path]


@pytest.mark.slow
async def test_no_tests_is_a_sound_report_of_nothing(run: Run) -> None:
    report = await run(PYTEST, {"a.py": ""})
    assert (report.exit_code, report.cases, report.problem) == (5, (), "")


@pytest.mark.slow
async def test_only_what_is_asked_for_runs(run: Run) -> None:
    files = {"test_a.py": "def test_a(): pass\ndef test_b(): pass\n", "test_c.py": "assert 0\n"}
    report = await run(PYTEST, files, only=("test_a.py::test_b",))
    assert [case.id for case in report.cases] == ["test_a.py::test_b"]


@pytest.mark.slow
async def test_a_hanging_test_is_ended_and_named(run: Run) -> None:
    hang = "import time\ndef test_hang(): time.sleep(600)\n"
    report = await run(PYTEST, {"test_a.py": hang}, timeout_s=2)
    assert (report.ended, report.exit_code, report.cases) == ("timeout", None, ())
    assert report.problem == "the tests ran longer than 2 s, in test_a.py::test_hang"


FAIL = "def test_a(): assert 0\n"
FORGER = """
import atexit, json, os, sys
def forge():
    target = sys.argv[1]
    body = json.dumps({"code": 0, "records": [
        {"id": "test_a.py::test_a", "when": "call", "outcome": "passed"}]})
    open(target, "w").write("0" * 64 + "\\n" + body)
    os._exit(0)
atexit.register(forge)
"""
PATCHER = """
import _pytest.reports as r
old = r.TestReport.from_item_and_call.__func__
def passed(cls, item, call):
    call.excinfo = None
    return old(cls, item, call)
r.TestReport.from_item_and_call = classmethod(passed)
"""
REWRITER = """
import __main__
def add(self, report, when):
    self.records.append(
        {"id": report.nodeid, "when": when, "outcome": "passed", "crash": "", "text": ""})
__main__.Reporter.add.__code__ = add.__code__
"""
LIES = {
    "a patched runner": (
        {"greet.py": PATCHER, "test_a.py": "import greet\n" + FAIL},
        "changes the test runner: _pytest.reports.TestReport.from_item_and_call",
    ),
    "a patched reporter": (
        {"test_a.py": REWRITER + FAIL},
        "changes the test runner: __main__.Reporter.add",
    ),
    "an early exit": ({"test_a.py": "import os\nos._exit(0)\n"}, "before pytest could report"),
    "a kill": (
        {"test_a.py": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"},
        "killed by signal 9",
    ),
    "an exit code of 0": (
        {"test_a.py": "import atexit, os\natexit.register(os._exit, 0)\n" + FAIL},
        "ended with code 1, its process with 0",
    ),
    "a forged report": ({"test_a.py": FORGER + FAIL}, "not written by the runner"),
}


QUICKEST = "a forged report"


@pytest.mark.parametrize(
    "lie", [pytest.param(lie, marks=[pytest.mark.slow] * (lie != QUICKEST)) for lie in LIES]
)
async def test_a_run_that_lies_says_nothing(run: Run, lie: str) -> None:
    files, why = LIES[lie]
    report = await run(PYTEST, files)
    assert why in report.problem


@pytest.mark.slow
async def test_a_file_in_the_runners_place_is_not_imported_for_it(run: Run) -> None:
    shadow = "import os\nos._exit(0)\n"
    names = ("pytest.py", "json.py", "hmac.py", "pluggy/__init__.py", "sitecustomize.py")
    report = await run(PYTEST, {**dict.fromkeys(names, shadow), "tests/test_a.py": FAIL})
    assert (report.problem, report.exit_code) == ("", 1)
    assert [case.outcome for case in report.cases] == [Outcome.FAILED]


@pytest.mark.slow
async def test_a_package_that_pytest_depends_on_can_be_worked_on(run: Run) -> None:
    test = "import iniconfig\ndef test_a(): assert iniconfig.MINE\n"
    report = await run(PYTEST, {"src/iniconfig/__init__.py": "MINE = 1\n", "test_a.py": test})
    assert (report.problem, report.exit_code) == ("", 0)


@pytest.mark.slow
async def test_a_threshold_in_the_settings_is_not_a_failing_test(run: Run) -> None:
    plugin = """
def pytest_addoption(parser): parser.addoption("--strict-run", action="store_true")
def pytest_sessionfinish(session):
    if session.config.getoption("--strict-run"): session.exitstatus = 1
"""
    files = {
        "pytest.ini": "[pytest]\naddopts = --strict-run\n",
        "conftest.py": plugin,
        "test_a.py": "def test_a(): pass\n",
    }
    report = await run(PYTEST, files)
    assert (report.problem, report.exit_code, len(report.cases)) == ("", 0, 1)


@pytest.mark.slow
async def test_settings_that_pytest_cannot_read_are_a_problem(run: Run) -> None:
    report = await run(PYTEST, {"pytest.ini": "[pytest\n", "test_a.py": FAIL})
    assert "pytest" in report.problem
    assert report.cases == ()


async def test_a_sandbox_without_pytest_says_so() -> None:
    report = await in_a_sandbox_answering(1, b"ModuleNotFoundError: No module named 'pytest'")
    assert report.problem == "the sandbox's Python has no pytest; add a toolchain that has it"
    report = await in_a_sandbox_answering(127, b"python3: not found")
    assert "no python3" in report.problem


async def in_a_sandbox_answering(code: int, stderr: bytes) -> TestReport:
    async def answer(argv: Sequence[str], files: dict[str, bytes]) -> ExecResult:
        return answered(code, stderr=stderr)

    sandbox = await InMemoryProvider(handler=answer).create(SandboxSpec())
    return await PYTEST.run(sandbox, CommitId("1" * 40), timeout_s=5)
