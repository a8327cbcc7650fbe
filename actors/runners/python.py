"""pytest, which runs unittest suites too, and unittest alone; both with a signed report."""

import functools
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from actors.runners.reporting import clean
from actors.runners.runner import Place, Ran
from actors.runners.signed import SignedRun
from orchestration.gates import FAILING
from orchestration.ids import CommitId
from orchestration.proof import TestReport

_OPTIONS = (
    "-q", "--tb=short", "--color=no", "--rootdir=.", "--maxfail=0",
    "--continue-on-collection-errors", "-p", "no:cacheprovider",
)  # fmt: skip
_ENV = {"PYTHONDONTWRITEBYTECODE": "1"}
_INTERNAL_ERROR, _USAGE_ERROR = 3, 4
_INLINED = re.compile(r"^from actors\.runners\.(inside_\w+) import .*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class PytestRunner:
    """`python -m pytest` with a reporter of ours. `args` are added to those of the repository."""

    args: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        return shlex.join(("python", "-m", "pytest", *self.args))

    async def run(
        self, place: Place, commit: CommitId, *, timeout_s: float, only: Sequence[str] = ()
    ) -> TestReport:
        made = await self._run(place, commit, timeout_s, only)
        if made.exit_code == _USAGE_ERROR or (made.problem and _is_threshold(made)):
            # Options in the repository's settings may need plugins that are not here, or fail a
            # run in which no test failed (coverage). Tests are what counts, so do without.
            plain = await self._run(place, commit, timeout_s, ("-o", "addopts=", *only))
            return made if plain.problem else plain
        return made

    async def _run(
        self, place: Place, commit: CommitId, timeout_s: float, more: Sequence[str]
    ) -> TestReport:
        signed = SignedRun.fresh(place)
        argv = (*_OPTIONS, *self.args, *more)
        ran = await _python(signed, "inside_pytest.py", argv, timeout_s)
        made = await signed.conclude(
            ran, commit, self.command, timeout_s=timeout_s, why_silent=_why_silent(ran, "pytest")
        )
        await signed.clean_up()
        if ran.exit_code in {_INTERNAL_ERROR, _USAGE_ERROR} and not made.problem:
            return made.model_copy(update={"problem": f"pytest could not run: {_said(ran)}"})
        return made


@dataclass(frozen=True, slots=True)
class UnittestRunner:
    """`python -m unittest` with a reporter of ours. `args` as unittest takes them."""

    args: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        return shlex.join(("python", "-m", "unittest", *self.args))

    async def run(
        self, place: Place, commit: CommitId, *, timeout_s: float, only: Sequence[str] = ()
    ) -> TestReport:
        signed = SignedRun.fresh(place)
        argv = [_dotted(test) for test in only] or [*self.args]
        ran = await _python(signed, "inside_unittest.py", argv, timeout_s)
        made = await signed.conclude(
            ran, commit, self.command, timeout_s=timeout_s, why_silent=_why_silent(ran, "unittest")
        )
        await signed.clean_up()
        return made


async def _python(signed: SignedRun, inside: str, argv: Sequence[str], timeout_s: float) -> Ran:
    """Run one of our scripts, which gets the key before anything of the workspace is imported."""
    run, target = f"{signed.folder}/run.py", f"{signed.folder}/report"
    await signed.place.write_file(run, script(inside))
    try:
        return await signed.place.exec(
            # -I: nothing of the workspace can be imported before the runner itself.
            ["python3", "-I", "-B", run, target, *argv],
            timeout_s=timeout_s,
            env=_ENV,
            stdin=f"{signed.key}\n".encode(),
        )
    except BaseException:
        await signed.clean_up()
        raise


def _dotted(test: str) -> str:
    """`tests/test_a.py::Case::test_b` as unittest names it; a file stays a file."""
    file, colons, rest = test.partition("::")
    return test if not colons else ".".join([*Path(file).with_suffix("").parts, *rest.split("::")])


def _is_threshold(made: TestReport) -> bool:
    return made.exit_code == 1 and bool(made.cases) and not made.with_outcome(*FAILING)


def _why_silent(ran: Ran, runner: str) -> str:
    if ran.exit_code == 127:
        return "there is no python3 in the sandbox; add a toolchain that has it"
    if b"No module named 'pytest'" in ran.stderr:
        return "the sandbox's Python has no pytest; add a toolchain that has it"
    return f"it ended with code {ran.exit_code} before {runner} could report: {_said(ran)}"


def _said(ran: Ran) -> str:
    return clean(ran.stderr or ran.stdout, 300)


@functools.cache
def script(name: str) -> bytes:
    """A file of this room that runs inside the sandbox, in one piece."""
    folder = Path(__file__).parent
    text = (folder / name).read_text(encoding="utf-8")
    return _INLINED.sub(
        lambda m: (folder / f"{m[1]}.py").read_text(encoding="utf-8"), text
    ).encode()
