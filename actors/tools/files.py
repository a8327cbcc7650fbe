"""Reading and changing files of the sandbox."""

import hashlib
import posixpath
from collections.abc import Sequence
from typing import Protocol

from pydantic import Field

from actors.sandbox.protocol import WORKSPACE, FileMissingError, FileStat, Sandbox
from actors.tools.editing import Edited, Replacement, apply, numbered
from actors.tools.text import cap, neutralise
from actors.tools.tool import ToolError, ToolResult
from actors.tools.toolset import Arguments, tool

PAGE_LINES = 500
PAGE_CHARACTERS = 16_000
"""What one `read` shows at most: whole lines, so that nothing is missing in the middle."""
_LINE_CHARACTERS = 2_000
_LARGEST = 10_000_000
"""Bytes of the largest file that is read or edited; for more there is the shell."""
_SHOWN_CHANGE = 3_000
_AROUND = 2


class _Read(Arguments):
    path: str
    first_line: int = Field(default=1, ge=1)
    lines: int = Field(default=PAGE_LINES, ge=1, le=PAGE_LINES)


class _Write(Arguments):
    path: str
    content: str


class _EditPart(Arguments):
    old: str = Field(min_length=1)
    new: str
    every: bool = Field(default=False, description="Replace all occurrences.")


class _Edit(Arguments):
    path: str
    edits: tuple[_EditPart, ...] = Field(min_length=1)


class Earlier(Protocol):
    """What this conversation did before its process was restarted."""

    async def paths(self) -> set[str]:
        """Files that were read or written."""
        ...


class FileTools:
    """`read`, `write`, `edit`. A file is overwritten only as it was last seen."""

    def __init__(self, sandbox: Sandbox, earlier: Earlier | None = None) -> None:
        self._sandbox = sandbox
        self._earlier = earlier
        self._seen: dict[str, str] = {}
        """Digest of each file when it was last read or written here."""

    @tool
    async def read(self, arguments: _Read) -> ToolResult:
        path = canonical(arguments.path)
        data = await self._load(path)
        self._seen[path] = _digest(data)
        if b"\x00" in data[:8192]:
            raise ToolError(f"{path} is a binary file of {len(data):,} bytes.")
        lines = neutralise(data.decode("utf-8", "replace")).splitlines()
        if arguments.first_line > max(1, len(lines)):
            raise ToolError(f"{path} has only {len(lines)} line(s).")
        start = arguments.first_line - 1
        shown = page(lines[start : start + arguments.lines], PAGE_CHARACTERS)
        last = start + len(shown)
        text = numbered(shown, arguments.first_line) if shown else "(empty file)"
        if last < len(lines):
            text += f"\n[lines {arguments.first_line}-{last} of {len(lines)}; "
            text += f"go on with first_line={last + 1}]"
        return ToolResult(text, paths_read=(path,))

    @tool
    async def write(self, arguments: _Write) -> ToolResult:
        path, data = canonical(arguments.path), _encoded(arguments.content)
        old = await self._stat(path)
        mode = 0o644
        if old is not None:
            _check_plain(old)
            mode = old.mode & 0o777
            current = await self._load(path)
            if current == data:
                self._seen[path] = _digest(data)
                return ToolResult(f"{path} has exactly this content already.")
            await self._check_seen(path, current)
        await self._sandbox.write_file(path, data, mode=mode)
        self._seen[path] = _digest(data)
        done = "Replaced" if old else "Created"
        lines = len(arguments.content.splitlines())
        size = f"{lines} line{'s' * (lines != 1)}, {len(data):,} bytes"
        return ToolResult(f"{done} {path}: {size}.", paths_written=(path,))

    @tool
    async def edit(self, arguments: _Edit) -> ToolResult:
        path = canonical(arguments.path)
        old = await self._stat(path)
        if old is None:
            raise ToolError(f"{path} does not exist. Create it with `write`.")
        _check_plain(old)
        data = await self._load(path)
        text = data.decode("utf-8", "surrogateescape")
        edited = apply(text, [Replacement(e.old, e.new, e.every) for e in arguments.edits])
        new = _encoded(edited.text)
        moved = self._seen.get(path, _digest(data)) != _digest(data)
        self._seen[path] = _digest(new)
        if new == data:
            return ToolResult(f"{path}: already applied, nothing changed.")
        await self._sandbox.write_file(path, new, mode=old.mode & 0o777)
        note = "\n(The file had changed since you last read it.)" if moved else ""
        return ToolResult(f"{_told(path, edited)}{note}", paths_written=(path,))

    async def _stat(self, path: str) -> FileStat | None:
        try:
            return await self._sandbox.stat(path)
        except FileMissingError:
            return None

    async def _load(self, path: str) -> bytes:
        data = await self._sandbox.read_file(path, limit=_LARGEST + 1)
        if len(data) > _LARGEST:
            raise ToolError(f"{path} is larger than {_LARGEST:,} bytes; use commands on it.")
        return data

    async def _check_seen(self, path: str, current: bytes) -> None:
        if path not in self._seen and self._earlier and path in await self._earlier.paths():
            return
        if path not in self._seen:
            raise ToolError(f"{path} exists and you have not read it. Read it first.")
        if self._seen[path] != _digest(current):
            raise ToolError(f"{path} has changed since you last read it. Read it again first.")


def canonical(path: str) -> str:
    """One spelling per file: relative to the workspace where it lies inside."""
    plain = posixpath.normpath(path)
    return plain.removeprefix(f"{WORKSPACE}/") if plain != WORKSPACE else "."


def page(lines: Sequence[str], characters: int) -> list[str]:
    """The first lines, as many as have about this many characters; at least one if there is one."""
    shown: list[str] = []
    room = characters
    for line in lines:
        part = cap_line(line, _LINE_CHARACTERS)
        room -= len(part) + 8  # a line number and an end
        if shown and room < 0:
            break
        shown.append(part)
    return shown


def cap_line(line: str, limit: int) -> str:
    """A long line's beginning, saying how much is left out."""
    if len(line) <= limit:
        return line
    return f"{line[:limit]} [... {len(line) - limit:,} characters of this line left out]"


def _check_plain(stat: FileStat) -> None:
    if stat.kind == "symlink":
        raise ToolError(f"{stat.path} is a symbolic link. Change the file it points to.")
    if stat.kind != "file":
        raise ToolError(f"{stat.path} is not a file.")


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise ToolError(f"The text cannot be encoded as UTF-8: {error.reason}.") from None


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _told(path: str, edited: Edited) -> str:
    """What an edit did, with the lines around each change."""
    lines = neutralise(edited.text.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
    shown, after = lines.splitlines(), 0
    parts: list[str] = []
    for start, end in edited.touched:
        first = max(after, edited.text.count("\n", 0, start) - _AROUND)
        last = edited.text.count("\n", 0, max(start, end - 1)) + 1 + _AROUND
        if last > first:
            parts += ["     ..."] if parts and first > after else []
            parts.append(numbered(shown[first:last], first + 1))
        after = max(after, last)
    count = len(edited.touched)
    already = f", {edited.already} already applied" if edited.already else ""
    body = cap("\n".join(parts), _SHOWN_CHANGE)
    head = f"{path}: {count} replacement{'s' * (count != 1)}{already}."
    return f"{head}\n{body}"
