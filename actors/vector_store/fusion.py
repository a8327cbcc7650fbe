"""Two rankings of one question become one: reciprocal rank fusion."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from actors.vector_store.protocol import Hit, Row

_RANK_OFFSET = 60
"""The usual constant: how little the first place is ahead of the second."""


def fuse(
    rows: Mapping[str, Row],
    by_words: Sequence[tuple[str, float]],
    by_vector: Sequence[tuple[str, float]],
    limit: int,
) -> list[Hit]:
    """Hits out of ids with scores, both best first: high in any list counts, in both counts more.

    BM25 scores may have any scale and sign (Milvus Lite's are negative): only their ratio counts.
    """
    points: defaultdict[str, float] = defaultdict(float)
    for ranking in (by_words, by_vector):
        for rank, (row_id, _) in enumerate(ranking, 1):
            points[row_id] += 1 / (_RANK_OFFSET + rank)
    best = by_words[0][1] if by_words else 0.0
    shares = {row_id: score / best for row_id, score in by_words if best}
    nearness = dict(by_vector)
    order = sorted(points, key=lambda row_id: (-points[row_id], row_id))[:limit]
    return [
        Hit(rows[row_id], rank, shares.get(row_id, 0.0), nearness.get(row_id, 0.0))
        for rank, row_id in enumerate(order, 1)
    ]
