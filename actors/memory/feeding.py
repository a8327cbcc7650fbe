"""Bringing memory up to date with a commit: only what changed, a little at a time, not for ever."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from actors.git.records import FileEntry
from actors.memory.values import IndexReport, SourceFile

MAX_BYTES = 400_000
"""Of the largest file that memory keeps."""
BUDGET_S = 60.0
"""Planning waits no longer than this; what is left over is indexed by the next run."""
_BATCH_BYTES = 4_000_000
_BATCH_FILES = 200


class Indexer(Protocol):
    """The part of memory that is fed."""

    async def manifest(self, repository: str) -> dict[str, str]: ...
    async def index(
        self,
        repository: str,
        commit: str,
        files: Mapping[str, SourceFile],
        removed: Sequence[str] = (),
    ) -> IndexReport: ...


class Objects(Protocol):
    """Where blobs are read: the run's own repository."""

    async def blobs(self, ids: Sequence[str]) -> dict[str, bytes]: ...


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A commit's files, and where to read them."""

    commit: str
    entries: Sequence[FileEntry]
    objects: Objects


async def feed(
    memory: Indexer, repository: str, snapshot: Snapshot, *, budget_s: float = BUDGET_S
) -> IndexReport:
    """Index what differs from what memory holds, and forget what is not there any more.

    Raises:
        MantaError: the store or the repository failed; what was indexed before stays.
    """
    deadline = time.monotonic() + budget_s
    known = await memory.manifest(repository)
    kept = {e.path: e for e in snapshot.entries if e.mode.startswith("100")}
    wanted = {path: entry for path, entry in kept.items() if entry.size <= MAX_BYTES}
    removed = [path for path in known if path not in wanted]
    changed = [entry for path, entry in wanted.items() if known.get(path) != entry.blob]
    report = IndexReport()
    if removed:
        report += await memory.index(repository, snapshot.commit, {}, removed)
    for batch in _batches(changed):
        if time.monotonic() > deadline:
            left = len(changed) - report.files
            late = f"memory was given {budget_s:g} s; {left} of {len(changed)} files are to follow"
            return report + IndexReport(note=late)
        texts = await snapshot.objects.blobs([entry.blob for entry in batch])
        files = {
            entry.path: SourceFile(entry.blob, texts[entry.blob].decode(errors="replace"))
            for entry in batch
        }
        report += await memory.index(repository, snapshot.commit, files)
    return report


def _batches(entries: Sequence[FileEntry]) -> Iterator[list[FileEntry]]:
    batch, size = list[FileEntry](), 0
    for entry in entries:
        if batch and (size + entry.size > _BATCH_BYTES or len(batch) >= _BATCH_FILES):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += entry.size
    if batch:
        yield batch
