"""The vector store as a dictionary: BM25, cosine and rank fusion in plain Python."""

import math
import operator
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from actors.vector_store.fusion import fuse
from actors.vector_store.limits import check_kinds, check_rows, check_vector
from actors.vector_store.protocol import Hit, Row, RowKind
from actors.vector_store.words import words, words_of
from orchestration.errors import StoreError

_SATURATION = 1.5
_LENGTH_WEIGHT = 0.75

_Key = tuple[str, str]
"""Repository and row id."""
_Ranking = list[tuple[str, float]]
"""Row ids and their scores, best first."""


class InMemoryStore:
    """Forgets at the end of the process; closing keeps the rows, as a disk would."""

    def __init__(self, *, dimension: int | None = None) -> None:
        self._dimension = dimension
        self._rows: dict[_Key, Row] = {}
        self._terms: dict[_Key, Counter[str]] = {}
        self._open = False

    async def open(self) -> None:
        self._open = True

    async def upsert(self, rows: Sequence[Row]) -> None:
        self._require_open()
        check_rows(rows, self._dimension)
        for row in rows:
            key = (row.repository, row.id)
            self._rows[key] = row
            self._terms[key] = Counter(words_of(row))

    async def delete(self, repository: str, *, ids: Sequence[str]) -> None:
        self._require_open()
        for row_id in ids:
            self._rows.pop((repository, row_id), None)
            self._terms.pop((repository, row_id), None)

    async def ids(self, repository: str, kind: RowKind) -> set[str]:
        return {row.id for row in await self.rows(repository, kind)}

    async def rows(self, repository: str, kind: RowKind) -> list[Row]:
        self._require_open()
        check_kinds((kind,))
        return [
            replace(row, vector=None)
            for row in self._rows.values()
            if row.repository == repository and row.kind == kind
        ]

    async def search(
        self,
        repository: str,
        text: str,
        *,
        kinds: Sequence[RowKind],
        limit: int,
        vector: Sequence[float] | None = None,
    ) -> list[Hit]:
        self._require_open()
        check_kinds(kinds)
        check_vector(vector, self._dimension)
        keys = [
            key for key, row in self._rows.items() if key[0] == repository and row.kind in kinds
        ]
        by_words = self._by_words(keys, text)[:limit]
        by_vector = self._by_vector(keys, vector)[:limit] if vector is not None else []
        found = {row_id for row_id, _ in (*by_words, *by_vector)}
        rows = {each: replace(self._rows[repository, each], vector=None) for each in found}
        return fuse(rows, by_words, by_vector, limit)

    async def close(self) -> None:
        self._open = False

    def _require_open(self) -> None:
        if not self._open:
            raise StoreError("memory's store is not open", "call open() first")

    def _by_words(self, keys: list[_Key], text: str) -> _Ranking:
        asked = set(words(text))
        documents = {key: self._terms[key] for key in keys}
        mean = sum(d.total() for d in documents.values()) / len(documents) if documents else 0.0
        rarity = {word: _rarity(word, documents.values()) for word in asked}

        def score(key: _Key) -> float:
            terms = documents[key]
            length = 1 - _LENGTH_WEIGHT + _LENGTH_WEIGHT * terms.total() / (mean or 1)
            return sum(
                rarity[word]
                * terms[word]
                * (_SATURATION + 1)
                / (terms[word] + _SATURATION * length)
                for word in asked & terms.keys()
            )

        return _ranked(keys, score)

    def _by_vector(self, keys: list[_Key], vector: Sequence[float]) -> _Ranking:
        def score(key: _Key) -> float:
            return _cosine(self._rows[key].vector or (), vector)

        return _ranked([key for key in keys if self._rows[key].vector is not None], score)


def _rarity(word: str, documents: Collection[Counter[str]]) -> float:
    having = sum(word in terms for terms in documents)
    return math.log(1 + (len(documents) - having + 0.5) / (having + 0.5))


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    size = math.hypot(*one) * math.hypot(*other)
    return sum(map(operator.mul, one, other)) / size if size else 0.0


def _ranked(keys: list[_Key], score: Callable[[_Key], float]) -> _Ranking:
    """Best first; without those that score nothing; ties in a stable order."""
    scored = [(row_id, score((repository, row_id))) for repository, row_id in keys]
    return sorted((s for s in scored if s[1] > 0), key=lambda s: (-s[1], s[0]))
