"""Commands in pages, tried as a reader would type them.

A block of commands (fenced as `sh`, or indented) follows one of these comments:

    <!-- run -->            executed; every command must succeed
    <!-- run: exit 3 -->    executed; the block must end with this exit code
    <!-- check -->          every `manta` line is read by the command line's own parser, no more:
                            for what needs a key, another machine, or never ends
    <!-- by FILE -->        the same, and this test does what the block says

Blocks of a page share one shell's state (folder, exports). `RUN` stands for the newest run. What
a page's block says of `~` is a home of the test's own.
"""

import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from cluster.cli import COMMANDS, door_named

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
SHELLS = {"```sh", "```console"}
PATIENCE_S = 300
_MARK = re.compile(r"<!-- (run|check|by [\w/.]+\.py)(?:: exit (\d+))? -->\s*")
_COMMAND = re.compile(
    r" {4,}(?:[A-Z_]+=|(?:\w+=\S+ )*"
    r"(?:manta|ray|make|git|source|export|eval|cd|mkdir|curl|ssh|docker|sudo|serve|cp) )"
)
_INLINE = re.compile(r"`(?:\w+=\S+ )*(manta [^`]+)`")
_NEWEST = "$(manta runs 2>/dev/null | head -n 1 | cut -d ' ' -f 1)"
_SCRIPT = """\
cd {place}
if [ -f .shell ]; then . ./.shell; cd "$(cat .folder)"; fi
keep() {{ code=$?; export -p > {place}/.shell; pwd > {place}/.folder; exit $code; }}
trap keep EXIT
set -eu
{block}
"""


@dataclass(frozen=True)
class Block:
    """Some commands of a page."""

    page: str
    line: int
    how: str
    """`run`, `check`, `by FILE`, or empty where the page says nothing."""
    exit_code: int
    text: str

    @property
    def commands(self) -> list[list[str]]:
        """Its `manta` commands as words."""
        joined = self.text.replace("\\\n", " ")
        words = [shlex.split(line, comments=True) for line in joined.splitlines()]
        bare = [_bare(each) for each in words]
        return [each[1:] for each in bare if each[:1] == ["manta"]]


def blocks(page: Path) -> Iterator[Block]:
    """Every block of commands of a page, in order."""
    lines = page.read_text("utf-8").splitlines()
    how, code, number = "", 0, 0
    while number < len(lines):
        line, number = lines[number], number + 1
        fence = line.strip() if line.lstrip().startswith("```") else ""
        if mark := _MARK.fullmatch(line.strip()):
            how, code = mark[1], int(mark[2] or 0)
        elif fence in SHELLS or (not fence and _begins(line, marked=bool(how))):
            start = number if fence else number - 1
            end = _end(lines, start, fenced=bool(fence))
            text = "\n".join(each if fence else each[4:] for each in lines[start:end])
            yield Block(page.name, start + 1, how, code, text)
            number, how, code = end + bool(fence), "", 0
        elif fence:
            number, how, code = _end(lines, number, fenced=True) + 1, "", 0
        elif line.strip():
            how, code = "", 0


def _begins(line: str, *, marked: bool) -> bool:
    """Whether an indented block of commands begins with this line."""
    return bool(_COMMAND.match(line)) or (marked and line.startswith("    "))


def told(page: Path) -> list[list[str]]:
    """The `manta` commands in a page's sentences, as words."""
    found = _INLINE.findall(page.read_text("utf-8").replace("\n", " "))
    return [_bare(shlex.split(each))[1:] for each in found]


def tried(block: Block, place: Path, environment: Mapping[str, str]) -> None:
    """Execute a block in the state that the ones before it left behind in `place`."""
    text = re.sub(r"\bRUN\b", _NEWEST, block.text)
    done = subprocess.run(
        ["bash", "-c", _SCRIPT.format(place=shlex.quote(str(place)), block=text)],
        env=dict(environment), stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False, timeout=PATIENCE_S,
    )  # fmt: skip
    said = f"{block.page}:{block.line} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert done.returncode == block.exit_code, said


def understood(words: list[str]) -> None:
    """Read one `manta` command as the command line does.

    Raises:
        click.UsageError: a command or option that there is not.
    """
    command, rest = _found(words)
    command.make_context("manta", rest)


def named(words: list[str]) -> None:
    """Look whether a command of a sentence, which may be abridged, is one.

    Raises:
        click.UsageError: a command or option that there is not.
    """
    command, rest = _found(words)
    if command.context_settings.get("ignore_unknown_options"):
        return  # another program reads them
    known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
    for word in rest:
        if word.startswith("--") and word.partition("=")[0] not in known:
            raise click.UsageError(f"there is no option {word} of {words[0]}")


def _found(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that words begin with, and the rest of them."""
    if words[:1] and words[0] not in COMMANDS:
        raise click.UsageError(f"there is no command {words[0]}")
    command: click.Command = door_named(words[0])
    rest = words[1:]
    while isinstance(command, click.Group) and rest:
        inner = command.get_command(click.Context(command), rest[0])
        if inner is None:
            raise click.UsageError(f"there is no command {' '.join(words[:2])}")
        command, rest = inner, rest[1:]
    return command, rest


def _end(lines: list[str], start: int, *, fenced: bool) -> int:
    """Number of the first line after a block."""
    for number in range(start, len(lines)):
        line = lines[number]
        over = line.strip() == "```" if fenced else bool(line) and not line.startswith("    ")
        if over:
            return number
    return len(lines)


def _bare(words: list[str]) -> list[str]:
    """A command without variables that are set for it alone, and what its output goes to."""
    first = next((at for at, word in enumerate(words) if not re.match(r"\w+=", word)), len(words))
    rest = words[first:]
    end = next((at for at, word in enumerate(rest) if re.match(r"[|<>&;]", word)), len(rest))
    return rest[:end]
