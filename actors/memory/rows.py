"""Memory's texts as the rows of a store, and back."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from actors.memory.chunks import Chunk
from actors.memory.values import Lesson
from actors.tools.text import cap, neutralise, one_line
from actors.vector_store.protocol import Row
from orchestration.ids import CommitId
from orchestration.messages import Recollection

PATH_BYTES = 1_500
_RECALLED_CHARS = (2_500, 2_500, 1_200)
"""Of one recollection: of the best, the next, and each after them. A symbol that is longer is worth
opening."""
_LESSON_CHARS = 2_000
"""Of a problem, and of a fix."""
_SYMBOL_CHARS = 200
_FILES_NAMED = 3


@dataclass(frozen=True, slots=True)
class Indexed:
    """What is in the store of one file: chunk ids, and the lines where each one is.

    `blob` is empty for a file that is to be indexed again: its vectors are missing.
    """

    blob: str
    chunks: dict[str, str]


def recollection(row: Row, place: int = 0) -> Recollection:
    """A row as it is shown: labelled, capped, and unable to act on its reader.

    `place` is its own among those shown, from 0.
    """
    limit = _RECALLED_CHARS[min(place, len(_RECALLED_CHARS) - 1)]
    label = f"{row.source} {row.form} {row.symbol}" if row.kind == "code" else _lesson_label(row)
    return Recollection(
        source=one_line(neutralise(label), 300),
        commit=CommitId(one_line(neutralise(row.commit), 64)),
        text=cap(neutralise(row.text), limit),
    )


def _lesson_label(row: Row) -> str:
    files = files_of(row)
    more = f" and {len(files) - _FILES_NAMED} more" if len(files) > _FILES_NAMED else ""
    return f"lesson about {', '.join(files[:_FILES_NAMED])}{more}" if files else "lesson"


def fits(path: str) -> bool:
    """Whether a store can hold this path as a label; git allows any bytes."""
    try:
        return len(path.encode()) <= PATH_BYTES
    except UnicodeEncodeError:
        return False


def code_row(repository: str, commit: str, path: str, chunk: Chunk) -> Row:
    """A piece of a file."""
    return Row(
        chunk_id(path, chunk),
        repository,
        "code",
        f"{path}:{lines(chunk)}",
        commit,
        chunk.text,
        chunk.symbol[:_SYMBOL_CHARS],
        chunk.form,
    )


def file_row(repository: str, commit: str, path: str, indexed: Indexed) -> Row:
    """A line of memory's own list of files."""
    text = json.dumps({"blob": indexed.blob, "chunks": indexed.chunks})
    return Row(file_id(path), repository, "file", path, commit, text)


def indexed_files(rows: Sequence[Row]) -> dict[str, Indexed]:
    """The list of files that `file_row`s are."""
    return {row.source: Indexed(**json.loads(row.text)) for row in rows}


def indexed_as(path: str, blob: str, chunks: Sequence[Chunk]) -> Indexed:
    """What the store will hold of a file that is cut like this."""
    return Indexed(blob, {chunk_id(path, chunk): lines(chunk) for chunk in chunks})


def lesson_row(repository: str, lesson: Lesson) -> Row:
    """A lesson; its files are its source."""
    files = [path for path in lesson.files if fits(path)]
    while len(json.dumps(files)) > PATH_BYTES:
        files.pop()
    problem, fix = (cap(neutralise(text), _LESSON_CHARS) for text in (lesson.problem, lesson.fix))
    text = f"Problem: {problem}\nFix: {fix}"
    row_id = _id("lesson", lesson.key)
    return Row(row_id, repository, "lesson", json.dumps(files), lesson.commit, text)


def files_of(lesson: Row) -> list[str]:
    """The files that a lesson is about."""
    return json.loads(lesson.source)


def lines(chunk: Chunk) -> str:
    """Where it is in its file."""
    return f"{chunk.first}-{chunk.last}"


def chunk_id(path: str, chunk: Chunk) -> str:
    """The same while a chunk only moves within its file."""
    return _id("code", path, chunk.symbol, chunk.text)


def file_id(path: str) -> str:
    """The id of a file's row."""
    return _id("file", path)


def all_chunks(files: Mapping[str, Indexed]) -> dict[str, str]:
    """Chunk ids and lines of these files."""
    return {chunk: place for indexed in files.values() for chunk, place in indexed.chunks.items()}


def _id(*parts: str) -> str:
    """Of the row within its repository."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
