"""Toolsets made of our own functions, and several toolsets as one.

A tool is an async method marked with `@tool`. Its one argument's pydantic model is its parameters,
and the section of the same name in the `.md` file beside its module is what the model reads.
"""

import inspect
import re
import typing
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

from actors.sandbox.protocol import (
    FileMissingError,
    NoSpaceError,
    PathRefusedError,
    UnsupportedError,
)
from actors.tools.schema import parameters, validate
from actors.tools.tool import ToolDefinition, ToolError, ToolResult, Toolset

F = TypeVar("F", bound=Callable[..., Awaitable[ToolResult]])
_MARK = "__tool__"
_ANSWERS = (ToolError, FileMissingError, PathRefusedError, NoSpaceError, UnsupportedError)
"""Failures that a model can do something about. A sandbox that is lost or away is none."""


class Arguments(BaseModel):
    """What a tool takes. Unknown names are refused, so that a slip is noticed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool, ready to be called."""

    definition: ToolDefinition
    arguments: type[BaseModel]
    function: Callable[[Any], Awaitable[ToolResult]]

    async def __call__(self, arguments: dict[str, Any]) -> ToolResult:
        name = self.definition.name
        try:
            value = validate(self.arguments, arguments)
        except ValueError as error:
            return ToolResult(f"The arguments of `{name}` are not valid:\n{error}", ok=False)
        try:
            return await self.function(value)
        except _ANSWERS as error:
            return ToolResult(str(error), ok=False)


def tool(method: F) -> F:
    """Mark an async method `(self, arguments: SomeArguments) -> ToolResult` as a tool."""
    setattr(method, _MARK, True)
    return method


def tools_of(hands: object) -> list[Tool]:
    """The marked methods of an object, in the order in which they are written."""
    return [
        Tool(definition, model, getattr(hands, definition.name))
        for definition, model in _marked(type(hands))
    ]


@cache
def _marked(kind: type) -> tuple[tuple[ToolDefinition, type[BaseModel]], ...]:
    """The tools of a class. Their schemas take milliseconds, and every agent asks for them."""
    methods = [function for function in vars(kind).values() if hasattr(function, _MARK)]
    words = descriptions(Path(inspect.getfile(kind)).with_suffix(".md"))
    return tuple(_defined(method, words) for method in methods)


def _defined(
    method: Callable[..., Any], words: dict[str, str]
) -> tuple[ToolDefinition, type[BaseModel]]:
    name = method.__name__
    hints = typing.get_type_hints(method)
    model = next(hint for key, hint in hints.items() if key != "return")
    return ToolDefinition(name, words[name], parameters(model)), model


def descriptions(file: Path) -> dict[str, str]:
    """The sections of a description file: heading `## name`, then its text."""
    sections = re.split(r"^## +(\w+) *$", file.read_text("utf-8"), flags=re.MULTILINE)
    return {name: text.strip() for name, text in zip(sections[1::2], sections[2::2], strict=True)}


def unknown_tool(name: str, known: Sequence[str]) -> ToolResult:
    """The answer to a call of a tool that does not exist."""
    return ToolResult(
        f"There is no tool `{name[:80]}`. The tools are: {', '.join(sorted(known))}.", ok=False
    )


class FunctionToolset:
    """The tools of some objects. `close` closes those objects that can be closed."""

    def __init__(self, *hands: object) -> None:
        self._hands = hands
        self._tools = {t.definition.name: t for each in hands for t in tools_of(each)}

    async def definitions(self) -> list[ToolDefinition]:
        return [each.definition for each in self._tools.values()]

    async def call(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        if name not in self._tools:
            return unknown_tool(name, list(self._tools))
        return await self._tools[name](arguments)

    async def close(self) -> None:
        for each in self._hands:
            if close := getattr(each, "close", None):
                await close()


class CombinedToolset:
    """Several toolsets as one; the first that offers a name answers it."""

    def __init__(self, *toolsets: Toolset) -> None:
        self._toolsets = toolsets

    async def definitions(self) -> list[ToolDefinition]:
        return [definition for definition, _ in (await self._owners()).values()]

    async def call(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        owners = await self._owners()
        if name not in owners:
            return unknown_tool(name, list(owners))
        return await owners[name][1].call(name, arguments)

    async def close(self) -> None:
        for toolset in self._toolsets:
            await toolset.close()

    async def _owners(self) -> dict[str, tuple[ToolDefinition, Toolset]]:
        owners: dict[str, tuple[ToolDefinition, Toolset]] = {}
        for toolset in self._toolsets:
            for definition in await toolset.definitions():
                owners.setdefault(definition.name, (definition, toolset))
        return owners
