"""Memory itself: what it is told, what it finds, what it forgets.

Everything here is derived from repositories and runs and can be rebuilt. A broken or slow store
costs recall, never a run. What comes out is untrusted text with a label.
"""

import asyncio
import json
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from actors.memory import ranking, rows
from actors.memory.chunks import MAX_CHUNKS, Chunk, chunks_of
from actors.memory.rows import Indexed
from actors.memory.sieve import why_not
from actors.memory.values import PIECES, IndexReport, Lesson, RecallReport, SourceFile
from actors.tools.text import neutralise, one_line
from actors.vector_store.protocol import Row, RowKind, VectorStore
from orchestration.clock import Clock
from orchestration.errors import MantaError

RECALLED_KINDS: tuple[RowKind, ...] = ("code", "lesson")
_FILES_AT_ONCE = 50
_QUERY_CHARS = 4_000
_MAX_LIMIT = 50
_T = TypeVar("_T")


class Embedder(Protocol):
    """Turns texts into vectors of one length. Its failures are `MantaError`s."""

    async def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]: ...

    async def close(self) -> None: ...


class Memory:
    """Owns the store: opens it when first needed, and again after a failure.

    `repository` is everywhere the key under which one repository's memory is kept apart.
    """

    def __init__(
        self,
        store: VectorStore,
        *,
        clock: Clock,
        embedder: Embedder | None = None,
        timeout_s: float = 1.5,
        note: str = "",
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._clock = clock
        self._timeout_s = timeout_s
        self._note = note
        self._changing = asyncio.Lock()
        self._indexed: dict[str, dict[str, Indexed]] = {}

    async def ready(self) -> str:
        """Open the store. Returns why it could not be opened, or nothing; never raises."""
        try:
            await self._store.open()
        except MantaError as error:
            return f"memory is unavailable: {error}"
        return ""

    async def close(self) -> None:
        await self._store.close()
        if self._embedder:
            await self._embedder.close()

    # --- recall --------------------------------------------------------------------------------

    async def recall(
        self,
        repository: str,
        query: str,
        *,
        limit: int = PIECES,
        kinds: Sequence[RowKind] = RECALLED_KINDS,
    ) -> RecallReport:
        """What memory knows about the query, within `timeout_s`. Never raises."""
        try:
            return await self._within(
                self._timeout_s, self._recall(repository, query, limit, kinds)
            )
        except TimeoutError:
            return RecallReport(
                note=f"memory took longer than {self._timeout_s:g} s; not consulted",
                consulted=False,
            )
        except Exception as error:  # noqa: BLE001 - the door: a run never fails for want of memory
            return RecallReport(
                note=f"memory is unavailable: {one_line(neutralise(str(error)), 300)}",
                consulted=False,
            )

    async def _recall(
        self, repository: str, query: str, limit: int, kinds: Sequence[RowKind]
    ) -> RecallReport:
        await self._store.open()
        asked = neutralise(query[:_QUERY_CHARS])
        limit = min(max(limit, 1), _MAX_LIMIT)
        vector, note = await self._question_vector(asked)
        hits = await self._store.search(
            repository, asked, kinds=kinds, limit=ranking.depth(limit), vector=vector
        )
        found = ranking.best(hits, asked, limit)
        found = tuple(rows.recollection(row, place) for place, row in enumerate(found))
        return RecallReport(found, note or self._note)

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
            odd = tuple(path for path in files if not rows.fits(path))
            report = IndexReport(dropped=dropped, partly=odd)
            paths = sorted(filter(rows.fits, files))
            for start in range(0, len(paths), _FILES_AT_ONCE):
                some = {path: files[path] for path in paths[start : start + _FILES_AT_ONCE]}
                report += await self._index_some(repository, commit, some)
            return report

    async def _index_some(
        self, repository: str, commit: str, files: Mapping[str, SourceFile]
    ) -> IndexReport:
        known = await self._files(repository)
        before = rows.all_chunks({p: known[p] for p in files if p in known and known[p].blob})
        stale = rows.all_chunks({p: known[p] for p in files if p in known})
        cut = await asyncio.to_thread(_cut_all, files)
        wanted = [
            rows.code_row(repository, commit, path, chunk)
            for path, chunks in cut.items()
            for chunk in chunks
            if before.get(rows.chunk_id(path, chunk)) != rows.lines(chunk)
        ]
        fresh = [*{row.id: row for row in wanted}.values()]
        embedded, note = await self._embedded(fresh)
        now = {
            path: rows.indexed_as(path, "" if note else files[path].blob, chunks)
            for path, chunks in cut.items()
        }
        after = rows.all_chunks(now)
        # A file's own row comes after its chunks: it is only there when they are.
        listing = [rows.file_row(repository, commit, path, each) for path, each in now.items()]
        gone = stale.keys() - after.keys()
        self._indexed.pop(repository)
        await self._store.upsert([*embedded, *listing])
        await self._store.delete(repository, ids=sorted(gone))
        self._indexed[repository] = known | now
        return IndexReport(
            files=len(files),
            sent=len(fresh),
            kept=len(after) - len(fresh),
            dropped=len(gone),
            left_out=sum(bool(why_not(path, file.text)) for path, file in files.items()),
            partly=tuple(path for path, chunks in cut.items() if len(chunks) == MAX_CHUNKS),
            note=note,
        )

    async def _files(self, repository: str) -> dict[str, Indexed]:
        """What the store holds of a repository, read once; chunks of no file are swept away."""
        await self._store.open()
        if repository not in self._indexed:
            files = rows.indexed_files(await self._store.rows(repository, "file"))
            orphans = await self._store.ids(repository, "code") - rows.all_chunks(files).keys()
            await self._store.delete(repository, ids=sorted(orphans))
            self._indexed[repository] = files
        return self._indexed[repository]

    async def _embedded(self, texts: list[Row]) -> tuple[list[Row], str]:
        """The rows with their vectors, or as they are and why: words work without them."""
        if self._embedder is None or not texts:
            return texts, ""
        try:
            vectors = await self._embedder.embed([_shown(row) for row in texts])
        except MantaError as error:
            why = one_line(neutralise(str(error)), 200)
            return texts, f"kept by words alone for now, the embedding model failed: {why}"
        pairs = zip(texts, vectors, strict=True)
        return [replace(row, vector=vector) for row, vector in pairs], ""

    # --- lessons -------------------------------------------------------------------------------

    async def remember(self, repository: str, lesson: Lesson) -> None:
        """Keep a lesson, in place of an earlier one of the same key."""
        async with self._changing:
            await self._store.open()
            embedded, _ = await self._embedded([rows.lesson_row(repository, lesson)])
            await self._store.upsert(embedded)

    async def forget(self, repository: str, paths: Iterable[str]) -> int:
        """Drop what is known of files that are gone, and lessons about nothing else.

        Returns the number of texts dropped.
        """
        async with self._changing:
            return await self._forget(repository, set(paths))

    async def drop(self, repository: str, kinds: Sequence[RowKind] = RECALLED_KINDS) -> int:
        """Forget all texts of these kinds. Returns how many there were."""
        async with self._changing:
            await self._store.open()
            self._indexed.pop(repository, None)
            gone = {kind: await self._store.ids(repository, kind) for kind in kinds}
            # The list of files goes first: chunks of no file are rubbish, a file without is a lie.
            listing = await self._store.ids(repository, "file") if "code" in kinds else set[str]()
            await self._store.delete(repository, ids=sorted(listing))
            for ids in gone.values():
                await self._store.delete(repository, ids=sorted(ids))
            return sum(map(len, gone.values()))

    async def _forget(self, repository: str, paths: set[str]) -> int:
        if not paths:
            return 0
        known = await self._files(repository)
        here = paths & known.keys()
        chunks = [chunk for path in here for chunk in known[path].chunks]
        lessons = await self._lessons_left_by(repository, paths)
        pointless = [lesson.id for lesson in lessons if not rows.files_of(lesson)]
        self._indexed.pop(repository)
        still, _ = await self._embedded([each for each in lessons if rows.files_of(each)])
        await self._store.upsert(still)
        listing = [rows.file_id(path) for path in here]
        await self._store.delete(repository, ids=[*listing, *chunks, *pointless])
        self._indexed[repository] = {p: known[p] for p in known.keys() - here}
        return len(chunks) + len(pointless)

    async def _lessons_left_by(self, repository: str, paths: set[str]) -> list[Row]:
        """Lessons about these paths, now about what else they are about."""
        lessons = await self._store.rows(repository, "lesson")
        about = {row.id: rows.files_of(row) for row in lessons}
        return [
            replace(row, source=json.dumps([path for path in about[row.id] if path not in paths]))
            for row in lessons
            if paths.intersection(about[row.id])
        ]


def _cut_all(files: Mapping[str, SourceFile]) -> dict[str, list[Chunk]]:
    return {path: chunks_of(path, file.text) for path, file in files.items()}


def _shown(row: Row) -> str:
    """What an embedding model reads of a row."""
    return f"{row.source} {row.symbol}\n{row.text}"
