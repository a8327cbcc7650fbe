"""What every store refuses, before it touches anything."""

from collections.abc import Sequence
from typing import get_args

from actors.vector_store.protocol import MAX_TEXT_BYTES, Row, RowKind
from orchestration.errors import UsageError

MAX_LABEL_BYTES = 2_000
"""Of an id, a repository's name, a source, a commit, a symbol."""
KINDS = frozenset[str](get_args(RowKind))


def check_rows(rows: Sequence[Row], dimension: int | None) -> None:
    """Refuse rows that some store could not hold.

    Raises:
        UsageError: naming the row and what is wrong with it.
    """
    for row in rows:
        check_kinds((row.kind,))
        check_vector(row.vector, dimension)
        _check_size(row, "text", row.text, MAX_TEXT_BYTES)
        for field in ("id", "repository", "source", "commit", "symbol", "form"):
            _check_size(row, field, getattr(row, field), MAX_LABEL_BYTES)


def check_kinds(kinds: Sequence[str]) -> None:
    """Refuse kinds that do not exist: they become part of a filter."""
    if unknown := sorted(set(kinds) - KINDS):
        raise UsageError(
            f"unknown kinds of rows: {', '.join(unknown)[:200]}", f"known are {sorted(KINDS)}"
        )


def check_vector(vector: Sequence[float] | None, dimension: int | None) -> None:
    """Refuse a vector of another length than the store was made for."""
    if vector is not None and len(vector) != dimension:
        raise UsageError(
            f"a vector of {len(vector)} numbers for a store of dimension {dimension}",
            "open the store with the embedding model's dimension",
        )


def _check_size(row: Row, field: str, value: str, most: int) -> None:
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise UsageError(f"row {row.id!r}: its {field} is not valid Unicode") from None
    if size > most:
        raise UsageError(
            f"row {row.id[:80]!r}: its {field} has {size} bytes; at most {most} fit", "cut it up"
        )
