import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from cluster.lines.published import LINES, schema

ROOT = Path(__file__).parents[3]
PUBLISHED = ROOT / "docs" / "schemas" / "lines.json"


def told() -> Iterator[tuple[str, set[str], str]]:
    """Type, named fields and place of every line that a command can give."""
    for path in sorted((ROOT / "cluster").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "tell":
                kind = node.args[1]
                assert isinstance(kind, ast.Constant), f"{path}:{node.lineno} names no type"
                named = {word.arg for word in node.keywords if word.arg}
                yield str(kind.value), named, f"{path.name}:{node.lineno}"


def fields() -> dict[str, set[str]]:
    """Fields of every type, as they are published."""
    made = json.loads(schema())
    known = made["discriminator"]["mapping"]
    return {
        kind: set(made["$defs"][ref.rpartition("/")[2]]["properties"])
        for kind, ref in known.items()
    }


def test_the_published_schema_is_the_one_of_this_version() -> None:
    assert PUBLISHED.read_text() == schema()


def test_every_line_that_is_told_is_in_the_schema_with_its_fields() -> None:
    known = fields()

    strange = {place: kind for kind, named, place in told() if not named <= known.get(kind, set())}

    assert strange == {}


def test_every_type_of_the_schema_is_told_by_somebody() -> None:
    written_by_sinks = {"watching", "event"}

    assert set(fields()) == {kind for kind, _, _ in told()} | written_by_sinks


def test_a_line_with_another_field_is_none_of_ours() -> None:
    line = {"v": 1, "type": "down", "stopped": True}
    assert LINES.validate_python(line)

    for wrong in ({**line, "more": 1}, {**line, "v": 2}, {**line, "type": "up"}):
        with pytest.raises(ValidationError):
            LINES.validate_python(wrong)
