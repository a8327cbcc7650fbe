"""The vector store socket."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

RowKind = Literal["code", "lesson", "evicted"]


@dataclass(frozen=True, slots=True)
class Row:
    """One text to be found again. `id` is its identity: upserts replace."""

    id: str
    repository: str
    kind: RowKind
    source: str
    commit: str
    text: str
    vector: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A row found, best first; `rank` counts from 1. Scores of different stores do not compare."""

    row: Row
    rank: int


class VectorStore(Protocol):
    """Every query is confined to one repository by the store's own filter.

    Raises:
        StoreError: the store is locked, away or torn.
    """

    async def open(self) -> None:
        """Ready for use; may be called again after a failure."""
        ...

    async def upsert(self, rows: Sequence[Row]) -> None: ...

    async def delete(self, repository: str, *, ids: Sequence[str]) -> None: ...

    async def ids(self, repository: str, kind: RowKind) -> set[str]:
        """Ids of all rows of one kind."""
        ...

    async def search(
        self,
        repository: str,
        text: str,
        *,
        kinds: Sequence[RowKind],
        limit: int,
        vector: Sequence[float] | None = None,
    ) -> list[Hit]:
        """BM25 over the text; fused by rank with the vector search when a vector is given."""
        ...

    async def close(self) -> None: ...
