"""What the team remembers of a repository: its code by symbol, and lessons of earlier runs.

Everything here is derived from repositories and journals and can be rebuilt. A broken or slow
store costs recall, never a run. What comes out is untrusted text with a label.
"""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from actors.tools.text import cap, neutralise, one_line
from actors.vector_store.chunks import MAX_CHUNKS, Chunk, chunks_of
from actors.vector_store.protocol import Hit, Row, RowKind, VectorStore
from orchestration.clock import Clock
from orchestration.errors import MantaError
from orchestration.ids import CommitId
from orchestration.messages import Recollection

RECALLED_KINDS: tuple[RowKind, ...] = ("code", "lesson", "evicted")
_FILES_AT_ONCE = 50
_QUERY_CHARS = 4_000
_RECALLED_CHARS = 4_500
"""Of one recollection; a symbol that is longer is worth opening."""
_LESSON_CHARS = 2_000
"""Of a problem, and of a fix."""
_MAX_LIMIT = 50
_PATH_BYTES = 1_500
_SYMBOL_CHARS = 200
_T = TypeVar("_T")


class Embedder(Protocol):
    """Turns texts into vectors of one length. Its failures are `MantaError`s."""

    async def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]: ...


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

    files: int
    sent: int
    """Chunks written."""
    kept: int
    """Chunks of changed files that were there already."""
    dropped: int
    partly: tuple[str, ...] = ()
    """Files indexed in part or not at all: binary, huge, of too many pieces, oddly named."""

    def __add__(self, other: "IndexReport") -> "IndexReport":
        return IndexReport(
            self.files + other.files,
            self.sent + other.sent,
            self.kept + other.kept,
            self.dropped + other.dropped,
            self.partly + other.partly,
        )


@dataclass(frozen=True, slots=True)
class RecallReport:
    """What was found, best first, and why it is less than it could be, if it is."""

    found: tuple[Recollection, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Indexed:
    """What is in the store of one file: chunk ids, and the lines where each one is."""

    blob: str
    chunks: dict[str, str]


class Memory:
    """Owns the store: opens it when first needed, and again after a failure."""

    def __init__(
        self,
        store: VectorStore,
        *,
        clock: Clock,
        embedder: Embedder | None = None,
        timeout_s: float = 1.5,
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._clock = clock
        self._timeout_s = timeout_s
        self._changing = asyncio.Lock()
        self._indexed: dict[str, dict[str, _Indexed]] = {}

    async def ready(self) -> str:
        """Open the store. Returns why it could not be opened, or nothing; never raises."""
        try:
            await self._store.open()
        except MantaError as error:
            return f"memory is unavailable: {error}"
        return ""

    async def close(self) -> None:
        await self._store.close()

    # --- recall --------------------------------------------------------------------------------

    async def recall(
        self,
        repository: str,
        query: str,
        *,
        limit: int = 8,
        kinds: Sequence[RowKind] = RECALLED_KINDS,
    ) -> RecallReport:
        """What memory knows about the query, within `timeout_s`. Never raises."""
        try:
            return await self._within(
                self._timeout_s, self._recall(repository, query, limit, kinds)
            )
        except TimeoutError:
            return RecallReport(
                note=f"memory took longer than {self._timeout_s:g} s; not consulted"
            )
        except Exception as error:  # noqa: BLE001 - the door: a run never fails for want of memory
            return RecallReport(
                note=f"memory is unavailable: {one_line(neutralise(str(error)), 300)}"
            )

    async def _recall(
        self, repository: str, query: str, limit: int, kinds: Sequence[RowKind]
    ) -> RecallReport:
        await self._store.open()
        asked = neutralise(query[:_QUERY_CHARS])
        vector, note = await self._question_vector(asked)
        hits = await self._store.search(
            repository, asked, kinds=kinds, limit=min(max(limit, 1), _MAX_LIMIT), vector=vector
        )
        return RecallReport(tuple(_recollection(hit) for hit in hits), note)

    async def _question_vector(self, query: str) -> tuple[tuple[float, ...] | None, str]:
        """The embedder has half of the time: then words alone must do."""
        if self._embedder is None:
            return None, ""
        try:
            (vector,) = await self._within(self._timeout_s / 2, self._embedder.embed([query]))
        except (MantaError, TimeoutError, ValueError) as error:
            why = one_line(neutralise(str(error)), 200) or "too slow"
            return None, f"recalled by words alone, the embedding model failed: {why}"
        return vector, ""

    async def _within(self, seconds: float, work: Awaitable[_T]) -> _T:
        """`asyncio.timeout` by our clock."""
        task = asyncio.ensure_future(work)
        timer = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait({task, timer}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise TimeoutError
            return task.result()
        finally:
            task.cancel()
            timer.cancel()

    # --- code ----------------------------------------------------------------------------------

    async def manifest(self, repository: str) -> dict[str, str]:
        """Indexed files: path to blob id. What differs from a commit's tree is to be indexed."""
        async with self._changing:
            files = await self._files(repository)
            return {path: indexed.blob for path, indexed in files.items()}

    async def index(
        self,
        repository: str,
        commit: str,
        files: Mapping[str, SourceFile],
        removed: Iterable[str] = (),
    ) -> IndexReport:
        """Bring these files up to date; forget the removed ones and the lessons about them.

        Cut short anywhere, it can simply be done again.
        """
        async with self._changing:
            dropped = await self._forget(repository, set(removed) - files.keys())
            report = IndexReport(0, 0, 0, dropped, tuple(p for p in files if not _fits(p)))
            paths = sorted(filter(_fits, files))
            for start in range(0, len(paths), _FILES_AT_ONCE):
                some = {path: files[path] for path in paths[start : start + _FILES_AT_ONCE]}
                report += await self._index_some(repository, commit, some)
            return report

    async def _index_some(
        self, repository: str, commit: str, files: Mapping[str, SourceFile]
    ) -> IndexReport:
        known = await self._files(repository)
        before = {k: v for path in files if path in known for k, v in known[path].chunks.items()}
        cut = await asyncio.to_thread(_cut_all, files)
        now = {
            path: _Indexed(files[path].blob, {_chunk_id(path, c): _lines(c) for c in chunks})
            for path, chunks in cut.items()
        }
        after = {k: v for indexed in now.values() for k, v in indexed.chunks.items()}
        fresh = {
            row.id: row
            for path, chunks in cut.items()
            for chunk in chunks
            for row in [_code_row(repository, commit, path, chunk)]
            if before.get(row.id) != _lines(chunk)
        }
        # A file's own row comes after its chunks: it is only there when they are.
        listing = [_file_row(repository, commit, path, indexed) for path, indexed in now.items()]
        gone = before.keys() - after.keys()
        self._indexed.pop(repository)
        await self._store.upsert([*await self._embedded([*fresh.values()]), *listing])
        await self._store.delete(repository, ids=sorted(gone))
        self._indexed[repository] = known | now
        partly = tuple(path for path, chunks in cut.items() if _is_partial(files[path], chunks))
        return IndexReport(len(files), len(fresh), len(after) - len(fresh), len(gone), partly)

    async def _files(self, repository: str) -> dict[str, _Indexed]:
        """What the store holds of a repository, read once; chunks of no file are swept away."""
        await self._store.open()
        if repository not in self._indexed:
            rows = await self._store.rows(repository, "file")
            files = {row.source: _Indexed(**json.loads(row.text)) for row in rows}
            listed = {chunk for indexed in files.values() for chunk in indexed.chunks}
            orphans = await self._store.ids(repository, "code") - listed
            await self._store.delete(repository, ids=sorted(orphans))
            self._indexed[repository] = files
        return self._indexed[repository]

    async def _embedded(self, rows: list[Row]) -> list[Row]:
        if self._embedder is None or not rows:
            return rows
        vectors = await self._embedder.embed([f"{row.source}\n{row.text}" for row in rows])
        return [replace(row, vector=vector) for row, vector in zip(rows, vectors, strict=True)]

    # --- lessons -------------------------------------------------------------------------------

    async def remember(self, repository: str, lesson: Lesson) -> None:
        """Keep a lesson, in place of an earlier one of the same key."""
        async with self._changing:
            await self._store.open()
            await self._store.upsert(await self._embedded([_lesson_row(repository, lesson)]))

    async def forget(self, repository: str, paths: Iterable[str]) -> int:
        """Drop what is known of files that are gone, and lessons about nothing else.

        Returns the number of texts dropped.
        """
        async with self._changing:
            return await self._forget(repository, set(paths))

    async def _forget(self, repository: str, paths: set[str]) -> int:
        if not paths:
            return 0
        known = await self._files(repository)
        here = paths & known.keys()
        chunks = [chunk for path in here for chunk in known[path].chunks]
        lessons = await self._lessons_left_by(repository, paths)
        pointless = [lesson.id for lesson in lessons if lesson.source == "[]"]
        self._indexed.pop(repository)
        still = [lesson for lesson in lessons if lesson.source != "[]"]
        await self._store.upsert(await self._embedded(still))
        listing = [_id("file", path) for path in here]
        await self._store.delete(repository, ids=[*listing, *chunks, *pointless])
        self._indexed[repository] = {p: known[p] for p in known.keys() - here}
        return len(chunks) + len(pointless)

    async def _lessons_left_by(self, repository: str, paths: set[str]) -> list[Row]:
        """Lessons about these paths, now about what else they are about."""
        rows = await self._store.rows(repository, "lesson")
        about = {row.id: json.loads(row.source) for row in rows}
        return [
            replace(row, source=json.dumps([path for path in about[row.id] if path not in paths]))
            for row in rows
            if paths.intersection(about[row.id])
        ]


def _recollection(hit: Hit) -> Recollection:
    row = hit.row
    return Recollection(
        source="lesson" if row.kind == "lesson" else one_line(neutralise(row.source), 300),
        commit=CommitId(one_line(neutralise(row.commit), 64)),
        text=cap(neutralise(row.text), _RECALLED_CHARS),
    )


# --- rows --------------------------------------------------------------------------------------


def _cut_all(files: Mapping[str, SourceFile]) -> dict[str, list[Chunk]]:
    return {path: chunks_of(path, file.text) for path, file in files.items()}


def _is_partial(file: SourceFile, chunks: Sequence[Chunk]) -> bool:
    return len(chunks) == MAX_CHUNKS or (not chunks and bool(file.text.strip()))


def _fits(path: str) -> bool:
    """Whether a store can hold this path as a label; git allows any bytes."""
    try:
        return len(path.encode()) <= _PATH_BYTES
    except UnicodeEncodeError:
        return False


def _code_row(repository: str, commit: str, path: str, chunk: Chunk) -> Row:
    source = f"{path}:{_lines(chunk)} {chunk.symbol[:_SYMBOL_CHARS]}".rstrip()
    return Row(_chunk_id(path, chunk), repository, "code", source, commit, chunk.text)


def _file_row(repository: str, commit: str, path: str, indexed: _Indexed) -> Row:
    text = json.dumps({"blob": indexed.blob, "chunks": indexed.chunks})
    return Row(_id("file", path), repository, "file", path, commit, text)


def _lesson_row(repository: str, lesson: Lesson) -> Row:
    files = [path for path in lesson.files if _fits(path)]
    while len(json.dumps(files)) > _PATH_BYTES:
        files.pop()
    problem, fix = (cap(neutralise(text), _LESSON_CHARS) for text in (lesson.problem, lesson.fix))
    text = f"Problem: {problem}\nFix: {fix}"
    return Row(
        _id("lesson", lesson.key), repository, "lesson", json.dumps(files), lesson.commit, text
    )


def _lines(chunk: Chunk) -> str:
    return f"{chunk.first}-{chunk.last}"


def _chunk_id(path: str, chunk: Chunk) -> str:
    """The same while a chunk only moves within its file."""
    return _id("code", path, chunk.symbol, chunk.text)


def _id(*parts: str) -> str:
    """Of the row within its repository."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
