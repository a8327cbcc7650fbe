"""A source file cut into pieces worth finding: one per symbol where the language is understood."""

import ast
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

MAX_FILE_CHARS = 1_000_000
"""Longer files are generated or data."""
MAX_CHUNKS = 500
"""Of one file."""
_WHOLE_LINES = 60
"""A symbol up to this long stays in one piece."""
_OVERLAP_LINES = 10
_LINE_CHARS = 400
"""Longer lines are minified code or data; their ends are not worth finding."""
_CHUNK_CHARS = 12_000
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Lines `first` to `last` of a file, counted from 1; `symbol` is dotted, or empty."""

    symbol: str
    first: int
    last: int
    text: str


class _Span(NamedTuple):
    symbol: str
    first: int
    last: int


def chunks_of(path: str, text: str) -> list[Chunk]:
    """Cut one file, or nothing if it is binary or huge.

    Every line that is not blank is in some chunk, up to `MAX_CHUNKS`.
    """
    if "\0" in text or len(text) > MAX_FILE_CHARS:
        return []
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    whole = _Span("", 1, len(lines))
    spans = _python(lines) if PurePosixPath(path).suffix in {".py", ".pyi"} else None
    found = (_chunk(piece, lines) for span in spans or [whole] for piece in _pieces(span))
    return [chunk for chunk in found if chunk.text.strip()][:MAX_CHUNKS]


def _chunk(span: _Span, lines: Sequence[str]) -> Chunk:
    text = "\n".join(line[:_LINE_CHARS] for line in lines[span.first - 1 : span.last])
    # Bytes that were no UTF-8 may have come as lone surrogates, which no store can hold.
    return Chunk(*span, text[:_CHUNK_CHARS].encode(errors="replace").decode())


def _pieces(span: _Span) -> Iterator[_Span]:
    """Long spans in overlapping pieces."""
    first = span.first
    while span.last - first >= _WHOLE_LINES:
        yield span._replace(first=first, last=first + _WHOLE_LINES - 1)
        first += _WHOLE_LINES - _OVERLAP_LINES
    if first <= span.last:
        yield span._replace(first=first)


def _python(lines: Sequence[str]) -> list[_Span] | None:
    """Spans that cover the whole file in order, or None where it does not parse."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the file's own syntax deserves is not our matter
            tree = ast.parse("\n".join(lines))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return list(_cover(tree.body, _Span("", 1, len(lines))))


def _cover(body: Sequence[ast.stmt], around: _Span) -> Iterator[_Span]:
    """The definitions in `body`, and what lies between them under the name of what is around."""
    at = around.first
    for node in body:
        if not isinstance(node, _DEFINITIONS):
            continue
        first = min((d.lineno for d in node.decorator_list), default=node.lineno)
        last = node.end_lineno or first
        name = f"{around.symbol}.{node.name}" if around.symbol else node.name
        span = _Span(name, first, last)
        yield _Span(around.symbol, at, first - 1)
        large = isinstance(node, ast.ClassDef) and last - first >= _WHOLE_LINES
        yield from _cover(node.body, span) if large else [span]
        at = last + 1
    yield _Span(around.symbol, at, around.last)
