"""The model gateway socket and what travels through it."""

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from orchestration.messages import Difficulty, Usage

Role = Literal["architect", "coder", "reviewer", "security", "linter"]
"""Who is thinking; each has a route (a model, its fallbacks and options)."""

WireMessage = dict[str, Any]
"""One message in the OpenAI chat form, made once and never changed afterwards."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's wish to use a tool. `arguments` is the raw text the model wrote."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One turn's question.

    `key` is the conversation's and, after the last slash, the turn's number: the same whenever
    the same turn is asked again. Equal keys are joined while in flight, and the reply is kept
    until it is acknowledged or another turn of the conversation is asked.
    """

    key: str
    role: Role
    conversation: str
    """Stable name of the conversation within its run, such as `build[greet]/write_test#1`."""
    turn: int
    messages: tuple[WireMessage, ...]
    tools: tuple[dict[str, Any], ...] = ()
    """Tool definitions in the OpenAI form."""
    difficulty: Difficulty = "normal"
    """Of the task at hand: a role may have a route of its own for it."""
    max_output_tokens: int | None = None
    answer: str = ""
    """The tool among them whose arguments are the conversation's answer. A provider that can hold
    a model to a schema holds it to this one's."""
    is_answer_due: bool = False
    """The model has given its answer, in a form that is none: now nothing else is wanted."""

    @property
    def run(self) -> str:
        """The run whose budget pays: the key's first part."""
        return self.key.partition("/")[0]


@dataclass(frozen=True, slots=True)
class ModelReply:
    """One turn's answer, normalised whatever the provider."""

    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    finish: Literal["stop", "tool_calls", "length", "refusal"] = "stop"
    model: str = ""
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    drift: str = ""
    """For a recording: how the question differed from the recorded one without mattering."""
    notice: str = ""
    """What people should hear, such as that the run's budget is nearly spent."""


class ModelGateway(Protocol):
    """Answers requests. Retries, fallbacks and prices are its business; meaning is not.

    Raises:
        ModelError: the provider failed for good, is unknown, or its key is missing.
        BudgetExceededError: the run may spend no more.
    """

    async def complete(self, request: ModelRequest) -> ModelReply: ...

    async def acknowledge(self, key: str) -> None:
        """The reply to `key` is durable at the caller's; the gateway may forget it.

        Asking for the next turn says so too, which spares a call; this is for the last one.
        """
        ...

    async def check(self, role: Role, *, priced: bool = False) -> str:
        """The model behind a role, once its name and key are known to be usable, without a call.

        With `priced`, its price must be known as well.

        Raises:
            ModelError: unknown provider, missing key (naming the variable to set), or no price.
        """
        ...

    async def context_tokens(self, role: Role, difficulty: Difficulty = "normal") -> int:
        """The size of the context window in tokens, of whichever model may be asked."""
        ...
