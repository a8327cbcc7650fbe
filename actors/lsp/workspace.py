"""The files below a root, as seen from outside of any language server."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

LARGEST = 2_000_000
"""Bytes of the largest file that is looked into."""
MOST_FILES = 20_000
_SKIPPED = {"node_modules", "__pycache__", "site-packages"}
Stamp = tuple[int, int]
"""Time of the last change in nanoseconds, and size."""


class NoAnswerError(Exception):
    """An answer that is a failure: says what is wrong and what to do instead."""


@dataclass(frozen=True, slots=True, order=True)
class Spot:
    """A place in a file. Line and character count from 0; characters are UTF-16 units, as the
    protocol has them."""

    path: str
    """Relative to the root where it lies inside, else absolute."""
    line: int
    character: int = 0

    def __str__(self) -> str:
        return f"{self.path}:{self.line + 1}"


class Workspace:
    """A root and what lies below it. Nothing outside is ever changed."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def scan(self, wanted: Callable[[str], bool]) -> dict[str, Stamp]:
        """Stamps of the files whose names are wanted; blocking, about 5 ms for 1,000 files.

        Hidden directories, installed packages and virtual environments are left out.
        """
        found: dict[str, Stamp] = {}
        for path, entry in _walk(self.root):
            if wanted(entry.name):
                try:
                    info = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                found[path] = (info.st_mtime_ns, info.st_size)
                if len(found) >= MOST_FILES:
                    break
        return found

    def place(self, path: str) -> Path:
        """A path as the caller wrote it, found below the root.

        Raises:
            NoAnswerError: it leads out of the root.
        """
        if "\0" in path:
            raise NoAnswerError("a path cannot hold NUL")
        whole = (self.root / path).resolve()
        if not whole.is_relative_to(self.root):
            raise NoAnswerError(f"{path} lies outside of {self.root}")
        return whole

    def read(self, path: str) -> str:
        """The text of a file.

        Raises:
            NoAnswerError: there is none, or it is too large.
        """
        place = self.place(path)
        try:
            if not place.is_file():
                raise NoAnswerError(f"there is no file {path}")
            if place.stat().st_size > LARGEST:
                raise NoAnswerError(f"{path} is larger than {LARGEST:,} bytes")
            return place.read_bytes().decode("utf-8", "replace")
        except OSError as error:
            raise NoAnswerError(f"{path} cannot be read: {error.strerror}") from None

    def lines(self, path: str) -> list[str]:
        """The lines of a file of ours or of a library; none if it cannot be read."""
        place = Path(path) if path.startswith("/") else self.root / path
        try:
            if place.stat().st_size > LARGEST:
                return []
            return split(place.read_bytes().decode("utf-8", "replace"))
        except OSError:
            return []

    def name(self, path: Path) -> str:
        """How a file is called in answers."""
        return str(path.relative_to(self.root) if path.is_relative_to(self.root) else path)

    def uri(self, path: str) -> str:
        return (self.root / path).as_uri()

    def path_of(self, uri: str) -> str:
        """The path behind a `file:` URI; a URI of another kind as it is."""
        parts = urlsplit(uri)
        if parts.scheme != "file":
            return uri
        return self.name(Path(unquote(parts.path)))


def split(text: str) -> list[str]:
    """Lines as language servers count them, without their ends."""
    return re.split(r"\r\n|\n|\r", text)


def to_units(line: str, index: int) -> int:
    """How many UTF-16 units stand before a character."""
    return len(line[:index].encode("utf-16-le", "surrogatepass")) // 2


def from_units(line: str, units: int) -> int:
    """Which character stands after so many UTF-16 units."""
    before = line.encode("utf-16-le", "surrogatepass")[: units * 2]
    return len(before.decode("utf-16-le", "ignore"))


def _walk(root: Path) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        for entry in _entries(root / folder):
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_file(follow_symlinks=False):
                yield path, entry
            elif entry.is_dir(follow_symlinks=False) and _concerns_us(entry.name):
                waiting.append(path)


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    """What lies in a folder; nothing where it cannot be read or holds a virtual environment."""
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError:
        return []
    return [] if any(entry.name == "pyvenv.cfg" for entry in entries) else entries


def _concerns_us(folder: str) -> bool:
    return folder not in _SKIPPED and not folder.startswith(".")
