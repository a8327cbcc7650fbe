"""One step of one run, and an agent in it whose model follows a script."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from pydantic import BaseModel, Field

from actors.agent.agent import Agent, AgentLimits
from actors.agent.loop import run_agent
from actors.models.gateway import ModelReply, ModelRequest, ToolCall
from actors.models.scripted import FunctionGateway
from actors.tools.archive import Archive, TurnRecord, read_turns
from actors.tools.tool import ToolDefinition, ToolResult
from orchestration.clock import ManualClock
from orchestration.ids import RunId, StepGrant, StepKey
from orchestration.messages import Usage
from orchestration.workflow.in_memory import InMemoryJournal
from orchestration.workflow.journal import NewRecord, RecordKind

RUN, STEP = RunId("greet-1"), StepKey("build[greet]/write_code")
_ids = count(1)


class KilledError(Exception):
    """The script ended before the agent did: as if its process had been killed."""


class Summary(BaseModel):
    """The answer that these agents hand in."""

    title: str = Field(min_length=1)
    files: int = 0


def call(name: str, **arguments: Any) -> ToolCall:
    return raw_call(name, json.dumps(arguments))


def raw_call(name: str, arguments: str) -> ToolCall:
    return ToolCall(f"call-{next(_ids)}", name, arguments)


def says(*calls: ToolCall, text: str = "", tokens: int = 10, cost: float = 0.01) -> ModelReply:
    usage = Usage(calls=1, input_tokens=tokens, output_tokens=0, cost_usd=cost)
    return ModelReply(text, calls, "tool_calls" if calls else "stop", "scripted", usage, 0.5)


def finish(title: str = "done") -> ModelReply:
    return says(call("finish", title=title))


Answer = Callable[[dict[str, Any]], ToolResult]


class Hands:
    """A toolset of functions; remembers what it was asked to do."""

    def __init__(self, **tools: Answer) -> None:
        self.tools = tools
        self.called: list[tuple[str, dict[str, Any]]] = []

    async def definitions(self) -> list[ToolDefinition]:
        return [ToolDefinition(name, name, {"type": "object"}) for name in self.tools]

    async def call(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        self.called.append((name, arguments))
        return self.tools[name](arguments)

    async def close(self) -> None:
        pass


def echo(arguments: dict[str, Any]) -> ToolResult:
    return ToolResult(str(arguments.get("text", "")))


@dataclass
class Scene:
    """A journal that outlives agents, and the agents that come and go."""

    clock: ManualClock = field(default_factory=ManualClock)
    limits: AgentLimits = field(default_factory=AgentLimits)
    hands: Hands = field(default_factory=lambda: Hands(echo=echo))
    context_tokens: int = 128_000
    attempt: int = 0
    gateway: type[FunctionGateway] = FunctionGateway

    def __post_init__(self) -> None:
        self.journal = InMemoryJournal(self.clock)
        self.asked: list[ModelRequest] = []
        self.notes: list[str] = []

    async def open(self) -> StepGrant:
        """The next attempt of the step, by whoever drives the run now."""
        await self.journal.create_run(RUN, workflow="w", definition="d", title="t", body="{}")
        lease = await self.journal.claim(RUN, "owner")
        self.attempt += 1
        started = NewRecord(RecordKind.STARTED, STEP, self.attempt)
        await self.journal.append(lease, [started])
        return StepGrant(RUN, STEP, lease.epoch, self.attempt)

    async def play(self, *replies: ModelReply, task: str = "Greet people.") -> Summary:
        """A new attempt in which the model says these things in turn."""
        left = list(replies)

        def answer(request: ModelRequest) -> ModelReply:
            self.asked.append(request)
            if not left:
                raise KilledError
            return left.pop(0)

        return await self.play_by(answer, task)

    async def play_by(
        self, answer: Callable[[ModelRequest], ModelReply], task: str = "Greet people."
    ) -> Summary:
        agent = Agent("coder", "coder-1", "coder", "You code.", self.hands, Summary, self.limits)
        return await run_agent(
            agent,
            task,
            gateway=self.gateway(answer, context_tokens=self.context_tokens),
            journal=self.journal,
            grant=await self.open(),
            conversation="build[greet]/write_code",
            clock=self.clock,
            note=self._note,
        )

    async def turns(self) -> Sequence[TurnRecord]:
        return await read_turns(self.journal, RUN, STEP)

    def archive(self) -> Archive:
        return Archive(self.journal, RUN, STEP)

    def shown(self) -> list[str]:
        """What the tools and the loop have said in the last prompt."""
        heard = self.asked[-1].messages[2:]
        return [m["content"] for m in heard if m["role"] in {"tool", "user"}]

    async def _note(self, text: str) -> None:
        self.notes.append(text)
