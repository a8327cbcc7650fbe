"""`go test -json`: what each test did, as the go command tells it, against its exit code.

The go command reads its events from what test binaries print, so that a test binary could print
false ones; the tests are frozen, and code that does so stands out (see the scanners' lines).
"""

import re
import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from actors.runners.reporting import TAIL, clean, ending, message_of, report
from actors.runners.runner import Place, Ran
from orchestration.ids import CommitId
from orchestration.proof import Outcome, TestCase, TestReport

_ENV = {"GOPROXY": "off", "GOTOOLCHAIN": "local"}
"""Nothing is downloaded: packages that are missing fail at once and by name."""
_MAX_OUTPUT = 50_000_000
_FUNCTIONS = r"^func (Test|Example|Fuzz)[A-Z_0-9]?[A-Za-z_0-9]*\("
_FUNCTION = re.compile(r"^(?P<file>[^:\n]+_test\.go):\d+:func (?P<name>\w+)\(", re.MULTILINE)
_ENDS = {"pass": Outcome.PASSED, "fail": Outcome.FAILED, "skip": Outcome.SKIPPED}
_UNBUILT = re.compile(r"^# (?P<package>\S+?)(_test)?( \[(?P<tested>\S+)\.test\])?$", re.MULTILINE)
_PLACE = re.compile(r"^\s*[\w./-]+\.go:\d+(:\d+)?: ")

Files = Mapping[tuple[str, str], str]
"""Directory and name of a test function -> its file."""


class Event(BaseModel):
    """One line of the report, as `go doc test2json` has it."""

    model_config = ConfigDict(extra="ignore")

    action: str = Field(alias="Action")
    package: str = Field(default="", alias="Package")
    test: str = Field(default="", alias="Test")
    output: str = Field(default="", alias="Output")


@dataclass(frozen=True, slots=True)
class GoRunner:
    """`go test` with its JSON report. `args` name packages or options."""

    args: tuple[str, ...] = ("./...",)

    @property
    def command(self) -> str:
        return shlex.join(("go", "test", *self.args))

    async def run(
        self, place: Place, commit: CommitId, *, timeout_s: float, only: Sequence[str] = ()
    ) -> TestReport:
        files = await _files(place)
        argv = ["go", "test", "-json", "-count=1", *(_selected(only, files) or self.args)]
        ran = await place.exec(argv, timeout_s=timeout_s, env=_ENV, max_output=_MAX_OUTPUT)
        module = await _module(place)
        read = Reading(module, files, clean(ran.stderr, _MAX_OUTPUT))
        read.take(ran.stdout.decode(errors="replace"))
        problem = ending(ran, timeout_s) or _why_silent(ran, read) or read.unfinished()
        made = report(ran, commit, self.command, cases=read.cases(), problem=problem)
        return made.model_copy(update={"tail": clean(read.printed or ran.stderr, TAIL)})


@dataclass
class Reading:
    """A run as its events tell it."""

    module: str
    files: Files
    built: str = ""
    """What the compiler says."""
    said: defaultdict[tuple[str, str], list[str]] = field(
        default_factory=lambda: defaultdict[tuple[str, str], list[str]](list)
    )
    ended: dict[tuple[str, str], Outcome] = field(default_factory=dict[tuple[str, str], Outcome])
    """By package and test; the test of a package itself is "" ."""
    began: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    printed: str = ""

    def take(self, lines: str) -> None:
        for line in lines.splitlines():
            try:
                event = Event.model_validate_json(line)
            except ValidationError:
                self.printed += f"{line}\n"  # a package that was not built says so in plain text
                continue
            key = (event.package, event.test)
            if event.action == "build-output":  # Go 1.24 and newer; older ones use stderr
                self.built += event.output
            elif event.action == "output":
                self.said[key].append(event.output)
                self.printed += event.output
            elif event.action == "run":
                self.began.append(key)
            elif outcome := _ENDS.get(event.action):
                self.ended[key] = outcome

    def unfinished(self) -> str:
        """The test that an early exit cut off although the run counts as passed, or ""."""
        for package, test in reversed(self.began):
            outcome = self.ended.get((package, ""))  # older Go gives the package's end to the test
            if outcome is None or (outcome is _ENDS["pass"] and (package, test) not in self.ended):
                return f"{test} of {package} began, and the run ended before it did"
        return ""

    def cases(self) -> Iterator[TestCase]:
        for (package, test), outcome in self.ended.items():
            if test:
                text = "".join(self.said[package, test])
                message = "" if outcome is Outcome.PASSED else message_of(_crash(text), text)
                yield TestCase(id=self._id(package, test), outcome=outcome, message=message)
        yield from self._unbuilt()
        yield from self._cut_off()

    def _unbuilt(self) -> Iterator[TestCase]:
        """Every test of a package that does not build, with the compiler's words."""
        for found in _UNBUILT.finditer(self.built):
            package = found["tested"] or found["package"]
            words = self.built[found.end() :].partition("\n# ")[0].strip()
            message = message_of(_crash(words), words)
            folder = self._folder(package)
            names = [name for (place, name) in self.files if place == folder]
            for name in names or [""]:
                id_ = self._id(package, name) if name else folder or package
                yield TestCase(id=id_, outcome=Outcome.ERROR, message=message)

    def _cut_off(self) -> Iterator[TestCase]:
        """A package that failed although no test of it did: a panic outside of tests, an exit."""
        failed = {
            package for (package, test), o in self.ended.items() if test and o is _ENDS["fail"]
        }
        for (package, test), outcome in self.ended.items():
            if not test and outcome is Outcome.FAILED and package not in failed:
                text = "".join(self.said[package, ""])
                if "[build failed]" not in text and "[setup failed]" not in text:
                    message = message_of(_crash(text), text)
                    yield TestCase(id=package, outcome=Outcome.ERROR, message=message)

    def _id(self, package: str, test: str) -> str:
        folder = self._folder(package)
        name, _, part = test.partition("/")
        file = self.files.get((folder, name)) if folder is not None else None
        return f"{file or package}::{name}[{part}]" if part else f"{file or package}::{name}"

    def _folder(self, package: str) -> str | None:
        """The package's directory, "." for the root; None outside of the root's module."""
        if package == self.module:
            return "."
        inside = self.module and package.startswith(f"{self.module}/")
        return package[len(self.module) + 1 :] if inside else None


async def _files(place: Place) -> Files:
    argv = ["git", "grep", "-nE", _FUNCTIONS, "--", "*_test.go"]
    ran = await place.exec(argv, timeout_s=60, max_output=_MAX_OUTPUT)
    found = _FUNCTION.finditer(ran.stdout.decode(errors="replace"))
    return {(str(PurePosixPath(m["file"]).parent), m["name"]): m["file"] for m in found}


async def _module(place: Place) -> str:
    try:
        text = (await place.read_file("go.mod", limit=100_000)).decode(errors="replace")
    except FileNotFoundError:
        return ""
    named = re.search(r"^module\s+\"?([^\s\"]+)", text, re.MULTILINE)
    return named[1] if named else ""


def _selected(only: Sequence[str], files: Files) -> list[str]:
    """Arguments that run these files' or ids' tests; empty for the whole suite."""
    wanted = [test.partition("::") for test in only]
    names = {name.partition("[")[0] for _, _, name in wanted if name}
    for path in [file for file, _, name in wanted if not name]:
        names |= {name for (_, name), file in files.items() if file == path}
    folders = sorted({f"./{PurePosixPath(file).parent}" for file, _, _ in wanted})
    return ["-run", f"^({'|'.join(sorted(names))})$", *folders] if names else folders


def _crash(text: str) -> str:
    """The line that says why: a panic, or what a test or the compiler says of a place."""
    lines = text.splitlines()
    panics = [line for line in lines if line.startswith(("panic:", "fatal error:"))]
    placed = [_PLACE.sub("", line) for line in lines if _PLACE.match(line)]
    return (panics + placed + [line.strip() for line in lines if line.strip()] + [""])[0]


def _why_silent(ran: Ran, read: Reading) -> str:
    if ran.exit_code == 127:
        return "there is no go in the sandbox; add a toolchain that has it"
    if ran.exit_code and not read.ended and not _UNBUILT.search(read.built):
        return f"go test could not run: {clean(ran.stderr or ran.stdout, 300)}"
    return ""
