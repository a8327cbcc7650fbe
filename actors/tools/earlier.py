"""Searching what one conversation has seen, also what its context no longer shows.

The journal keeps every answer, so nothing is copied to where it could be lost or leak: an index of
the passages is made for the question and thrown away.
"""

from collections.abc import Iterable, Iterator

from actors.tools.archive import Archive, KeptResult
from actors.tools.text import neutralise, one_line
from actors.vector_store.in_memory import InMemoryStore
from actors.vector_store.protocol import Row

_LIMIT = 3
_LINES = 25
"""Of one passage."""
_PASSAGE_CHARACTERS = 700
_CHARACTERS = 500_000
"""Looked through, the latest first."""
_SILENT = frozenset({"recall", "remember", "finish"})
"""Tools whose answers repeat others, or say nothing."""
_SHARE = 0.5
"""Of the best passage's score."""


async def earlier(archive: Archive, query: str) -> list[tuple[str, str]]:
    """The passages that answer best, each with the arguments by which `recall` shows more of it."""
    store = InMemoryStore()
    await store.open()
    await store.upsert([*_passages(await archive.answers(_CHARACTERS))])
    hits = await store.search("", query, kinds=["lesson"], limit=_LIMIT)
    return [(hit.row.id, hit.row.text) for hit in hits if hit.by_words >= _SHARE]


def _passages(answers: Iterable[tuple[KeptResult, str]]) -> Iterator[Row]:
    for result, text in answers:
        lines = [] if result.name in _SILENT else neutralise(text).splitlines()
        for first in range(0, len(lines), _LINES):
            part = "\n".join(lines[first : first + _LINES])[:_PASSAGE_CHARACTERS]
            place = f"{one_line(result.name, 40)}, call={result.call} first_line={first + 1}"
            yield Row(place, "", "lesson", "", "", part)
