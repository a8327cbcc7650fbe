"""The faults: each looks at one node of a syntax tree and says how it could be wrong."""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tree_sitter import Node

from actors.mutants.languages import Tongue


class Edit(NamedTuple):
    """Bytes `start` to `end` become `after`."""

    what: str
    start: int
    end: int
    after: bytes


Fault = Callable[[Node, Tongue], Iterator[Edit]]

_OPERATIONS = {
    "binary_operator", "boolean_operator", "comparison_operator", "binary_expression",
    "augmented_assignment", "augmented_assignment_expression", "compound_assignment_expr",
    "assignment_statement", "assignment_expression", "update_expression", "inc_statement",
    "dec_statement",
}  # fmt: skip
_FLIPPED = {b"true": b"false", b"false": b"true", b"True": b"False", b"False": b"True"}
_CONDITIONALS = {
    "if_statement", "elif_clause", "while_statement", "conditional_expression", "if_expression",
    "ternary_expression",
}  # fmt: skip
_COVERED = {"comparison_operator", "boolean_operator", "binary_expression", "not_operator",
            "boolean_literal", "true", "false", "let_condition", "let_chain"}  # fmt: skip
"""Conditions that other faults turn round, or that cannot be negated."""
NUMBERS = {
    "integer", "float", "number", "int_literal", "float_literal", "integer_literal",
}  # fmt: skip
STRINGS = {"string", "string_literal", "interpreted_string_literal"}
_THROWS = {"raise_statement", "throw_statement"}
_DOES = {
    "call", "call_expression", "await", "await_expression",
    "augmented_assignment", "augmented_assignment_expression", "compound_assignment_expr",
}  # fmt: skip
_CALLS = {"call", "call_expression", "new_expression"}
_MADE = re.compile(
    rb"(\w+\.)*(\w*(Error|Exception|Warning)|Errorf|TypeVar|TypeVarTuple|ParamSpec|NewType|cast)"
    rb"|errors\.New|Symbol"
)
_NEAR, _LONG_NAME = 2_000, 200
"""Bytes: hostile code nests without end, and is not followed so far."""
_ABSTRACT = re.compile(rb"raise NotImplementedError\b")
_ASSIGNS = {"assignment", "assignment_expression", "assignment_statement"}
_PLACES = {
    "attribute", "subscript", "member_expression", "subscript_expression",
    "field_expression", "index_expression", "selector_expression",
}  # fmt: skip
"""What may be left as it was: a name that is never set would fail by itself."""
_ARGUMENTS = {"argument_list", "arguments"}
_NAMED_ARGUMENTS = {"keyword_argument", "dictionary_splat", "list_splat", "spread_element",
                    "comment", "generator_expression"}  # fmt: skip


def _text(node: Node) -> bytes:
    return node.text or b""


def _whole(node: Node, what: str, after: bytes) -> Edit:
    return Edit(what, node.start_byte, node.end_byte, after)


def operators(node: Node, tongue: Tongue) -> Iterator[Edit]:
    """`<` becomes `<=`, `+` becomes `-`, `and` becomes `or`."""
    other = tongue.swaps.get(_text(node).decode())
    if other and not node.is_named and node.parent and node.parent.type in _OPERATIONS:
        yield _whole(node, "operator", other.encode())


def conditions(node: Node, tongue: Tongue) -> Iterator[Edit]:
    """`if found` becomes `if not (found)`."""
    if node.type not in _CONDITIONALS:
        return
    condition = node.child_by_field_name("condition")
    if condition is None and node.type == "conditional_expression":
        condition = node.named_child(1)  # Python: VALUE if CONDITION else VALUE
    if condition is not None and condition.type == "parenthesized_expression":
        condition = condition.named_child(0)
    if condition is not None and condition.type not in _COVERED and not _is_negation(condition):
        negated = tongue.negation.encode().replace(b"{}", _text(condition))
        yield _whole(condition, "condition", negated)


def negations(node: Node, _tongue: Tongue) -> Iterator[Edit]:
    """`not found` becomes `found`."""
    if _is_negation(node) and node.named_children:
        yield _whole(node, "negation", _text(node.named_children[-1]))


def _is_negation(node: Node) -> bool:
    if node.type == "not_operator":
        return True
    return node.type == "unary_expression" and _text(node).startswith(b"!")


def truths(node: Node, _tongue: Tongue) -> Iterator[Edit]:
    """`True` becomes `False`."""
    if node.type in {"true", "false"} and (other := _FLIPPED.get(_text(node))):
        yield _whole(node, "constant", other)


def numbers(node: Node, _tongue: Tongue) -> Iterator[Edit]:
    """`3` becomes `4`."""
    if node.type in NUMBERS and (found := re.fullmatch(rb"(\d+)(\.\d+)?", _text(node))):
        whole, rest = found.group(1), found.group(2) or b""
        if len(whole) < 30:
            yield _whole(node, "constant", str(int(whole) + 1).encode() + rest)


def strings(node: Node, _tongue: Tongue) -> Iterator[Edit]:
    """A text becomes empty, and an empty one some text. Messages of errors are left alone."""
    if node.type not in STRINGS or node.child_count < 2 or _is_message(node):
        return
    inner = node.children[1:-1]
    if any(child.type in {"interpolation", "template_substitution"} for child in inner):
        return
    start, end = node.children[0].end_byte, node.children[-1].start_byte
    yield Edit("constant", start, end, b"" if end > start else b"mutant")


def _is_message(node: Node) -> bool:
    """Whether a string is a docstring, names a type, or is said only when something fails."""
    around = node.parent
    if around is not None and around.type == "expression_statement":
        return True
    calls = 0
    while around is not None and not around.type.endswith("_statement"):
        if around.end_byte - around.start_byte > _NEAR:
            return False
        calls += around.type in _CALLS
        if around.type in _CALLS and calls == 1 and _is_named_after(around):
            return True
        around = around.parent
    return around is not None and around.type in _THROWS


def _is_named_after(call: Node) -> bool:
    """Whether a call makes an error, or a type; its text is then only a name for people."""
    callee = call.child_by_field_name("function") or call.child_by_field_name("constructor")
    if callee is None or callee.end_byte - callee.start_byte > _LONG_NAME:
        return False
    return _MADE.fullmatch(_text(callee)) is not None


def returns(node: Node, tongue: Tongue) -> Iterator[Edit]:
    """`return total` becomes `return None`."""
    if node.type != "return_statement" or not tongue.nothing or not node.named_children:
        return
    value = node.named_children[0]
    if _text(value) not in {b"None", b"null", b"undefined"}:
        yield _whole(value, "return value", tongue.nothing.encode())


def statements(node: Node, tongue: Tongue) -> Iterator[Edit]:
    """A call, an assignment to something that exists already, or a raise is left out."""
    throws = node.type in _THROWS and not _ABSTRACT.match(_text(node))
    if throws or _is_effect(node):
        yield _whole(node, "statement removed", tongue.idle.encode())


def _is_effect(node: Node) -> bool:
    inner = node.named_children[0] if node.named_children else None
    if inner is None:
        return False
    if node.type == "assignment_statement":  # Go has no statement around it
        return inner.named_child_count == 1 and inner.named_children[0].type in _PLACES
    if node.type != "expression_statement":
        return False
    if inner.type in _ASSIGNS:
        left = inner.child_by_field_name("left")
        right = inner.child_by_field_name("right")
        return right is not None and left is not None and left.type in _PLACES
    return inner.type in _DOES


def arguments(node: Node, _tongue: Tongue) -> Iterator[Edit]:
    """`f(a, b)` becomes `f(b, a)`."""
    if node.type not in _ARGUMENTS or node.named_child_count < 2:
        return
    if node.parent and node.parent.type in _CALLS and _is_named_after(node.parent):
        return
    first, second = node.named_children[:2]
    if {first.type, second.type} & _NAMED_ARGUMENTS or _text(first) == _text(second):
        return
    cut = first.end_byte - first.start_byte
    between = _text(node)[first.end_byte - node.start_byte : second.start_byte - node.start_byte]
    if cut <= 200:
        after = _text(second) + between + _text(first)
        yield Edit("arguments swapped", first.start_byte, second.end_byte, after)


FAULTS: tuple[Fault, ...] = (
    operators, conditions, negations, truths, numbers, returns, statements, strings, arguments,
)  # fmt: skip
