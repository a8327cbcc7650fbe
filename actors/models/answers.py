"""Answers that fit a schema: asked for by the provider's own means, and read however they come.

An agent answers by calling a tool. Where the provider can hold a model to a JSON schema, that
tool's is sent in the strict form; once an answer did not fit, nothing but the answer is asked for.
Pure, but for what providers turned out to refuse.
"""

import json
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from actors.models.gateway import ModelRequest

Definition = dict[str, Any]
"""A tool in the OpenAI form."""
_FENCED = re.compile(r"\A\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL)
_PLAIN = frozenset({"type", "description", "enum", "const"})
_LIMITS = ("minLength", "maxLength", "pattern", "minimum", "maximum", "minItems", "maxItems")
"""What not every strict mode understands: said in the description instead."""
_STRANGE = frozenset({"$ref", "allOf", "oneOf", "not", "prefixItems", "patternProperties"})


class Means(StrEnum):
    """Ways of asking for an answer's form, in the order in which they are given up."""

    SCHEMA = "the reply itself has to fit (`response_format`)"
    CHOICE = "the tool has to be called (`tool_choice`)"
    STRICT = "the tool's arguments have to fit (`strict`)"


class Refusals:
    """Which means which model's provider has refused: it is asked by them no more."""

    def __init__(self) -> None:
        self._refused: set[tuple[str, Means]] = set()

    def left(self, lane: str, wanted: Iterable[Means]) -> list[Means]:
        """Those of the wanted means that nobody has refused."""
        return [means for means in wanted if (lane, means) not in self._refused]

    def note(self, lane: str, means: Iterable[Means]) -> None:
        self._refused |= {(lane, each) for each in means}


def wanted(
    request: ModelRequest, *, schemas: bool, strict_tools: bool, tools: bool
) -> tuple[Means, ...]:
    """The means for a request to a model that knows so much."""
    if _strict_answer(request) is None:
        return ()
    strict = (Means.STRICT,) if strict_tools and tools else ()
    if not request.is_answer_due:
        return strict
    if schemas:
        return (Means.SCHEMA, *strict)
    return (Means.CHOICE, *strict) if tools else ()


def applied(request: ModelRequest, means: Iterable[Means]) -> dict[str, Any]:
    """The arguments of a completion that ask by these means; `tools` among them."""
    chosen, tools = set(means), list(request.tools)
    arguments: dict[str, Any] = {}
    strict = _strict_answer(request)
    if strict is not None and Means.STRICT in chosen:
        function = {"parameters": strict, "strict": True}
        tools = [
            {**tool, "function": {**tool["function"], **function}}
            if tool["function"]["name"] == request.answer
            else tool
            for tool in tools
        ]
    if Means.SCHEMA in chosen:
        form = {"name": request.answer, "schema": strict, "strict": True}
        arguments["response_format"] = {"type": "json_schema", "json_schema": form}
    if Means.CHOICE in chosen:
        arguments["tool_choice"] = {"type": "function", "function": {"name": request.answer}}
    return arguments | {"tools": tools}


def read_answer(text: str, request: ModelRequest) -> str:
    """The answer's arguments where the whole text is one, else nothing.

    A text is taken for the answer when it is an object with all that the answer must have; while
    nothing but the answer was asked for, when it is any object.
    """
    schema = answer_schema(request)
    if schema is None:
        return ""
    body = (_FENCED.sub(r"\1", text) if _FENCED.match(text) else text).strip()
    if not body.startswith("{"):
        return ""
    try:
        value = json.loads(body, strict=False)
    except (ValueError, RecursionError):
        return body if request.is_answer_due else ""
    required = set(schema.get("required") or ())
    is_whole = bool(required) and isinstance(value, dict) and required <= value.keys()
    return body if request.is_answer_due or is_whole else ""


def answer_schema(request: ModelRequest) -> Mapping[str, Any] | None:
    """The schema of what `finish`, or whatever the answer's tool is called, takes."""
    named = (tool["function"] for tool in request.tools)
    return next((f["parameters"] for f in named if f["name"] == request.answer), None)


def _strict_answer(request: ModelRequest) -> dict[str, Any] | None:
    schema = answer_schema(request)
    return None if schema is None else strict_form(schema)


def strict_form(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """The schema as strict modes want it: every field required, no others, no limits but in words.

    None where it cannot be said so, such as for an object of any fields.
    """
    if _STRANGE & schema.keys():
        return None
    node = {key: value for key, value in schema.items() if key in _PLAIN}
    inner: list[object] = []
    if node.get("type") == "object":
        node |= _closed(schema.get("properties") or {})
        inner = [node["properties"] or None, *node["properties"].values()]
    if node.get("type") == "array":
        node["items"] = strict_form(schema["items"]) if "items" in schema else None
        inner = [node["items"]]
    if "anyOf" in schema:
        node["anyOf"] = inner = [strict_form(part) for part in schema["anyOf"]]
    limits = [f"{key}: {schema[key]}" for key in schema if key in _LIMITS]
    if limits:
        node["description"] = f"{node.get('description', '')} ({', '.join(limits)})".strip()
    return None if None in inner else node


def _closed(properties: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "properties": {name: strict_form(part) for name, part in properties.items()},
        "required": list(properties),
        "additionalProperties": False,
    }
