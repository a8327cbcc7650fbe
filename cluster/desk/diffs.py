"""Unified diffs as files and rows side by side. What a line says never steers the reading."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@ ?(.*)")
_STATUS = {
    "new file mode": "added",
    "deleted file mode": "deleted",
    "rename from": "renamed",
    "copy from": "copied",
}
_ESCAPE = re.compile(r"\\([0-7]{3}|.)")
_LETTERS = {"n": b"\n", "t": b"\t", "r": b"\r", "a": b"\a", "b": b"\b", "f": b"\f", "v": b"\v"}


@dataclass(frozen=True, slots=True)
class Row:
    """One line on both sides. A number is 0 where the side has none."""

    old: int
    before: str
    new: int
    after: str
    kind: str
    """same, changed, added, removed, or hunk: then `before` says where."""


@dataclass(slots=True)
class FileDiff:
    """One file's change."""

    path: str
    was: str = ""
    """Its path before, where that differs."""
    status: str = "changed"
    rows: list[Row] = field(default_factory=list[Row])
    notes: list[str] = field(default_factory=list[str])
    """Modes, binary content: what is not lines."""

    @property
    def added(self) -> int:
        return sum(row.kind in {"added", "changed"} for row in self.rows)

    @property
    def removed(self) -> int:
        return sum(row.kind in {"removed", "changed"} for row in self.rows)


def read_diff(text: str) -> list[FileDiff]:
    """Files of a unified diff by git. Text around them is left out."""
    return list(_Reader(text.split("\n")).files())


class _Reader:
    """Hunks are read by the counts in their heads, so that content cannot pose as a header."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines, self._at = lines, 0

    def files(self) -> Iterator[FileDiff]:
        file: FileDiff | None = None
        while self._at < len(self._lines):
            line = self._lines[self._at]
            self._at += 1
            if line.startswith("diff --git "):
                if file:
                    yield file
                file = FileDiff(_path_of_head(line))
            elif file and (match := _HUNK.match(line)):
                file.rows += self._hunk(match)
            elif file:
                _head(file, line)
        if file:
            yield file

    def _hunk(self, match: re.Match[str]) -> Iterator[Row]:
        old, new = int(match[1]), int(match[3])
        olds, news = int(match[2] or 1), int(match[4] or 1)
        yield Row(0, match[0], 0, "", "hunk")
        removed: list[str] = []
        added: list[str] = []
        while (olds or news) and self._at < len(self._lines):
            line = self._lines[self._at]
            if line[:1] not in {" ", "-", "+", "\\", ""} or line.startswith("diff --git "):
                break  # the diff was cut
            self._at += 1
            mark, text = line[:1] or " ", line[1:]
            if mark == "-":
                removed.append(text)
                olds -= 1
            elif mark == "+":
                added.append(text)
                news -= 1
            elif mark == " ":
                yield from _beside(old, removed, new, added)
                old, new = old + len(removed), new + len(added)
                removed, added = [], []
                yield Row(old, text, new, text, "same")
                old, new, olds, news = old + 1, new + 1, olds - 1, news - 1
        yield from _beside(old, removed, new, added)


def _beside(old: int, removed: list[str], new: int, added: list[str]) -> Iterator[Row]:
    for number, (before, after) in enumerate(zip_longest(removed, added)):
        if before is None:
            yield Row(0, "", new + number, after, "added")
        elif after is None:
            yield Row(old + number, before, 0, "", "removed")
        else:
            yield Row(old + number, before, new + number, after, "changed")


def _head(file: FileDiff, line: str) -> None:
    """A line between a file's first one and its hunks."""
    for start, status in _STATUS.items():
        if line.startswith(start):
            file.status = status
    if line.startswith(("rename from ", "copy from ")):
        file.was = _unquoted(line.partition(" from ")[2])
    elif line.startswith(("rename to ", "copy to ")):
        file.path = _unquoted(line.partition(" to ")[2])
    elif line.startswith("+++ ") and not line.startswith("+++ /dev/null"):
        file.path = _unquoted(line[4:].removesuffix("\t"))[2:]
    elif line.startswith(("old mode", "new mode", "Binary files", "new file mode 120")):
        file.notes.append(line)


def _path_of_head(line: str) -> str:
    """The path in `diff --git a/PATH b/PATH`, where both are the same; better lines may follow."""
    rest = line.removeprefix("diff --git ")
    return _unquoted(rest[len(rest) // 2 + 1 :])[2:]


def _unquoted(path: str) -> str:
    """A path as git quotes it: `"caf\\303\\251"`."""
    if not (path.startswith('"') and path.endswith('"')):
        return path

    def byte(match: re.Match[str]) -> str:
        said = match[1]
        octal = bytes([int(said, 8) & 0xFF]) if len(said) == 3 else None
        return (octal or _LETTERS.get(said) or said.encode()).decode("latin-1")

    plain = path[1:-1].encode().decode("latin-1")
    return _ESCAPE.sub(byte, plain).encode("latin-1").decode("utf-8", errors="replace")
