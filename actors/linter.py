"""The linter: mends what the repository's own linter says of the lines that a coder added.

A nicety: only linters that the repository configures and brings along are run, inside the sandbox,
before the work is proven. Whatever goes wrong here is noted, and the work goes on without it.
"""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from actors.agent.agent import AgentLimits
from actors.assignments import CodeJob
from actors.briefs import listed
from actors.models.budget import RunBudgetError
from actors.player import Player, Task
from actors.sandbox.protocol import Sandbox
from actors.tools.kits import mending_tools
from actors.tools.text import decode, one_line
from orchestration.errors import LimitError, ModelError, RunFailedError
from orchestration.ids import CommitId, StepGrant
from orchestration.kinds import is_test_path
from orchestration.messages import Frozen

PROMPT = Path(__file__).with_suffix(".md").read_text(encoding="utf-8")
SECONDS = 60.0
TURNS = 12
MOST = 40
"""Complaints handed to the linter at once."""
_HUNK = re.compile(r"^@@ -\S+ \+(\d+)(?:,(\d+))? @@", re.MULTILINE)
_PLACE = re.compile(r"^(?:\./)?(?P<path>[^\s:]+):(?P<line>\d+):")


@dataclass(frozen=True, slots=True)
class Tool:
    """A linter: where a repository configures it, what it looks at, and how it is run."""

    name: str
    settings: str
    """Test for its settings, run at the repository's root."""
    endings: frozenset[str]
    command: str
    """Prints `path:line:column: ...`; the files follow."""


TOOLS = (
    Tool(
        "ruff",
        r"test -f ruff.toml -o -f .ruff.toml || grep -q '^\[tool\.ruff' pyproject.toml",
        frozenset({".py", ".pyi"}),
        "ruff check --quiet --no-cache --output-format=concise --",
    ),
    Tool(
        "eslint",
        "ls eslint.config.* .eslintrc*",
        frozenset({".js", ".mjs", ".cjs", ".ts", ".jsx", ".tsx"}),
        "eslint --format unix --",
    ),
    Tool("flake8", "test -f .flake8", frozenset({".py"}), "flake8 --"),
)
_OWN_BINARIES = 'PATH="$PWD/.venv/bin:$PWD/node_modules/.bin:$PATH"'


class Mended(Frozen):
    """The linter's answer."""

    notes: str = ""
    """What was left, and why."""


async def lint(player: Player, sandbox: Sandbox, job: CodeJob, grant: StepGrant) -> None:
    """Have the linter mend complaints about lines that the workspace adds to `job.tree`."""
    found = await complaints(sandbox, job.tree.commit, frozen=set(job.tests))
    if not found:
        return
    await player.hands.note(grant, f"linter: complaints about new lines: {len(found)}")
    text = f"# The linter's complaints\n\n{listed(found[:MOST])}"
    task = Task(PROMPT, text, Mended, "easy", "linter", AgentLimits(turns=TURNS))
    try:
        await player.think(mending_tools, sandbox, task, job.brief, grant)
    except RunBudgetError:
        raise
    except (RunFailedError, LimitError, ModelError) as error:
        await player.hands.note(grant, f"linter: went on without it: {one_line(str(error), 200)}")


async def complaints(sandbox: Sandbox, base: CommitId, *, frozen: set[str]) -> list[str]:
    """What the repository's linters say of lines that are new since `base`, tests left out."""
    added = await added_lines(sandbox, base)
    paths = [path for path in added if path not in frozen and not is_test_path(path)]
    found: list[str] = []
    for tool in TOOLS:
        mine = [path for path in paths if PurePosixPath(path).suffix in tool.endings]
        if mine and await _succeeds(sandbox, f"({tool.settings}) >/dev/null 2>&1"):
            said = await _run(sandbox, f'{tool.command} "$@"', mine)
            found += [line for line in said.splitlines() if _is_about(line, added)]
    return found


async def added_lines(sandbox: Sandbox, base: CommitId) -> dict[str, set[int]]:
    """Numbers of the lines that the workspace adds to each file since `base`."""
    await sandbox.exec(["git", "add", "--intent-to-add", "--all"], timeout_s=SECONDS)
    names = await sandbox.exec(
        ["git", "diff", "--name-only", "--diff-filter=AM", "-z", base], timeout_s=SECONDS
    )
    added: dict[str, set[int]] = {}
    for path in filter(None, names.stdout.decode(errors="replace").split("\0")):
        diff = await sandbox.exec(
            ["git", "diff", "--no-ext-diff", "--no-textconv", "--unified=0", base, "--", path],
            timeout_s=SECONDS,
        )
        hunks = _HUNK.findall(diff.stdout.decode(errors="replace"))
        added[path] = {
            int(start) + n for start, count in hunks for n in range(int(count) if count else 1)
        }
    return added


def _is_about(line: str, added: dict[str, set[int]]) -> bool:
    place = _PLACE.match(line.removeprefix("/workspace/"))
    return bool(place) and int(place["line"]) in added.get(place["path"], ())


async def _succeeds(sandbox: Sandbox, test: str) -> bool:
    return (await sandbox.exec(["bash", "-c", test], timeout_s=SECONDS)).exit_code == 0


async def _run(sandbox: Sandbox, command: str, files: list[str]) -> str:
    """What the command prints of the files; nothing where it is not there."""
    script = f"{_OWN_BINARIES}; export PATH; {command} 2>/dev/null"
    result = await sandbox.exec(["bash", "-c", script, "linter", *files], timeout_s=SECONDS)
    return decode(result.stdout)
