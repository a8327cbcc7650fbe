"""Mutants of changed lines: byte-exact edits, found by the shape of the code."""

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate
from random import Random

from tree_sitter import Node

from actors.mutants.faults import FAULTS, NUMBERS, STRINGS, Edit
from actors.mutants.languages import Tongue, tongue_of
from orchestration.kinds import is_runner_config, is_test_path
from orchestration.strength import Mutant

MAX_OPEN = 1_000
"""`<` in a file: parsers that know generics take memory by the square of those nothing closes."""
MAX_SOURCE = 400_000
"""Bytes; larger files are generated."""
MAX_LINE = 1_000
"""Bytes of the longest line; longer ones are generated."""
MAX_CODE = 2_000
"""Bytes of the largest piece of code that is changed at once."""
_UNTOUCHED = {
    "import_statement", "import_from_statement", "future_import_statement", "import_declaration",
    "use_declaration", "package_clause", "type", "type_annotation", "type_alias_declaration",
    "type_alias_statement", "interface_declaration", "ambient_declaration", "type_arguments",
    "type_parameters",
    "decorator", "attribute_item", "comment", "line_comment",
    "block_comment", "assert_statement", "token_tree", "ERROR",
}  # fmt: skip
"""Kinds of nodes whose faults no test can show: types, names of modules, notes."""
_DECLARES = (".d.ts", ".d.mts", ".d.cts")
_LOGS = re.compile(
    rb"(self\.|this\.|cls\.)?_?(log|logger|logging|console|print|warnings|debug|tracing|slog)\b"
    rb"|fmt\.Print",
    re.IGNORECASE,
)
_GUARDS = re.compile(
    rb"\s*\(?(__name__|(typing\.)?TYPE_CHECKING|sys\.(version_info|platform)|os\.name"
    rb"|process\.platform)\b"
)
"""What is the same in every run of the tests, so that one side of it never runs."""
_ABOUT = re.compile(rb"__(all|author|copyright|doc|license|version)__\s*(:|\+?=)")
_SETTINGS = {
    "keyword_argument": ("name", "value"), "pair": ("key", "value"),
    "default_parameter": ("name", "value"), "typed_default_parameter": ("name", "value"),
    "assignment": ("left", "right"), "variable_declarator": ("name", "value"),
}  # fmt: skip
"""Kinds of nodes that give something a name, with the fields of the name and of what it is."""
_WORDS = re.compile(rb"help|description|doc|epilog|metavar|deprecated")
"""Said to people, and nothing depends on it."""
_TIMES = re.compile(
    rb"\w*(timeout|delay|interval|patience|backoff|ttl|deadline)\w*|\w+_(s|ms|sec|secs|seconds)",
    re.I,
)
"""A second more is nothing that a test notices."""


def mutants(
    source: bytes, path: str, lines: Collection[int], *, limit: int = 20, seed: str = ""
) -> tuple[Mutant, ...]:
    """At most `limit` mutants of the lines, spread over them; the same for the same arguments.

    None for tests and declarations, for languages that we cannot read, and for files that are not
    UTF-8.
    """
    tongue = None if path.endswith(_DECLARES) else tongue_of(path)
    if tongue is None or is_test_path(path) or is_runner_config(path) or not _is_text(source):
        return ()
    text = source.split(b"\n")
    written = {n for n in lines if 0 < n <= len(text) and len(text[n - 1]) <= MAX_LINE}
    found = dict.fromkeys(_edits(source, tongue, written)) if written else {}
    starts = [0, *accumulate(len(line) + 1 for line in text)]
    lined = [(bisect_right(starts, edit.start), edit) for edit in found]
    chosen = _spread(lined, limit, Random(f"{seed}\0{path}"))  # noqa: S311 - a choice
    return tuple(_mutant(line, edit, source, path) for line, edit in chosen)


def mutated(source: bytes, mutant: Mutant) -> bytes:
    """The file with the fault in it.

    Raises:
        ValueError: the file is not the one that the mutant was made from.
    """
    before = mutant.before.encode()
    end = mutant.start + len(before)
    if source[mutant.start : end] != before:
        raise ValueError(f"{mutant.path} is not what the mutant was made from")
    return source[: mutant.start] + mutant.after.encode() + source[end:]


def _is_text(source: bytes) -> bool:
    try:
        source.decode()
    except UnicodeDecodeError:
        return False
    tame = source.count(b"<") <= MAX_OPEN
    return tame and len(source) <= MAX_SOURCE and b"\0" not in source


def _edits(source: bytes, tongue: Tongue, lines: Collection[int]) -> Iterator[Edit]:
    tree = tongue.parse(source)
    for node in _nodes(tree.root_node, source, sorted(lines)) if tree else ():
        small = node.end_byte - node.start_byte <= MAX_CODE
        if small and node.start_point.row + 1 in lines:
            for fault in FAULTS:
                yield from fault(node, tongue)


def _nodes(root: Node, source: bytes, lines: Sequence[int]) -> Iterator[Node]:
    """What may be changed and touches a line. No recursion: code may nest deeply."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if not _touches(node, lines) or node.type in _UNTOUCHED or _is_noise(node, source):
            continue
        yield node
        waiting += reversed(node.children)


def _touches(node: Node, lines: Sequence[int]) -> bool:
    near = bisect_left(lines, node.start_point.row + 1)
    return near < len(lines) and lines[near] <= node.end_point.row + 1


def _is_noise(node: Node, source: bytes) -> bool:
    """Logging, guards for scripts and type checkers, words for people, and tests beside code."""
    match node.type:
        case "expression_statement":
            said = _LOGS.match(source, node.start_byte) or _ABOUT.match(source, node.start_byte)
            return said is not None
        case "if_statement":
            condition = node.child_by_field_name("condition")
            return condition is not None and bool(_GUARDS.match(source, condition.start_byte))
        case "mod_item":
            before = node.prev_named_sibling
            return before is not None and before.text == b"#[cfg(test)]"
        case kind if kind in _SETTINGS:
            return _is_for_people(node, *_SETTINGS[kind])
        case _:
            return False


def _is_for_people(node: Node, name_field: str, value_field: str) -> bool:
    """Whether it names a text that people read, or a length of time."""
    name, value = node.child_by_field_name(name_field), node.child_by_field_name(value_field)
    if name is None or value is None or name.text is None:
        return False
    called = name.text.strip(b"'\"")
    if value.type in STRINGS or value.type == "concatenated_string":
        return node.type == "keyword_argument" and bool(_WORDS.fullmatch(called))
    return value.type in NUMBERS and bool(_TIMES.fullmatch(called))


def _spread(edits: list[tuple[int, Edit]], limit: int, random: Random) -> list[tuple[int, Edit]]:
    """Up to `limit` of them: one of every line, then a second, and so on; in the file's order."""
    random.shuffle(edits)
    seen: Counter[int] = Counter()
    turns: list[tuple[int, int, Edit]] = []
    for line, edit in edits:
        turns.append((seen[line], line, edit))
        seen[line] += 1
    turns.sort(key=lambda turn: turn[0])
    return sorted(((line, edit) for _, line, edit in turns[:limit]), key=_place)


def _place(lined: tuple[int, Edit]) -> tuple[int, int, bytes]:
    _, edit = lined
    return edit.start, edit.end, edit.after


def _mutant(line: int, edit: Edit, source: bytes, path: str) -> Mutant:
    return Mutant(
        path=path,
        line=line,
        what=edit.what,
        start=edit.start,
        before=source[edit.start : edit.end].decode(),
        after=edit.after.decode(),
    )
