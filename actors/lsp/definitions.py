"""What the tools are called, what they take, and checking it. Light: read by agents too."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from actors.lsp.rpc import Json

_PLACE: Mapping[str, Any] = {
    "symbol": {"type": "string", "description": "A name, plain or qualified with dots."},
    "path": {"type": "string", "description": "A file, relative to the workspace."},
    "line": {"type": "integer", "description": "From 1; the name is looked for on it."},
    "column": {"type": "integer", "description": "From 1; only where a line says it twice."},
}
_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


@cache
def definitions() -> tuple[dict[str, Any], ...]:
    """The tools as MCP's `tools/list` gives them."""
    listed = json.loads(Path(__file__).with_name("tools.json").read_text("utf-8"))
    return tuple({**tool, "inputSchema": _schema(tool["inputSchema"])} for tool in listed)


def _schema(given: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in given:
        return given
    properties = {**_PLACE, **given.get("properties", {})}
    return {
        "type": "object",
        "properties": properties,
        "required": given.get("required", []),
        "additionalProperties": False,
    }


def problem(tool: Mapping[str, Any], arguments: Json) -> str:
    """What is wrong with a call's arguments, naming the fields; empty if nothing is."""
    if not isinstance(arguments, dict):
        return "the arguments are no JSON object"
    properties = tool["inputSchema"]["properties"]
    wrong = [f"{name}: there is no such argument" for name in arguments if name not in properties]
    wrong += [
        f"{n}: missing" for n in tool["inputSchema"].get("required", ()) if n not in arguments
    ]
    for name, value in arguments.items():
        kind = properties.get(name, {}).get("type")
        if kind and not _fits(value, kind):
            wrong.append(f"{name}: must be a {kind}, not {json.dumps(value)[:80]}")
    return "; ".join(wrong)


def _fits(value: Json, kind: str) -> bool:
    if isinstance(value, bool) and kind != "boolean":
        return False
    return isinstance(value, _TYPES[kind])
