"""Behaviour added to any toolset by wrapping it in one of the same shape."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from actors.tools.text import cap
from actors.tools.tool import ToolDefinition, ToolResult, Toolset
from actors.tools.toolset import unknown_tool


class WrapperToolset:
    """Passes everything on; wrappers change one thing."""

    def __init__(self, inner: Toolset) -> None:
        self._inner = inner

    async def definitions(self) -> list[ToolDefinition]:
        return await self._inner.definitions()

    async def call(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        return await self._inner.call(name, arguments)

    async def close(self) -> None:
        await self._inner.close()


class FilteredToolset(WrapperToolset):
    """Only the tools whose name is allowed; the others do not exist."""

    def __init__(self, inner: Toolset, allowed: Callable[[str], bool]) -> None:
        super().__init__(inner)
        self._allowed = allowed

    async def definitions(self) -> list[ToolDefinition]:
        return [d for d in await self._inner.definitions() if self._allowed(d.name)]

    async def call(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        if not self._allowed(name):
            return unknown_tool(name, [d.name for d in await self.definitions()])
        return await self._inner.call(name, arguments)


class OutputLimitedToolset(WrapperToolset):
    """No result is longer than `limit` characters, whatever the tool returns."""

    def __init__(self, inner: Toolset, limit: int = 2_000_000) -> None:
        super().__init__(inner)
        self._limit = limit

    async def call(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        result = await self._inner.call(name, arguments)
        if len(result.text) <= self._limit:
            return result
        return replace(result, text=cap(result.text, self._limit, "the tool returned too much"))


Permission = Callable[[str, dict[str, Any]], Awaitable[str]]
"""Asked with a tool's name and arguments; answers "" to allow, or why not.

It may raise `Suspend` to wait for a person: the call is made, or declined, after the resume.
"""


class ApprovalRequiredToolset(WrapperToolset):
    """Every call is allowed first; a decline and its reason go to the model."""

    def __init__(self, inner: Toolset, permission: Permission) -> None:
        super().__init__(inner)
        self._permission = permission

    async def call(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        if reason := await self._permission(name, arguments):
            return ToolResult(f"Not allowed: {reason}", ok=False)
        return await self._inner.call(name, arguments)
