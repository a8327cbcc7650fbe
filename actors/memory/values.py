"""What travels between memory and those who ask it. Light: every process of a team knows these."""

from dataclasses import dataclass

from orchestration.messages import Recollection

PIECES = 5
"""Recalled at most, where nobody names another number."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to index: its git blob id and its text."""

    blob: str
    text: str


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a run learned. Equal keys (run and task) are the same lesson, told again."""

    key: str
    problem: str
    fix: str
    commit: str
    """The commit that shows the fix."""
    files: tuple[str, ...] = ()
    """The code it is about: when all of it is gone, so is the lesson."""


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What indexing did."""

    files: int = 0
    sent: int = 0
    """Chunks written."""
    kept: int = 0
    """Chunks of changed files that were there already."""
    dropped: int = 0
    """Chunks and lessons."""
    left_out: int = 0
    """Files not worth recalling: licences, lock files, vendored, generated, binary."""
    partly: tuple[str, ...] = ()
    """Files indexed in part or not at all: too many pieces, oddly named."""
    note: str = ""
    """Why this is less than it could be, if it is."""

    def __add__(self, other: "IndexReport") -> "IndexReport":
        return IndexReport(
            self.files + other.files,
            self.sent + other.sent,
            self.kept + other.kept,
            self.dropped + other.dropped,
            self.left_out + other.left_out,
            self.partly + other.partly,
            self.note or other.note,
        )


@dataclass(frozen=True, slots=True)
class RecallReport:
    """What was found, best first, and why it is less than it could be, if it is."""

    found: tuple[Recollection, ...] = ()
    note: str = ""
    consulted: bool = True
    """False when memory was away or too slow: then nothing follows from finding nothing."""
