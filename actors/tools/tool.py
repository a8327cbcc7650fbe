"""The toolset socket: what a model may call, and what it gets back."""

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class ToolDefinition:
    """What the model is told: name, description and the JSON schema of the arguments."""

    name: str
    description: str
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool answered. A failure is an answer to the model, not an exception."""

    text: str
    ok: bool = True
    exit_code: int | None = None
    seconds: float = 0.0
    paths_read: tuple[str, ...] = ()
    paths_written: tuple[str, ...] = ()


class ToolError(Exception):
    """Raised inside a tool: its text becomes a failed ToolResult for the model."""


class Toolset(Protocol):
    """Some tools. Cross-cutting behaviour is a wrapper of this same shape.

    Raises, from `call`:
        SandboxLostError: never turned into a result.
    """

    async def definitions(self) -> list[ToolDefinition]: ...

    async def call(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        """Call one tool with arguments as parsed from JSON, not yet validated.

        Invalid arguments and unknown names come back as failed results that name the fields, or
        the tools that exist.
        """
        ...

    async def close(self) -> None: ...
