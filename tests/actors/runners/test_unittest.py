"""unittest in a real sandbox, with the report that its tests cannot write."""

import pytest

from actors.runners.python import UnittestRunner
from orchestration.proof import Outcome
from tests.actors.runners.conftest import Run

pytestmark = pytest.mark.slow

UNITTEST = UnittestRunner()
MANY = {
    "pkg/__init__.py": "ONE = 1\n",
    "tests/__init__.py": "",
    "tests/test_many.py": """
import unittest
from pkg import ONE

class Many(unittest.TestCase):
    def test_passes(self): self.assertEqual(ONE, 1)
    def test_fails(self): self.assertEqual(ONE, 2)
    def test_raises(self): import pkg; pkg.two()
    @unittest.skip("later")
    def test_skipped(self): pass
    @unittest.expectedFailure
    def test_expected(self): self.fail()
    @unittest.expectedFailure
    def test_unexpected(self): pass
    def test_parts(self):
        for n in (1, 2):
            with self.subTest(n=n): self.assertEqual(n, 1)

class Broken(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise RuntimeError("in the set-up")
    def test_never(self): pass
""",
    "tests/test_import.py": "from pkg import two\n",
}


async def test_every_way_to_end_is_told_apart(run: Run) -> None:
    report = await run(UNITTEST, MANY)
    assert (report.problem, report.exit_code) == ("", 1)
    cases = {case.id.removeprefix("tests/test_"): case for case in report.cases}
    assert {id_: str(case.outcome) for id_, case in cases.items()} == {
        "many.py::Many::test_passes": "passed",
        "many.py::Many::test_fails": "failed",
        "many.py::Many::test_raises": "failed",
        "many.py::Many::test_skipped": "skipped",
        "many.py::Many::test_expected": "skipped",
        "many.py::Many::test_unexpected": "failed",
        "many.py::Many::test_parts": "failed",
        "many.py::Broken": "error",
        "import.py": "error",
    }
    says = {id_: case.message.partition("\n")[0] for id_, case in cases.items()}
    assert says["many.py::Many::test_fails"] == "AssertionError: 1 != 2"
    assert says["many.py::Many::test_raises"].startswith("AttributeError: module 'pkg'")
    assert says["import.py"].startswith("ImportError: cannot import name 'two'")
    assert says["many.py::Broken"] == "RuntimeError: in the set-up"


async def test_only_what_is_asked_for_runs(run: Run) -> None:
    report = await run(UNITTEST, MANY, only=("tests/test_many.py::Many::test_passes",))
    assert [case.id for case in report.cases] == ["tests/test_many.py::Many::test_passes"]
    report = await run(UNITTEST, MANY, only=("tests/test_import.py",))
    assert [(case.id, case.outcome) for case in report.cases] == [
        ("tests/test_import.py", Outcome.ERROR)
    ]


FAIL = "class A(unittest.TestCase):\n    def test_a(self): self.fail('no')\n"
PATCHER = """
import unittest
unittest.TestCase.fail = lambda self, msg=None: None
unittest.case.TestCase.run = lambda self, result=None: result.addSuccess(self)
"""
LIES = {
    "a patched runner": (PATCHER, "changes the test runner: unittest.case.TestCase."),
    "an early exit": ("import os, unittest\nos._exit(0)\n", "before unittest could report"),
    "an exit code of 0": (
        "import atexit, os, unittest\natexit.register(os._exit, 0)\n",
        "ended with code 1, its process with 0",
    ),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_run_that_lies_says_nothing(run: Run, lie: str) -> None:
    cheat, why = LIES[lie]
    test = f"import greet, unittest\n{FAIL}"
    report = await run(UNITTEST, {"greet.py": cheat, "test_a.py": test})
    assert why in report.problem


async def test_a_file_in_the_runners_place_is_not_imported_for_it(run: Run) -> None:
    shadow = "import os\nos._exit(0)\n"
    names = ("unittest.py", "json.py", "hmac.py", "sitecustomize.py")
    files = {**dict.fromkeys(names, shadow), "test_a.py": f"import unittest\n{FAIL}"}
    report = await run(UNITTEST, files)
    assert (report.problem, report.exit_code) == ("", 1)
    assert [case.outcome for case in report.cases] == [Outcome.FAILED]
