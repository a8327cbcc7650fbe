"""Where a source file's definitions are: tree-sitter, for the languages that it is asked to read.

One walk serves all languages; `grammars` knows their words. What cannot be read in time is
no error: then the file is cut like any text.
"""

import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import PurePosixPath
from typing import NamedTuple

from tree_sitter import Language, Node, Parser, Point

from actors.memory.grammars import (
    ATTACHED,
    BINDINGS,
    BOUND,
    BY_SUFFIX,
    CLASSES,
    WRAPPERS,
    Grammar,
)

PARSE_S = 0.25
"""CPU time of one file. Honest code takes a tenth of a second per megabyte."""
MAX_OPEN = 1_000
"""`<` in a file, beyond which grammars with generics are not asked: they take memory by the square
of those that nothing closes, and can end the process before anybody looks at the time."""
LARGE_LINES = 60
"""A class longer than this is cut by its methods."""
_MAX_NODES = 40_000
"""Looked at in one file; a table of data may have millions."""
_MAX_DEPTH = 12
_NAME_CHARS = 120


class Span(NamedTuple):
    """Lines `first` to `last`, counted from 1. `symbol` is dotted; `form` says what it is."""

    symbol: str
    form: str
    first: int
    last: int


def outline(path: str, text: str) -> list[Span] | None:
    """Spans that cover the file's lines in order; None where no grammar helps.

    What lies between definitions has the symbol of what is around it, or none.
    """
    grammar = BY_SUFFIX.get(PurePosixPath(path).suffix.lower())
    if grammar is None:
        return None
    source = text.encode(errors="replace")
    tree_root = _root(grammar, source)
    if tree_root is None:
        return None
    whole = Span("", "", 1, source.count(b"\n") + 1)
    return [span for span in _Walk(grammar).cover(tree_root, whole) if span.first <= span.last]


def _root(grammar: Grammar, source: bytes) -> Node | None:
    """The parsed file, or None when it takes too long: hostile text can, in any grammar."""
    if grammar.has_generics and source.count(b"<") > MAX_OPEN:
        return None
    deadline = time.thread_time() + PARSE_S

    def read(at: int, _point: Point) -> bytes:
        return source[at : at + 65_536]

    def is_late(_at: int, _has_error: bool) -> bool:
        return time.thread_time() > deadline

    try:
        return Parser(_language(grammar.load)).parse(read, progress_callback=is_late).root_node
    except ValueError:
        return None


@cache
def _language(load: Callable[[], object]) -> Language:
    return Language(load())


class _Walk:
    """One walk over one file's tree; looks at so many nodes and no more."""

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        self._left = _MAX_NODES

    def cover(self, node: Node, around: Span) -> Iterator[Span]:
        """The definitions below a node, and what lies between them as parts of `around`."""
        at = around.first
        for found, name, form in self._definitions(node, 0):
            first, last = max(_first_line(found), around.first), _last_line(found)
            if first < at or last > around.last:
                continue  # on a line that is spoken for
            yield around._replace(first=at, last=first - 1)
            yield from self._part(found, _joined(around, name, form, first, last))
            at = last + 1
        yield around._replace(first=at)

    def _part(self, node: Node, span: Span) -> Iterator[Span]:
        inner = _defining(node, self._grammar)
        is_holder = inner is not None and inner.type in self._grammar.holders
        if is_holder and inner is not None and span.last - span.first >= LARGE_LINES:
            yield from self.cover(inner, span)
        else:
            yield span

    def _definitions(self, node: Node, depth: int) -> Iterator[tuple[Node, str, str]]:
        for child in node.named_children:
            self._left -= 1
            if self._left < 0:
                return
            inner = _defining(child, self._grammar)
            name = _name(inner) if inner is not None else ""
            if inner is not None and name:
                yield child, name, _form(inner, self._grammar)
            elif depth < _MAX_DEPTH and child.end_point.row > child.start_point.row:
                yield from self._definitions(child, depth + 1)


def _defining(node: Node, grammar: Grammar) -> Node | None:
    """The definition that a statement makes: itself, or what it exports, decorates or assigns."""
    for _ in range(4):
        if node.type in grammar.forms:
            return node if _is_definition(node) else None
        if node.type not in WRAPPERS:
            return None
        inner = [n for n in node.named_children if n.type in grammar.forms or n.type in WRAPPERS]
        if len(inner) != 1:
            return None
        node = inner[0]
    return None


def _is_definition(node: Node) -> bool:
    """Assignments, fields and constants count when they bind a function, a class or much text."""
    if node.type not in BINDINGS:
        return True
    value = node.child_by_field_name("value") or node.child_by_field_name("right")
    if value is None:
        return False
    is_long = node.type == "variable_declarator" and value.end_point.row - value.start_point.row > 1
    return value.type in BOUND or is_long


def _form(node: Node, grammar: Grammar) -> str:
    value = node.child_by_field_name("value") or node.child_by_field_name("right")
    if value is not None and value.type in BOUND:
        return "class" if value.type == "class" else "function"
    return grammar.forms[node.type]


def _name(node: Node) -> str:
    """What the definition is called; for a method in Go or Rust, with its type."""
    named = next(
        filter(None, map(node.child_by_field_name, ("name", "property", "key", "left"))), None
    )
    if node.type == "impl_item":
        named = node.child_by_field_name("type")
    name = _text(named)
    if node.type == "method_declaration" and (receiver := node.child_by_field_name("receiver")):
        owner = _text(receiver).strip("()").split()[-1:]
        name = ".".join([*(part.lstrip("*").partition("[")[0] for part in owner), name])
    for prefix in ("module.exports.", "exports.", "this."):
        name = name.removeprefix(prefix)
    return name.replace(".prototype.", ".").strip("'\"` ")


def _text(node: Node | None) -> str:
    raw = node.text if node is not None else None
    return " ".join((raw or b"")[:_NAME_CHARS].decode(errors="ignore").split())


def _joined(around: Span, name: str, form: str, first: int, last: int) -> Span:
    is_method = form == "function" and around.form in CLASSES
    symbol = f"{around.symbol}.{name}" if around.symbol else name
    return Span(symbol[:_NAME_CHARS], "method" if is_method else form, first, last)


def _first_line(node: Node) -> int:
    """With the comments and attributes directly above it."""
    row = node.start_point.row
    above = node.prev_named_sibling
    while above is not None and _belongs_to(row, above):
        before = above.prev_named_sibling
        if before is not None and _last_line(before) > above.start_point.row:
            break  # it stands behind something else
        row, above = above.start_point.row, before
    return row + 1


def _belongs_to(row: int, above: Node) -> bool:
    """Whether a comment or attribute is about what begins at this row, counted from 0."""
    is_documentation = _text(above).startswith("/**")
    nearest = row - 1 if is_documentation else row  # some leave a blank line below it
    return above.type in ATTACHED and nearest <= _last_line(above) <= row


def _last_line(node: Node) -> int:
    """Some comments end where the next line begins."""
    end = node.end_point
    return end.row if end.column == 0 and end.row > node.start_point.row else end.row + 1
