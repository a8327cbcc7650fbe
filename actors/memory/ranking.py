"""Which of the rows found are worth a reader's time: enough in common, not twice, code first.

Pure. The store has fused its rankings; here the hits are weighed by what they are. The numbers
were chosen on the questions of `benchmarks/recall.py`.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import PurePosixPath

from actors.vector_store.protocol import Hit, Row
from actors.vector_store.words import words, words_of

DEPTH, LEAST = 6, 48
"""Rows fetched for each one wanted, and at least."""
_SHARE = 0.3
"""Of the best row's score by words: what has less merely has a word in common."""
_NEAR = 0.7
"""Of the best row's nearness: the nearest of many strangers is a stranger."""
_MEANING = 0.7
"""What nearness counts beside words: a word in common is the better witness."""
_GAP = 0.55
"""Of the points of the best of its kind: what has less was not the answer to any question there,
and each piece shown is paid for in every turn."""
_PER_FILE = 5
_TEST = re.compile(r"(^|[/_.-])(tests?|specs?|testing|examples?|benchmarks?|fixtures?)([/_.-]|$)")
_PROSE = frozenset({".md", ".rst", ".txt", ".adoc", ".html"})
_LOG = re.compile(r"(^|/)(changelog|changes|history|news|releases?)(\.|/|$)", re.IGNORECASE)


def depth(limit: int) -> int:
    """How many rows to fetch for so many wanted ones."""
    return max(LEAST, DEPTH * limit)


def best(hits: Sequence[Hit], question: str, limit: int) -> list[Row]:
    """The rows worth showing, best first."""
    asked = set(words(question))
    top = max((hit.by_vector for hit in hits), default=0.0)
    ordered = sorted(hits, key=lambda hit: -_points(hit, top))
    # Looked at one by one, for as long as more are wanted: reading all of them takes a while.
    relevant = (hit for hit in ordered if _is_relevant(hit, asked, top))
    return list(islice(_without_repeats(_near_the_best(relevant, top)), limit))


def _near_the_best(hits: Iterator[Hit], top: float) -> Iterator[Row]:
    """The rows before the points drop, of code and of lessons; hits come best first."""
    floors: dict[str, float] = {}
    for hit in hits:
        points = _points(hit, top)
        if points >= floors.setdefault(hit.row.kind, _GAP * points):
            yield hit.row


def _is_relevant(hit: Hit, asked: set[str], top: float) -> bool:
    if hit.by_vector and hit.by_vector >= _NEAR * top:
        return True
    if hit.by_words < _SHARE:
        return False
    return len(asked & set(words_of(hit.row))) >= _needed(len(asked))


def _needed(asked: int) -> int:
    """Words in common: one of a short question, more of a long one."""
    return 1 if asked <= 3 else 2 if asked <= 8 else 3


def _points(hit: Hit, top: float) -> float:
    nearness = hit.by_vector / top if top else 0.0
    return _weight(hit.row) * (hit.by_words + _MEANING * nearness)


def _weight(row: Row) -> float:
    """Definitions and lessons first; a test or a page is about them, and old news comes last."""
    if row.kind == "lesson":
        return 1.0
    path = PurePosixPath(row.source.rpartition(":")[0])
    if _LOG.search(str(path)):
        return 0.3
    if path.suffix.lower() in _PROSE or _TEST.search(str(path).lower()):
        return 0.5
    return 1.0 if row.symbol else 0.7


def _without_repeats(rows: Iterator[Row]) -> Iterator[Row]:
    """No text twice, no lines of a file twice, no file more than a few times."""
    texts, lines, files = set[str](), set[tuple[str, int]](), Counter[str]()
    for row in rows:
        text = " ".join(row.text.split())
        path, covered = _lines(row)
        if text in texts or not lines.isdisjoint(covered) or files[path] >= _PER_FILE:
            continue
        texts.add(text)
        if path:
            lines |= covered
            files[path] += 1
        yield row


def _lines(row: Row) -> tuple[str, set[tuple[str, int]]]:
    """A code row's file, and its lines."""
    path, _, span = row.source.rpartition(":")
    first, _, last = span.partition("-")
    if row.kind != "code" or not (first.isdecimal() and last.isdecimal()):
        return "", set()
    return path, {(path, line) for line in range(int(first), int(last) + 1)}
