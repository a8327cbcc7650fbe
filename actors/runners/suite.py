"""Which runner a repository needs, and one call to run it."""

import json
import re
import shlex
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import PurePosixPath

from actors.runners.command import CommandRunner
from actors.runners.node import NodeRunner
from actors.runners.python import PytestRunner
from actors.runners.runner import Place, TestRunner
from orchestration.errors import InfrastructureError, UsageError
from orchestration.ids import CommitId
from orchestration.proof import TestReport

Read = Callable[[str], Awaitable[bytes]]

_PYTHON_TEST = re.compile(r"test_.*\.py|.*_test\.py|\.?pytest\.(ini|toml)")
_NODE_TEST = re.compile(r"\bnode\b.*\s--test\b")
_NPM_PLACEHOLDER = "no test specified"
_PYTEST = re.compile(r"(?:(?:python[\d.]*\s+-m\s+)?(?:pytest|py\.test))(?=\s|$)")
_SHELL = set("|&;<>()$`\n*?~")
_SETTINGS_LIMIT = 2_000_000


async def run_suite(
    place: Place,
    commit: CommitId,
    *,
    command: str | None,
    timeout_s: float,
    only: Sequence[str] = (),
) -> TestReport:
    """Run the tests of the workspace, which is at `commit`.

    Raises:
        UsageError: there are no tests, and no command was given.
    """
    runner = runner_of(command) if command else await _detected(place)
    return await runner.run(place, commit, timeout_s=timeout_s, only=only)


def runner_of(command: str) -> TestRunner:
    """The runner for a command that a person gave; pytest is recognised and tells more."""
    found = _PYTEST.match(command.strip())
    if found and not _SHELL & set(command):
        return PytestRunner(tuple(shlex.split(command.strip()[found.end() :])))
    return CommandRunner(command.strip())


async def detect(paths: Collection[str], read: Read) -> TestRunner:
    """The runner for a repository with these files.

    Raises:
        UsageError: none fits.
    """
    if any(_PYTHON_TEST.fullmatch(PurePosixPath(path).name) for path in paths):
        return PytestRunner()
    if "package.json" in paths and (script := _test_script(await read("package.json"))):
        if found := _NODE_TEST.search(script):
            return NodeRunner(tuple(shlex.split(script[found.end() :])))
        return CommandRunner("npm test --silent")
    if "go.mod" in paths:
        return CommandRunner("go test ./...")
    if "Cargo.toml" in paths:
        return CommandRunner("cargo test")
    if "Makefile" in paths and re.search(rb"^test\s*:", await read("Makefile"), re.MULTILINE):
        return CommandRunner("make test")
    raise UsageError(
        "the repository has no tests that we recognise, and no test command was given",
        "name one with --test-command, or add a first test (for pytest: tests/test_first.py)",
    )


async def _detected(place: Place) -> TestRunner:
    listing = await place.exec(["git", "ls-files", "-z"], timeout_s=60, max_output=20_000_000)
    if listing.exit_code:
        said = listing.stderr.decode(errors="replace")[-300:]
        raise InfrastructureError(f"cannot list the files of the workspace: {said}")

    async def read(path: str) -> bytes:
        return await place.read_file(path, limit=_SETTINGS_LIMIT)

    return await detect(listing.stdout.decode(errors="replace").split("\0"), read)


def _test_script(package: bytes) -> str:
    """`scripts.test` of a package.json, unless it is npm's placeholder."""
    try:
        script = json.loads(package)["scripts"]["test"]
    except (ValueError, KeyError, TypeError):
        return ""
    return script if isinstance(script, str) and _NPM_PLACEHOLDER not in script else ""
