"""Pydantic models as the model sees them: parameters in JSON schema, violations in words."""

import json
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

M = TypeVar("M", bound=BaseModel)
_SHOWN_VALUE = 120
_NEEDLESS = frozenset({"title", "$defs", "minLength", "exclusiveMinimum"})
_SILENT: tuple[tuple[str, object], ...] = (
    ("additionalProperties", False),
    ("default", None),
    ("default", ""),
    ("default", False),
    ("default", []),
)
"""What goes without saying."""


def parameters(model: type[BaseModel]) -> dict[str, Any]:
    """The model's JSON schema without references, which some providers refuse, and without what
    every call would pay for and no model needs: a violation is told anyway."""
    schema = model.model_json_schema()
    return _plain(_without(schema, "description"), schema.get("$defs", {}))


def _plain(node: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_plain(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        node = {**definitions[node["$ref"].rpartition("/")[2]], **_without(node, "$ref")}
    if node.get("default", 0) is None and "anyOf" in node:
        node = _given_or_left_out(node)
    plain: dict[str, Any] = {}
    for key, value in node.items():
        if key == "properties":
            plain[key] = {name: _plain(field, definitions) for name, field in value.items()}
        elif key not in _NEEDLESS and (key, value) not in _SILENT:
            plain[key] = _plain(value, definitions)
    return plain


def _given_or_left_out(node: dict[str, Any]) -> dict[str, Any]:
    """Null is what leaving it out means."""
    kinds = [kind for kind in node["anyOf"] if kind.get("type") != "null"]
    return _without(_without(node, "anyOf"), "default") | kinds[0] if len(kinds) == 1 else node


def _without(node: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in node.items() if name != key}


def parse_object(text: str) -> dict[str, Any]:
    """A tool call's arguments as the model wrote them; no text at all means none.

    Half characters (a lone `\\ud83d`), which nothing can store or send, become question marks.

    Raises:
        ValueError: not JSON, or not an object; the message says where.
    """
    try:
        value = json.loads(text, strict=False) if text.strip() else {}
    except json.JSONDecodeError as error:
        raise ValueError(f"not valid JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise ValueError("not valid JSON: nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"not a JSON object but a {type(value).__name__}")
    if "\\ud" in text.lower():
        value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    return value


def validate(model: type[M], arguments: dict[str, Any]) -> M:
    """The arguments as a value of the model.

    Lists and objects that arrive as JSON inside a string are unwrapped: a common slip of models.

    Raises:
        ValueError: one line per violation, naming the field and the offending value.
    """
    try:
        return model.model_validate(arguments)
    except ValidationError as error:
        unwrapped = {name: _unwrap(value) for name, value in arguments.items()}
        if unwrapped != arguments:
            try:
                return model.model_validate(unwrapped)
            except ValidationError:
                pass
        raise ValueError(_violations(error)) from None


def _unwrap(value: Any) -> Any:
    if not (isinstance(value, str) and value.strip()[:1] in {"[", "{"}):
        return value
    try:
        return json.loads(value, strict=False)
    except json.JSONDecodeError:
        return value


def _violations(error: ValidationError) -> str:
    lines: list[str] = []
    for violation in error.errors(include_url=False):
        field = ".".join(str(part) for part in violation["loc"]) or "(the whole)"
        given = "" if violation["type"] == "missing" else f" (given: {_shown(violation['input'])})"
        lines.append(f"- {field}: {violation['msg']}{given}")
    return "\n".join(lines)


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN_VALUE else f"{text[:_SHOWN_VALUE]}…"
