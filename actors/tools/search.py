"""Finding files and text in the sandbox."""

import re

from pydantic import Field

from actors.sandbox.protocol import ExecResult, FileStat, Sandbox
from actors.tools.files import canonical, cap_line
from actors.tools.text import decode, neutralise, one_line
from actors.tools.tool import ToolError, ToolResult
from actors.tools.toolset import Arguments, tool

_SKIPPED = (
    ".git",
    "node_modules",
    ".venv",
    "__pycache__",
    ".pytest_cache",
    ".hypothesis",
    ".mypy_cache",
    ".ruff_cache",
    ".tox",
)
"""Folders that hold what tools made, never the work itself."""
_TIMEOUT_S = 30.0
_ENTRIES = 300
_MATCHES = 150
_LINE = 300


class _ListFiles(Arguments):
    path: str = "."
    depth: int = Field(default=1, ge=1, le=5)


class _Glob(Arguments):
    pattern: str = Field(min_length=1, description="Such as `src/**/*.py`.")


class _Grep(Arguments):
    pattern: str = Field(min_length=1, description="Perl regular expression.")
    path: str = "."
    files: str = Field(default="", description="Only in files such as `*.py`.")
    ignore_case: bool = False
    around: int = Field(default=0, ge=0, le=10)


class SearchTools:
    """`list_files`, `glob`, `grep`. Answers are sorted, so that they are the same everywhere."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    @tool
    async def list_files(self, arguments: _ListFiles) -> ToolResult:
        path = canonical(arguments.path)
        entries = await self._sandbox.list_files(path, depth=arguments.depth)
        lines = [_entry(entry) for entry in entries if not _is_skipped(entry.path)]
        return ToolResult(_limited(lines, _ENTRIES, "entries") or "(empty folder)")

    @tool
    async def glob(self, arguments: _Glob) -> ToolResult:
        wanted = glob_pattern(canonical(arguments.pattern))
        found = sorted(path for path in await self._paths() if wanted.fullmatch(path))
        lines = [neutralise(path) for path in found]
        return ToolResult(_limited(lines, _ENTRIES, "files") or "No file matches.")

    @tool
    async def grep(self, arguments: _Grep) -> ToolResult:
        result = await self._grep(arguments, "-P")
        if result.exit_code == 2 and b"-P" in result.stderr:  # built without Perl expressions
            result = await self._grep(arguments, "-E")
        if result.ended == "timeout":
            raise ToolError(f"No answer after {_TIMEOUT_S:g} s. Search a smaller path.")
        if result.exit_code not in {0, 1} and not result.stdout:
            raise ToolError(one_line(decode(result.stderr), 500) or "grep failed.")
        shown = [line for _, _, line in sorted(_hits(result.stdout))]
        return ToolResult(_limited(shown, _MATCHES, "lines") or "No match.")

    async def _grep(self, arguments: _Grep, flavour: str) -> ExecResult:
        options = ["-rnIHZ", flavour, f"-C{arguments.around}"]
        options += [f"--exclude-dir={name}" for name in _SKIPPED]
        options += ["--ignore-case"] * arguments.ignore_case
        options += [f"--include={arguments.files}"] * bool(arguments.files)
        where = ["-e", arguments.pattern, "--", canonical(arguments.path)]
        return await self._sandbox.exec(["grep", *options, *where], timeout_s=_TIMEOUT_S)

    async def _paths(self) -> list[str]:
        """Every file of the work: what git tracks or would track, else what is there."""
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = await self._sandbox.exec(command, timeout_s=_TIMEOUT_S, max_output=10_000_000)
        if listed.ok:
            return list(set(listed.stdout.decode("utf-8", "replace").split("\0")) - {""})
        entries = await self._sandbox.list_files(".", depth=20, limit=50_000)
        return [e.path for e in entries if e.kind == "file" and not _is_skipped(e.path)]


def glob_pattern(pattern: str) -> re.Pattern[str]:
    """A glob as an expression for whole paths: `**` spans folders, `*` and `?` do not.

    A pattern without a slash is looked for in every folder, as people mean it.
    """
    if "/" not in pattern:
        pattern = f"**/{pattern}"
    parts: list[str] = []
    for token in re.findall(r"\*\*/|\*\*|\*|\?|\[[^\]]+\]|\{[^}]*\}|.", pattern, re.DOTALL):
        match token[0], token:
            case _, "**/":
                parts.append("(?:.*/)?")
            case _, "**":
                parts.append(".*")
            case _, "*":
                parts.append("[^/]*")
            case _, "?":
                parts.append("[^/]")
            case "[", _ if len(token) > 1:
                parts.append(f"[{token[1:-1].replace('!', '^', 1)}]")
            case "{", _ if len(token) > 1:
                choices = (re.escape(choice) for choice in token[1:-1].split(","))
                parts.append(f"(?:{'|'.join(choices)})")
            case _:
                parts.append(re.escape(token))
    try:
        return re.compile("".join(parts), re.DOTALL)
    except re.error as error:
        raise ToolError(f"{pattern!r} is no glob pattern: {error}.") from None


def _is_skipped(path: str) -> bool:
    return any(part in _SKIPPED for part in path.split("/")[:-1])


def _entry(entry: FileStat) -> str:
    name = neutralise(entry.path).replace("\n", "<U+000A>")
    match entry.kind:
        case "directory":
            return f"{name}/"
        case "file":
            return f"{name}  {entry.size:,}"
        case _:
            return f"{name}  ({entry.kind})"


def _hits(output: bytes) -> list[tuple[str, int, str]]:
    """(path, number, what to show) of each line that grep printed."""
    hits: list[tuple[str, int, str]] = []
    for line in output.split(b"\n"):
        name, separator, rest = line.removeprefix(b"./").partition(b"\0")
        number = re.match(rb"\d+", rest)
        if separator and number:
            path = decode(name)
            hits.append((path, int(number[0]), cap_line(f"{path}:{decode(rest)}", _LINE)))
    return hits


def _limited(lines: list[str], limit: int, what: str) -> str:
    text = "\n".join(lines[:limit])
    if len(lines) <= limit:
        return text
    return f"{text}\n[{len(lines) - limit:,} more {what}; be more specific]"
