"""Servers of tools as the rest of the house sees them. Holds nothing of the `mcp` package."""

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class RemoteTool:
    """A tool as its server describes it: a stranger's words."""

    server: str
    name: str
    description: str
    parameters: dict[str, Any]
    """JSON schema of an object."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What there is to call, and what went wrong with the rest."""

    tools: tuple[RemoteTool, ...] = ()
    troubles: tuple[str, ...] = ()
    """A sentence each, for people."""


@dataclass(frozen=True, slots=True)
class RemoteAnswer:
    """What a call brought. A server that hangs, dies or lies is an answer too."""

    text: str
    ok: bool = True


class ToolServers(Protocol):
    """Some servers, as one role of one run may use them. Nothing here raises for a server."""

    async def offer(self, role: str) -> Offer:
        """The tools that this role may call."""
        ...

    async def call(
        self, role: str, server: str, tool: str, arguments: dict[str, Any]
    ) -> RemoteAnswer: ...

    async def close(self) -> None: ...
