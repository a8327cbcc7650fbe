"""A step: `async (In, StepContext) -> Out`. A crew verb is a step; a workflow is a step."""

from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from orchestration.ids import StepGrant

T = TypeVar("T")
In = TypeVar("In", contravariant=True)
Out = TypeVar("Out", covariant=True)


class Suspension(BaseModel):
    """A question that stops its step until somebody answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    """Unique among the run's open suspensions; how `resume` addresses it."""
    payload: str
    """JSON shown to whoever decides."""
    deadline: float | None = None
    """Seconds since the epoch, such as `ctx.now() + 3600`; then `default` counts as the answer."""
    default: str | None = None
    """JSON of the answer taken at the deadline."""


class Suspend(BaseException):
    """Unwinds a step. Steps do not catch it; the engine does."""

    def __init__(self, suspension: Suspension) -> None:
        super().__init__(suspension)
        self.suspension = suspension


class Bail(BaseException):
    """Ends the enclosing block (the nearest workflow) with this value as its output."""

    def __init__(self, value: object) -> None:
        super().__init__(value)
        self.value = value


class StepContext(Protocol):
    """What a running step may ask of the engine."""

    @property
    def grant(self) -> StepGrant:
        """Leave for workers to append under this attempt."""
        ...

    @property
    def answer(self) -> Any | None:
        """The validated answer to this step's own suspension, once there is one."""
        ...

    @property
    def state(self) -> Any:
        """The shared state of the workflow around, as it was when this attempt began.

        Raises:
            UsageError: the workflow declares none.
        """
        ...

    def update_state(self, **updates: object) -> None:
        """Change fields of the shared state, once this step is done.

        A field with a reducer is merged with what stands then; another one is replaced.

        Raises:
            UsageError: there is no such field, or the value is not of its type.
        """
        ...

    def now(self) -> float:
        """Seconds since the epoch by the store's clock, which deadlines are judged by."""
        ...

    def suspend(self, suspension: Suspension) -> NoReturn:
        """Stop here until answered; the step then runs again with `answer` set."""
        ...

    def bail(self, value: object) -> NoReturn:
        """End the nearest enclosing workflow with `value` as its output."""
        ...

    async def effect(self, key: str, fn: Callable[[], Awaitable[T]], returns: type[T]) -> T:
        """Perform `fn` once for this step and `key`; afterwards its recorded result is returned.

        `fn` may run again if the process died between doing and recording: give the outside
        world `grant.idempotency_key` where it can tell repeats apart.
        """
        ...

    async def note(self, text: str) -> None:
        """Tell people what is going on. State never depends on it."""
        ...


class Step(Protocol[In, Out]):
    """The one calling shape."""

    async def __call__(self, value: In, ctx: StepContext, /) -> Out: ...
