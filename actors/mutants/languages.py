"""The languages whose code can be made faulty: how they parse, and their few own words."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import PurePosixPath

import tree_sitter_go
import tree_sitter_javascript
import tree_sitter_python
import tree_sitter_rust
import tree_sitter_typescript
from tree_sitter import Language, Parser, Tree

_CHUNK = 65_536
_MAX_STEPS = 40_000
"""About a second. A file of 300 kB takes 2,500."""
_COMMON = {
    "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==",
    "+": "-", "-": "+", "*": "/", "/": "*", "%": "*",
    "<<": ">>", ">>": "<<", "&": "|", "|": "&", "^": "&",
    "+=": "-=", "-=": "+=", "*=": "/=", "/=": "*=", "|=": "&=", "&=": "|=",
    "&&": "||", "||": "&&", "++": "--", "--": "++",
}  # fmt: skip
_PYTHON = _COMMON | {
    "and": "or", "or": "and", "is": "is not", "is not": "is", "in": "not in", "not in": "in",
    "**": "*", "//": "/", "**=": "*=", "//=": "*=",
}  # fmt: skip
_SCRIPT = _COMMON | {"===": "!==", "!==": "===", "??": "&&", "**": "*"}


@dataclass(frozen=True, slots=True)
class Tongue:
    """What one language says differently from the others."""

    grammar: Callable[[], object]
    swaps: Mapping[str, str]
    """Operator -> another one that takes the same operands."""
    negation: str = "!({})"
    idle: str = ";"
    """A statement that does nothing."""
    nothing: str = ""
    """A value returned instead of any other; empty where types forbid it."""
    compiled: bool = False
    """Types are checked before anything runs: a mutant may fail to build."""

    def parse(self, source: bytes) -> Tree | None:
        """None where it is too much work: code made for that purpose can take minutes."""
        steps = count()
        try:
            return Parser(Language(self.grammar())).parse(
                lambda offset, _point: source[offset : offset + _CHUNK],
                progress_callback=lambda _offset, _failed: next(steps) > _MAX_STEPS,
            )
        except ValueError:
            return None


_JAVASCRIPT = Tongue(tree_sitter_javascript.language, _SCRIPT, nothing="undefined")
_TYPESCRIPT = Tongue(tree_sitter_typescript.language_typescript, _SCRIPT, nothing="undefined")
_TSX = Tongue(tree_sitter_typescript.language_tsx, _SCRIPT, nothing="undefined")
TONGUES = {
    ".py": Tongue(tree_sitter_python.language, _PYTHON, "not ({})", "pass", "None"),
    **dict.fromkeys((".js", ".mjs", ".cjs", ".jsx"), _JAVASCRIPT),
    **dict.fromkeys((".ts", ".mts", ".cts"), _TYPESCRIPT),
    ".tsx": _TSX,
    ".go": Tongue(tree_sitter_go.language, _COMMON, compiled=True),
    ".rs": Tongue(tree_sitter_rust.language, _COMMON, compiled=True),
}
"""By a file's suffix. Not Java: its parser takes memory by the square of hostile input's length."""


def tongue_of(path: str) -> Tongue | None:
    """The language of a file, if its code can be made faulty."""
    return TONGUES.get(PurePosixPath(path).suffix.lower())
