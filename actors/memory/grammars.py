"""How tree-sitter's grammars name what defines something. Data alone; `outline` walks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import tree_sitter_go
import tree_sitter_java
import tree_sitter_javascript
import tree_sitter_python
import tree_sitter_rust
import tree_sitter_typescript


def names(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


@dataclass(frozen=True, slots=True)
class Grammar:
    """How to read one language: definitions by node type, and those that hold others."""

    load: Callable[[], object]
    forms: Mapping[str, str]
    holders: frozenset[str]
    has_generics: bool = False
    """Its parser forks at `<`, at a price; see `outline.MAX_OPEN`."""


_SCRIPT = {
    "function_declaration": "function",
    "generator_function_declaration": "function",
    "class_declaration": "class",
    "method_definition": "method",
    "field_definition": "field",
    "pair": "function",
    "variable_declarator": "constant",
    "assignment_expression": "function",
}
_TYPED = _SCRIPT | {
    "abstract_class_declaration": "class",
    "interface_declaration": "interface",
    "type_alias_declaration": "type",
    "enum_declaration": "enum",
    "internal_module": "namespace",
    "module": "namespace",
    "function_signature": "function",
    "method_signature": "method",
    "abstract_method_signature": "method",
    "public_field_definition": "field",
}
_SCRIPT_HOLDERS = names(
    "class_declaration abstract_class_declaration interface_declaration internal_module module"
    " variable_declarator"
)
_PYTHON = Grammar(
    tree_sitter_python.language,
    {"function_definition": "function", "class_definition": "class"},
    frozenset({"class_definition"}),
)
_JAVASCRIPT = Grammar(tree_sitter_javascript.language, _SCRIPT, _SCRIPT_HOLDERS)
_TYPESCRIPT = Grammar(
    tree_sitter_typescript.language_typescript, _TYPED, _SCRIPT_HOLDERS, has_generics=True
)
_TSX = Grammar(tree_sitter_typescript.language_tsx, _TYPED, _SCRIPT_HOLDERS, has_generics=True)
_GO = Grammar(
    tree_sitter_go.language,
    {"function_declaration": "function", "method_declaration": "method", "type_spec": "type"},
    frozenset(),
)
_RUST = Grammar(
    tree_sitter_rust.language,
    {
        "function_item": "function",
        "function_signature_item": "function",
        "struct_item": "struct",
        "enum_item": "enum",
        "union_item": "union",
        "trait_item": "trait",
        "impl_item": "impl",
        "mod_item": "module",
        "type_item": "type",
        "macro_definition": "macro",
    },
    frozenset({"impl_item", "trait_item", "mod_item"}),
)
_JAVA = Grammar(
    tree_sitter_java.language,
    {
        "class_declaration": "class",
        "interface_declaration": "interface",
        "enum_declaration": "enum",
        "record_declaration": "record",
        "annotation_type_declaration": "annotation",
        "method_declaration": "method",
        "constructor_declaration": "method",
    },
    names("class_declaration interface_declaration enum_declaration record_declaration"),
    has_generics=True,
)
BY_SUFFIX = {
    **dict.fromkeys((".py", ".pyi"), _PYTHON),
    **dict.fromkeys((".js", ".jsx", ".mjs", ".cjs"), _JAVASCRIPT),
    **dict.fromkeys((".ts", ".mts", ".cts"), _TYPESCRIPT),
    ".tsx": _TSX,
    ".go": _GO,
    ".rs": _RUST,
    ".java": _JAVA,
}

WRAPPERS = names(
    "export_statement decorated_definition ambient_declaration lexical_declaration"
    " variable_declaration expression_statement type_declaration"
)
"""Statements that export, decorate or bind the definition inside them."""
BOUND = names("arrow_function function_expression generator_function class function")
"""Values that make a definition of the JavaScript name they are bound to."""
BINDINGS = names(
    "pair assignment_expression variable_declarator field_definition public_field_definition"
)
"""Nodes that bind a name to a value."""
CLASSES = names("class interface trait impl enum record")
"""A function in one of these is a method."""
ATTACHED = names("comment line_comment block_comment attribute_item decorator")
"""What stands directly above a definition belongs to it."""
