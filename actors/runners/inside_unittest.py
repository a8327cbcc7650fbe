"""Runs inside a sandbox: unittest, and a signed report of what each test did.

Arguments: the report's path, then unittest's own. First line of stdin: the key to sign with.
Needs Python 3.8 or newer; imports unittest before anything of the workspace can stand in its way.
"""

import re
import sys
import unittest
from pathlib import Path
from typing import Any

from actors.runners.inside_guard import machinery, make_importable, patched, write_signed

TRUSTED = {"unittest", "traceback"}
"""What a report rests on."""
KEEP = 4000
"""Characters kept of one failure's text."""
_AROUND = re.compile(r"\w+ \((?P<name>[\w.]+)\)")
_UNLOADED = "unittest.loader._FailedTest."


def file_of(module: str) -> str:
    """The workspace's file of a module, or the module's name."""
    loaded = getattr(sys.modules.get(module), "__file__", None)
    guess = Path(loaded) if loaded else Path(module.replace(".", "/") + ".py")
    path = guess if guess.is_absolute() else Path.cwd() / guess
    if not path.is_file() or Path.cwd() not in path.parents:
        return module
    return path.relative_to(Path.cwd()).as_posix()


def unloaded(name: str) -> str:
    """The file of a module that could not be imported; named in full only by discovery."""
    asked = [Path(a.replace(".py", "").replace(".", "/") + ".py") for a in sys.argv[2:]]
    named = [path.as_posix() for path in asked if path.stem == name and path.is_file()]
    return (named or [file_of(name)])[0]


def id_of(test: Any) -> "tuple[str, bool]":
    """`tests/test_a.py::Case::test_b`, and whether it stands for more than one test."""
    name = str(test.id())
    if name.startswith(_UNLOADED):  # a module that could not be imported, or found
        return unloaded(name[len(_UNLOADED) :]), True
    if name.startswith("unittest.loader.ModuleSkipped."):
        return file_of(name.rpartition("ModuleSkipped.")[2]), True
    around = _AROUND.fullmatch(name)
    if around:  # setUpClass (tests.test_a.Case), setUpModule (tests.test_a)
        module, _, case = around.group("name").rpartition(".")
        if around.group("name") in sys.modules:
            return file_of(around.group("name")), True
        return f"{file_of(module)}::{case}", True
    module, method = type(test).__module__, getattr(test, "_testMethodName", name)
    return f"{file_of(module)}::{type(test).__qualname__}::{method}", False


class Result(unittest.TextTestResult):
    """Collects what unittest says of each test."""

    running = Path("running")
    records: "list[dict[str, str]]" = []  # noqa: RUF012 - of the one run of this process

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802 - unittest's name
        """Leave word of what runs, for a host that has to end it."""
        self.running.write_text(id_of(test)[0], encoding="utf-8", errors="replace")
        super().startTest(test)

    def note(self, test: Any, outcome: str, text: str = "") -> None:
        name, many = id_of(test)
        record = {"id": name, "when": "collect" if many else "call", "outcome": outcome}
        last = [line for line in text.splitlines() if line.strip() and not line.startswith(" ")]
        crash = next((line for line in reversed(last) if re.match(r"[\w.]+(:|$)", line)), "")
        self.records.append({**record, "crash": crash[:KEEP], "text": text[-KEEP:]})

    def addSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802 - as above
        super().addSuccess(test)
        self.note(test, "passed")

    def addError(self, test: Any, err: Any) -> None:  # noqa: N802 - as above
        super().addError(test, err)
        self.note(test, "failed", self.errors[-1][1])

    def addFailure(self, test: Any, err: Any) -> None:  # noqa: N802 - as above
        super().addFailure(test, err)
        self.note(test, "failed", self.failures[-1][1])

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:  # noqa: N802 - as above
        super().addSkip(test, reason)
        self.note(test, "skipped", reason)

    def addExpectedFailure(self, test: Any, err: Any) -> None:  # noqa: N802 - as above
        super().addExpectedFailure(test, err)
        self.note(test, "skipped", "expected to fail")

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802 - as above
        super().addUnexpectedSuccess(test)
        self.note(test, "failed", "AssertionError: it passes, and was expected to fail")

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:  # noqa: N802 - as above
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.note(test, "failed", (self.failures + self.errors)[-1][1])


def main() -> int:
    """Run, write the signed report, and give unittest's exit code."""
    key = sys.stdin.buffer.readline().strip()
    target = Path(sys.argv[1]).absolute()
    before = machinery(TRUSTED)
    make_importable(Path.cwd())
    Result.running = target.with_name("running")
    kind: Any = Result  # typeshed wants a stream type that it keeps to itself
    runner = unittest.TextTestRunner(resultclass=kind)
    argv = ["python -m unittest", *sys.argv[2:]]
    program = unittest.main(module=None, argv=argv, exit=False, testRunner=runner)
    code = 0 if program.result.wasSuccessful() else 1
    changed = patched(before, TRUSTED)[:20]
    write_signed(target, key, {"code": code, "patched": changed, "records": Result.records})
    return code


if __name__ == "__main__":
    sys.exit(main())
