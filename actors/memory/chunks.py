"""A source file cut into pieces worth finding: one per symbol where the language is understood."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from actors.memory.outline import Span, outline
from actors.memory.sieve import licence_lines, why_not

MAX_CHUNKS = 500
"""Of one file."""
_WHOLE_LINES = 60
"""A symbol up to this long stays in one piece."""
_OVERLAP_LINES = 10
_LINE_CHARS = 400
"""Longer lines are data; their ends are not worth finding."""
_CHUNK_CHARS = 12_000


@dataclass(frozen=True, slots=True)
class Chunk:
    """Lines `first` to `last` of a file, counted from 1; symbol and form as in `Span`."""

    symbol: str
    form: str
    first: int
    last: int
    text: str


def chunks_of(path: str, text: str) -> list[Chunk]:
    """Cut one file, or nothing if it is not worth recalling.

    Every line that is not blank or the file's licence is in some chunk, up to `MAX_CHUNKS`.
    """
    if why_not(path, text):
        return []
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for number in range(licence_lines(lines)):
        lines[number] = ""
    spans = outline(path, "\n".join(lines)) or [Span("", "", 1, len(lines))]
    pieces = (piece for span in spans for piece in _pieces(_trimmed(span, lines)))
    found = (_chunk(piece, lines) for piece in pieces)
    return [chunk for chunk in found if chunk.text.strip()][:MAX_CHUNKS]


def _trimmed(span: Span, lines: Sequence[str]) -> Span:
    """Without blank lines at either end."""
    filled = [n for n in range(span.first, span.last + 1) if lines[n - 1].strip()]
    if not filled:
        return span._replace(last=span.first - 1)
    return span._replace(first=filled[0], last=filled[-1])


def _pieces(span: Span) -> Iterator[Span]:
    """Long spans in overlapping pieces."""
    first = span.first
    while span.last - first >= _WHOLE_LINES:
        yield span._replace(first=first, last=first + _WHOLE_LINES - 1)
        first += _WHOLE_LINES - _OVERLAP_LINES
    if first <= span.last:
        yield span._replace(first=first)


def _chunk(span: Span, lines: Sequence[str]) -> Chunk:
    text = "\n".join(line[:_LINE_CHARS] for line in lines[span.first - 1 : span.last])
    # Bytes that were no UTF-8 may have come as lone surrogates, which no store can hold.
    text = text[:_CHUNK_CHARS].encode(errors="replace").decode()
    return Chunk(span.symbol, span.form, span.first, span.last, text)
