"""What goes into the machine (events) and what comes out (commands)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from orchestration.ids import StepKey
from orchestration.workflow.codec import Codec
from orchestration.workflow.shape import StepNode
from orchestration.workflow.step import Suspension
from orchestration.workflow.values import Stored, Value

# --- events ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Succeeded:
    """An attempt returned."""

    key: StepKey
    output: Stored
    updates: Mapping[str, str] = field(default_factory=dict[str, str])
    """JSON by field of the shared state."""


@dataclass(frozen=True, slots=True)
class Bailed:
    """An attempt ended its workflow."""

    key: StepKey
    output: Stored
    updates: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Raised:
    """An attempt failed at `at`; `dice` (0 to 1) decides the jitter of the next one."""

    key: StepKey
    error: BaseException
    at: float
    dice: float


@dataclass(frozen=True, slots=True)
class Suspended:
    """An attempt asked and stopped."""

    key: StepKey
    suspension: Suspension


@dataclass(frozen=True, slots=True)
class Decided:
    """An answer is in the journal."""

    key: StepKey
    answer: str
    """JSON."""


@dataclass(frozen=True, slots=True)
class Woke:
    """A moment that a `Wake` asked for has come."""

    key: StepKey
    at: float


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """Somebody wants the run to end."""


Event = Succeeded | Bailed | Raised | Suspended | Decided | Woke | CancelRequested

# --- commands ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """Run an attempt. Its STARTED record is among the machine's records."""

    key: StepKey
    node: StepNode[Any, Any]
    attempt: int
    value: Value
    answer: str | None
    """JSON of the answer to its suspension."""
    clock_from: float | None
    """When its `total_s` began to count; None for now."""
    bail_codec: Codec[Any]
    """Of what the enclosing workflow gives."""
    state: BaseModel | None = None
    """The shared state, where the workflow declares one."""


@dataclass(frozen=True, slots=True)
class Wake:
    """Say `Woke` at this moment (seconds since the epoch)."""

    key: StepKey
    at: float


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop an attempt, a wait or a question: its block goes on without it."""

    key: StepKey


@dataclass(frozen=True, slots=True)
class TakeDefault:
    """A question's deadline has passed: record its default as the decision."""

    key: StepKey
    label: str
    answer: str


Command = Start | Wake | Stop | TakeDefault
