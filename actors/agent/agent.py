"""Who an agent is: frozen, the same in every process and after every restart."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel

from actors.context.processor import ContextProcessor
from actors.context.token_limiter import TokenLimiter
from actors.context.tool_call_filter import ToolCallFilter
from actors.models.gateway import Role
from actors.tools.schema import parameters
from actors.tools.tool import ToolDefinition, Toolset
from actors.tools.toolset import descriptions
from orchestration.messages import Difficulty

A = TypeVar("A", bound=BaseModel)
FINISH = "finish"
"""The tool through which the final answer is given."""
INVALID_ANSWER = "The answer is not valid:"
"""How `finish` begins to say that an answer does not fit its schema."""


@dataclass(frozen=True, slots=True)
class AgentLimits:
    """Caps on one agent in one step, over all attempts of it."""

    turns: int = 60
    tokens: int = 2_000_000
    """In and out."""
    cost_usd: float = 5.0
    seconds: float = 1800.0
    """Of work; time between a crash and the restart is not counted."""
    repairs: int = 3
    """Times that a final answer may be sent back because it does not validate."""
    reminders: int = 3
    """Times in a row that a reply without any tool call is answered with a reminder."""


@dataclass(frozen=True, slots=True)
class Agent(Generic[A]):
    """Identity, hands and bounds of a player's mind."""

    id: str
    name: str
    """For people, such as `coder-1`."""
    role: Role
    instructions: str
    """The system prompt: the same for every task of the role, so that caches hit."""
    toolset: Toolset
    answer: type[A]
    """What the agent must hand in. Its JSON schema becomes the parameters of `finish`."""
    limits: AgentLimits = AgentLimits()
    part: str = ""
    """Tells a step's conversations apart where it holds more than one."""
    difficulty: Difficulty = "normal"
    """Of the task at hand; decides which model thinks."""
    processors: tuple[ContextProcessor, ...] = (ToolCallFilter(), TokenLimiter())


@cache
def finish_definition(answer: type[BaseModel]) -> ToolDefinition:
    """The `finish` tool for a kind of answer."""
    words = descriptions(Path(__file__).with_name("finish.md"))[FINISH]
    return ToolDefinition(FINISH, words, parameters(answer))
