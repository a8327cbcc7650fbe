"""cargo: tests are built with its JSON report, then each test program is run by itself.

So every program's exit code comes from the kernel, and a target that does not build says why
while the others still run.
"""

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import PurePosixPath

from pydantic import BaseModel, ConfigDict, ValidationError

from actors.runners.reporting import clean, ending, merged, message_of, report
from actors.runners.runner import Place, Ran
from orchestration.gates import contradiction
from orchestration.ids import CommitId
from orchestration.proof import Outcome, TestCase, TestReport

_ENV = {"CARGO_NET_OFFLINE": "true", "RUST_BACKTRACE": "0", "CARGO_TERM_COLOR": "never"}
"""Nothing is downloaded: packages that are missing fail at once and by name."""
_MAX_OUTPUT = 50_000_000
_OUTCOMES = {"ok": Outcome.PASSED, "FAILED": Outcome.FAILED, "ignored": Outcome.SKIPPED}
_LINE = re.compile(r"^test (?P<name>.+?)(?: - should panic)? \.\.\. (?P<end>ok|FAILED|ignored)\b",
                   re.MULTILINE)  # fmt: skip
_SUMMARY = re.compile(r"^test result: (?:ok|FAILED)\. (\d+) passed; (\d+) failed; (\d+) ignored;",
                      re.MULTILINE)  # fmt: skip
_SAID = re.compile(r"^---- (?P<name>.+?) stdout ----\n(?P<text>.*?)(?=^---- |^failures:$)",
                   re.MULTILINE | re.DOTALL)  # fmt: skip
_PANIC = re.compile(r"panicked at [^\n]*:\n(?P<why>[^\n]+)")
_DOC = re.compile(r"^(?P<file>\S+) - (?P<what>.*?) ?\(line \d+\)$")


class Target(BaseModel):
    """What cargo builds one program of."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    kind: tuple[str, ...]
    name: str
    src_path: str
    doctest: bool = False

    @property
    def selector(self) -> tuple[str, ...]:
        """How cargo is asked for this target alone."""
        kind = self.kind[0]
        return (f"--{kind}", self.name) if kind in {"test", "bin", "example"} else ("--lib",)


class _Text(BaseModel):
    model_config = ConfigDict(extra="ignore")
    level: str
    message: str
    rendered: str | None = None


class _Line(BaseModel):
    """One line of cargo's report."""

    model_config = ConfigDict(extra="ignore")
    reason: str
    manifest_path: str = ""
    target: Target | None = None
    message: _Text | None = None
    executable: str | None = None


@dataclass(frozen=True, slots=True)
class Built:
    """What one call of cargo came to."""

    ran: Ran
    lines: tuple[_Line, ...]

    @property
    def programs(self) -> list[_Line]:
        return [line for line in self.lines if line.executable and line.target]

    @property
    def broken(self) -> dict[Target, str]:
        """Targets that did not build, and the compiler's words."""
        words: dict[Target, str] = {}
        for line in self.lines:
            if line.target and line.message and line.message.level == "error":
                said = f"{line.message.message}\n{line.message.rendered or ''}"
                words[line.target] = words.get(line.target, "") + said
        return words


@dataclass(frozen=True, slots=True)
class CargoRunner:
    """`cargo test`, target by target. `args` are cargo's own, such as `--workspace`."""

    args: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        return shlex.join(("cargo", "test", *self.args))

    async def run(
        self, place: Place, commit: CommitId, *, timeout_s: float, only: Sequence[str] = ()
    ) -> TestReport:
        files = {test.partition("::")[0] for test in only}
        first = await self._build(place, timeout_s, ())
        last = first
        if first.broken:
            rest = [t for t in await self._targets(place) if t not in first.broken]
            if rest:
                last = await self._build(place, timeout_s, [a for t in rest for a in t.selector])
        root = await _root(place)
        cases = [_unbuilt(target, said, root) for target, said in first.broken.items()]
        if why := ending(last.ran, timeout_s) or _why_silent(first):
            return report(last.ran, commit, self.command, problem=why)
        tally = Tally(root, cases)
        for program in last.programs:
            if not files or tally.file(program) in files:
                await tally.run(place, program, timeout_s)
        if not files and any(line.target and line.target.doctest for line in last.programs):
            await tally.run_docs(place, self.args, timeout_s)
        return tally.report(first.ran, commit, self.command)

    async def _build(self, place: Place, timeout_s: float, targets: Sequence[str]) -> Built:
        argv = ["cargo", "test", "--no-run", "--message-format=json", *self.args, *targets]
        ran = await place.exec(argv, timeout_s=timeout_s, env=_ENV, max_output=_MAX_OUTPUT)
        return Built(ran, tuple(_lines(ran.stdout)))

    async def _targets(self, place: Place) -> list[Target]:
        """Every target of the workspace that may have tests."""
        argv = ["cargo", "metadata", "--no-deps", "--format-version", "1"]
        ran = await place.exec(argv, timeout_s=60, env=_ENV, max_output=_MAX_OUTPUT)
        try:
            packages = _Metadata.model_validate_json(ran.stdout).packages
        except ValidationError:
            return []
        kinds = {"lib", "bin", "test", "rlib", "proc-macro"}
        return [t for package in packages for t in package.targets if kinds & set(t.kind)]


class _Package(BaseModel):
    model_config = ConfigDict(extra="ignore")
    targets: tuple[Target, ...]


class _Metadata(BaseModel):
    model_config = ConfigDict(extra="ignore")
    packages: tuple[_Package, ...]


class Tally:
    """Results of the programs, and the worst way in which one of them ended."""

    def __init__(self, root: str, cases: Iterable[TestCase]) -> None:
        self._root = root
        self._cases = list(cases)
        self._code = 101 if self._cases else 0
        self._worst: Ran | None = None
        self._problem = ""
        self._seconds = 0.0
        self._printed = ""

    def file(self, program: _Line) -> str:
        return _relative(program.target.src_path if program.target else "", self._root)

    async def run(self, place: Place, program: _Line, timeout_s: float) -> None:
        """One test program, in the directory of its package."""
        folder = str(PurePosixPath(program.manifest_path).parent)
        argv = ["env", "-C", folder, f"CARGO_MANIFEST_DIR={folder}", str(program.executable)]
        ran = await place.exec(argv, timeout_s=timeout_s, env=_ENV, max_output=_MAX_OUTPUT)
        self._count(ran, self.file(program), timeout_s)

    async def run_docs(self, place: Place, args: Sequence[str], timeout_s: float) -> None:
        """Examples in documentation. Their line numbers move, so that they are left out."""
        argv = ["cargo", "test", "--doc", "--no-fail-fast", *args]
        ran = await place.exec(argv, timeout_s=timeout_s, env=_ENV, max_output=_MAX_OUTPUT)
        self._count(ran, "", timeout_s)

    def report(self, built: Ran, commit: CommitId, command: str) -> TestReport:
        worst = self._worst
        made = TestReport(
            commit=commit,
            command=command,
            cases=merged(self._cases),
            exit_code=self._code if worst is None else worst.exit_code,
            ended="exited" if worst is None else worst.ended,
            seconds=built.seconds + self._seconds,
            tail=clean(self._printed or built.stderr),
        )
        return made.model_copy(update={"problem": self._problem or contradiction(made)})

    def _count(self, ran: Ran, file: str, timeout_s: float) -> None:
        said = ran.stdout.decode(errors="replace")
        self._seconds += ran.seconds
        self._printed += said
        self._code = self._code or ran.exit_code or 0
        cases = list(_cases(said, file))
        if why := ending(ran, timeout_s) or _odd(ran, said, cases):
            self._worst, self._problem = ran, self._problem or f"{file or 'examples'}: {why}"
        if not _SUMMARY.search(said) and not cases and file:  # a harness of its own
            outcome = Outcome.FAILED if ran.exit_code else Outcome.PASSED
            cases = [
                TestCase(id=file, outcome=outcome, message=clean(said) if ran.exit_code else "")
            ]
        self._cases += cases


def _odd(ran: Ran, said: str, cases: Sequence[TestCase]) -> str:
    """Where what a program printed does not add up with itself or its exit code."""
    counted = [0, 0, 0]
    for found in _SUMMARY.finditer(said):
        counted = [a + int(b) for a, b in zip(counted, found.groups(), strict=True)]
    shown = [sum(c.outcome is outcome for c in cases) for outcome in _OUTCOMES.values()]
    if "running " in said and not _SUMMARY.search(said):
        return f"it ended with code {ran.exit_code} before its last test did"
    if counted != shown:
        return f"it counts {sum(counted)} tests and shows {sum(shown)}"
    if bool(counted[1]) != bool(ran.exit_code) and _SUMMARY.search(said):
        return f"it ended with code {ran.exit_code} and counts {counted[1]} failures"
    return ""


def _cases(said: str, file: str) -> Iterator[TestCase]:
    failures = {found["name"]: found["text"] for found in _SAID.finditer(said)}
    again = count(2)
    seen: set[str] = set()
    for found in _LINE.finditer(said):
        name, outcome = found["name"], _OUTCOMES[found["end"]]
        doc = _DOC.match(name)
        id_ = f"{doc['file']}::{doc['what'] or 'example'}" if doc else f"{file}::{name}"
        id_ = f"{id_}#{next(again)}" if id_ in seen else id_
        seen.add(id_)
        text = failures.get(name, "")
        panic = _PANIC.search(text)
        message = message_of(panic["why"] if panic else "", text or found[0])
        passed = outcome is Outcome.PASSED
        yield TestCase(id=id_, outcome=outcome, message="" if passed else message)


def _unbuilt(target: Target, said: str, root: str) -> TestCase:
    message = message_of(said, said)
    return TestCase(id=_relative(target.src_path, root), outcome=Outcome.ERROR, message=message)


def _lines(report: bytes) -> Iterator[_Line]:
    for line in report.decode(errors="replace").splitlines():
        if line.startswith("{"):
            try:
                yield _Line.model_validate_json(line)
            except ValidationError:
                continue


async def _root(place: Place) -> str:
    ran = await place.exec(["pwd"], timeout_s=60)
    return ran.stdout.decode(errors="replace").strip()


def _relative(path: str, root: str) -> str:
    return path.removeprefix(f"{root}/")


def _why_silent(first: Built) -> str:
    if first.ran.exit_code == 127:
        return "there is no cargo in the sandbox; add a toolchain that has it"
    if first.ran.exit_code and not first.broken:
        return f"cargo could not build the tests: {clean(first.ran.stderr, 300)}"
    return ""
