"""The linter: mends what the repository's own linter says of the lines that a coder added.

A nicety: only linters that the repository configures and brings along are run, inside the sandbox,
before the work is proven. Whatever goes wrong here is noted, and the work goes on without it.
"""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from actors.agent.agent import AgentLimits
from actors.assignments import CodeJob
from actors.briefs import listed
from actors.models.budget import RunBudgetError
from actors.player import Player, Task
from actors.sandbox.protocol import Sandbox
from actors.tools.editing import numbered
from actors.tools.files import cap_line
from actors.tools.kits import mending_tools
from actors.tools.quoting import fenced
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
AROUND = 4
"""Lines shown on either side of each."""
SHOWN = 12_000
"""Characters of lines shown."""
LARGEST = 4_000_000
LONGEST = 600
"""Characters of a command that is told."""
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


@dataclass(frozen=True, slots=True)
class Complaint:
    """One line that a linter printed, and what it is about."""

    text: str
    path: str
    line: int
    command: str
    """What was run on which files."""


async def lint(player: Player, sandbox: Sandbox, job: CodeJob, grant: StepGrant) -> None:
    """Have the linter mend complaints about lines that the workspace adds to `job.tree`."""
    found = await complaints(sandbox, job.tree.commit, frozen=set(job.tests))
    if not found:
        return
    await player.hands.note(grant, f"linter: complaints about new lines: {len(found)}")
    text = await task_text(sandbox, found[:MOST])
    task = Task(PROMPT, text, Mended, "easy", "linter", AgentLimits(turns=TURNS))
    try:
        await player.think(mending_tools, sandbox, task, job.brief, grant)
    except RunBudgetError:
        raise
    except (RunFailedError, LimitError, ModelError) as error:
        await player.hands.note(grant, f"linter: went on without it: {one_line(str(error), 200)}")


async def task_text(sandbox: Sandbox, found: Sequence[Complaint]) -> str:
    """The complaints, by what to run again, and the lines they are about."""
    parts = ["# The linter's complaints"]
    for command in dict.fromkeys(each.command for each in found):
        said = listed([each.text for each in found if each.command == command])
        parts.append(f"`{command}` says:\n{said}")
    parts.append("# The lines, as they are now")
    room = SHOWN
    for path in dict.fromkeys(each.path for each in found):
        lines = await _around(sandbox, path, [each.line for each in found if each.path == path])
        if (room := room - len(lines)) < 0:
            break
        parts.append(f"`{path}`\n{fenced(lines)}")
    return "\n\n".join(parts)


async def _around(sandbox: Sandbox, path: str, numbers: Sequence[int]) -> str:
    """These lines of a file and some around each, numbered as `read` does."""
    lines = decode(await sandbox.read_file(path, limit=LARGEST)).splitlines()
    wanted = {n + by for n in numbers for by in range(-AROUND, AROUND + 1)}
    shown, last = list[str](), 0
    for number in sorted(n for n in wanted if 0 < n <= len(lines)):
        shown += ["     ..."] if shown and number > last + 1 else []
        shown.append(numbered([cap_line(lines[number - 1], 300)], number))
        last = number
    return "\n".join(shown)


async def complaints(sandbox: Sandbox, base: CommitId, *, frozen: set[str]) -> list[Complaint]:
    """What the repository's linters say of lines that are new since `base`, tests left out."""
    added = await added_lines(sandbox, base)
    paths = [path for path in added if path not in frozen and not is_test_path(path)]
    found: list[Complaint] = []
    for tool in TOOLS:
        mine = [path for path in paths if PurePosixPath(path).suffix in tool.endings]
        if mine and await _succeeds(sandbox, f"({tool.settings}) >/dev/null 2>&1"):
            said = await _run(sandbox, f'{tool.command} "$@"', mine)
            command = one_line(f"{tool.command} {shlex.join(mine)}", LONGEST)
            found += [c for line in said.splitlines() if (c := _heard(line, added, command))]
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


def _heard(line: str, added: dict[str, set[int]], command: str) -> Complaint | None:
    """What a linter printed, where it is about a line that was added."""
    text = line.removeprefix("/workspace/")
    place = _PLACE.match(text)
    if place is None or int(place["line"]) not in added.get(place["path"], ()):
        return None
    return Complaint(text, place["path"], int(place["line"]), command)


async def _succeeds(sandbox: Sandbox, test: str) -> bool:
    return (await sandbox.exec(["bash", "-c", test], timeout_s=SECONDS)).exit_code == 0


async def _run(sandbox: Sandbox, command: str, files: list[str]) -> str:
    """What the command prints of the files; nothing where it is not there."""
    script = f"{_OWN_BINARIES}; export PATH; {command} 2>/dev/null"
    result = await sandbox.exec(["bash", "-c", script, "linter", *files], timeout_s=SECONDS)
    return decode(result.stdout)
