"""Which runner a repository needs, and one call to run it."""

import json
import re
import shlex
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import PurePosixPath

from actors.runners.cargo import CargoRunner
from actors.runners.command import CommandRunner
from actors.runners.go import GoRunner
from actors.runners.node import JestRunner, NodeRunner, VitestRunner
from actors.runners.python import PytestRunner, UnittestRunner
from actors.runners.runner import Place, TestRunner
from orchestration.errors import InfrastructureError, UsageError
from orchestration.gates import FAILING
from orchestration.ids import CommitId
from orchestration.proof import TestReport

Read = Callable[[str], Awaitable[bytes]]
Known = Callable[[tuple[str, ...]], TestRunner]

_PYTHON_TEST = re.compile(r"test_.*\.py|.*_test\.py|\.?pytest\.(ini|toml)")
_NPM_PLACEHOLDER = "no test specified"
_NPX = r"(?:(?:npx|yarn|bunx|pnpm(?: exec)?)\s+)?"
_RUNNERS: tuple[tuple[re.Pattern[str], Known], ...] = (
    (re.compile(r"(?:python[\d.]*\s+-m\s+)?(?:pytest|py\.test)(?=\s|$)"), PytestRunner),
    (re.compile(r"python[\d.]*\s+-m\s+unittest(?=\s|$)"), UnittestRunner),
    (re.compile(r"node\b.*?\s--test(?=\s|$)"), NodeRunner),
    (re.compile(rf"{_NPX}vitest(?:\s+run)?(?=\s|$)"), VitestRunner),
    (re.compile(rf"{_NPX}jest(?=\s|$)"), JestRunner),
    (re.compile(r"go\s+test(?=\s|$)"), GoRunner),
    (re.compile(r"cargo\s+test(?=\s|$)"), CargoRunner),
)
"""Commands whose runner tells more than an exit code."""
_OURS = re.compile(
    r"--(no-)?coverage.*|--(reporters?|watch(All)?|ci|run|passWithNoTests)(=.*)?|--cov(=.*|-.*)?"
)
"""Options that we decide, or that only a person needs."""
_MEASURED = re.compile(rf"{_NPX}(?:c8|nyc)\s+(?:-\S+\s+)*")
"""A program that measures what tests cover while they run; we do not ask that."""
_RUNS_SCRIPT = re.compile(r"(?:npm|pnpm|yarn|bun)(?:\s+run)?\s+(?P<name>[\w:.-]+)")
_MAX_DEPTH, _MAX_STEPS = 8, 100
_SHELL = set("|&;<>()$`\n*?~")
_SETTINGS_LIMIT = 2_000_000


async def run_suite(
    place: Place,
    commit: CommitId,
    *,
    command: str | None,
    timeout_s: float,
    only: Sequence[str] = (),
    first: Sequence[str] = (),
) -> TestReport:
    """Run the tests of the workspace, which is at `commit`.

    `only` are the files or ids to run. `first` are files that are tried before the whole suite,
    which is spared where they fail.

    Raises:
        UsageError: there are no tests, and no command was given.
    """
    runner = runner_of(command) if command else await _detected(place)
    if first and not isinstance(runner, CommandRunner):
        early = await runner.run(place, commit, timeout_s=timeout_s, only=first)
        if not early.problem and early.with_outcome(*FAILING):
            return early.model_copy(update={"only": tuple(first)})
    return await runner.run(place, commit, timeout_s=timeout_s, only=only)


def runner_of(command: str) -> TestRunner:
    """The runner for a command that a person gave; those that we know tell more."""
    return _known(command) or CommandRunner(command.strip())


async def detect(paths: Collection[str], read: Read) -> TestRunner:
    """The runner for a repository with these files.

    Raises:
        UsageError: none fits.
    """
    if any(_PYTHON_TEST.fullmatch(PurePosixPath(path).name) for path in paths):
        return PytestRunner()
    if "package.json" in paths and "test" in (scripts := _scripts(await read("package.json"))):
        return _of_scripts(scripts)
    if "go.mod" in paths:
        return GoRunner()
    if "Cargo.toml" in paths:
        return CargoRunner()
    if "Makefile" in paths and re.search(rb"^test\s*:", await read("Makefile"), re.MULTILINE):
        return CommandRunner("make test")
    raise UsageError(
        "the repository has no tests that we recognise, and no test command was given",
        "name the command that runs them with --test-command, or let a run add the first one: "
        f'manta run "Add a first test" --test-command "{_beginning(paths)}"',
    )


def _beginning(paths: Collection[str]) -> str:
    """The test command that a project without tests most likely begins with."""
    return "node --test" if "package.json" in paths else "python -m pytest"


def _known(command: str) -> TestRunner | None:
    """The runner behind one plain command; None for anything that needs a shell."""
    text = command.strip()
    if _SHELL & set(text):
        return None
    for pattern, runner in _RUNNERS:
        if found := pattern.match(text):
            args = shlex.split(text[found.end() :])
            return runner(tuple(arg for arg in args if not _OURS.fullmatch(arg)))
    return None


def _of_scripts(scripts: Mapping[str, str]) -> TestRunner:
    """The runner of `npm test`: of its one step that runs tests, or npm's own exit code."""
    told = islice(_steps(scripts, "test"), _MAX_STEPS)
    steps = [runner for step in told if (runner := _known(step))]
    return steps[0] if len(steps) == 1 else CommandRunner("npm test --silent")


def _steps(scripts: Mapping[str, str], *names: str) -> Iterator[str]:
    """The commands of the script named last, and of those that it runs in turn."""
    for step in scripts[names[-1]].split("&&"):
        command = _MEASURED.sub("", step.strip())
        run = _RUNS_SCRIPT.fullmatch(command)
        if run and run["name"] in {*scripts} - {*names} and len(names) < _MAX_DEPTH:
            yield from _steps(scripts, *names, run["name"])
        else:
            yield command


async def _detected(place: Place) -> TestRunner:
    listing = await place.exec(["git", "ls-files", "-z"], timeout_s=60, max_output=20_000_000)
    if listing.exit_code:
        said = listing.stderr.decode(errors="replace")[-300:]
        raise InfrastructureError(f"cannot list the files of the workspace: {said}")

    async def read(path: str) -> bytes:
        return await place.read_file(path, limit=_SETTINGS_LIMIT)

    return await detect(listing.stdout.decode(errors="replace").split("\0"), read)


def _scripts(package: bytes) -> dict[str, str]:
    """`scripts` of a package.json, without npm's placeholder for tests."""
    try:
        scripts = json.loads(package)["scripts"].items()
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    return {
        name: script
        for name, script in scripts
        if isinstance(script, str) and _NPM_PLACEHOLDER not in script
    }
