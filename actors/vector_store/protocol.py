"""The vector store socket."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

RowKind = Literal["code", "lesson", "file"]
"""`file` rows are memory's own list of what it has indexed."""

MAX_TEXT_BYTES = 60_000
"""Of one row's text, in UTF-8: what every store can hold."""


@dataclass(frozen=True, slots=True)
class Row:
    """One text to be found again. `id` is its identity: upserts replace.

    `source` says where it is from; for code that is `path:first-last`.
    """

    id: str
    repository: str
    kind: RowKind
    source: str
    commit: str
    text: str
    symbol: str = ""
    """The dotted name of what the text defines."""
    form: str = ""
    """What that is, such as `function`."""
    vector: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A row found, best first; `rank` counts from 1."""

    row: Row
    rank: int
    by_words: float = 0.0
    """Its BM25 score as a share of the best one found: from 0 (none of the words) to 1."""
    by_vector: float = 0.0
    """Cosine of its vector and the question's; 0 where it was not among the nearest."""


class VectorStore(Protocol):
    """Every query is confined to one repository by the store's own filter.

    Raises:
        StoreError: the store is locked, away, torn or not open.
        UsageError: a row that no store can hold; see `limits`.
    """

    async def open(self) -> None:
        """Ready for use; may be called again after a failure, and when already open."""
        ...

    async def upsert(self, rows: Sequence[Row]) -> None:
        """Add or replace rows, in this order: after a crash the first ones may be there."""
        ...

    async def delete(self, repository: str, *, ids: Sequence[str]) -> None: ...

    async def ids(self, repository: str, kind: RowKind) -> set[str]:
        """Ids of all rows of one kind."""
        ...

    async def rows(self, repository: str, kind: RowKind) -> list[Row]:
        """All rows of one kind, without their vectors, in no order."""
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
        """BM25 over source, symbol and text; fused by rank with the nearest vectors, given one.

        Identifiers match by their parts (see `words`). Text without a word finds nothing.
        """
        ...

    async def close(self) -> None: ...
