"""Makes steps of async functions."""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from orchestration.errors import InvalidWorkflowError
from orchestration.workflow.codec import codec
from orchestration.workflow.joints import signature
from orchestration.workflow.keys import is_step_id
from orchestration.workflow.retry import NO_RETRY, Retry
from orchestration.workflow.shape import StepNode
from orchestration.workflow.step import StepContext

In = TypeVar("In")
Out = TypeVar("Out")
Next = TypeVar("Next")
Function = Callable[[Out], Awaitable[Next]] | Callable[[Out, StepContext], Awaitable[Next]]


def step(
    fn: Function[In, Out],
    *,
    id: str | None = None,  # noqa: A002 - the builder's public word for it
    retry: Retry = NO_RETRY,
    timeout_s: float | None = None,
    total_s: float | None = None,
    answers: object | None = None,
) -> StepNode[In, Out]:
    """Make a step of an async function, with options.

    Args:
        fn: `(value, ctx) -> out` or `(value) -> out`, fully annotated.
        id: Its name among its siblings; the function's own by default.
        retry: How to go on after a failure.
        timeout_s: Limit of one attempt.
        total_s: Limit of all attempts together.
        answers: Type of the answers to what it asks when it suspends.

    Raises:
        InvalidWorkflowError: the function is not async, not annotated, or has no usable name.
    """
    name = id or getattr(fn, "__name__", "")
    what = f"step {name!r}"
    if not is_step_id(name):
        raise InvalidWorkflowError(f"{what} has no usable name", "give it one: step(fn, id=...)")
    if isinstance(fn, type) or not callable(fn):
        raise InvalidWorkflowError(f"{what} is {fn!r}", "pass an async function or a workflow")
    called = fn if inspect.isroutine(fn) else type(fn).__call__
    if not inspect.iscoroutinefunction(called):
        raise InvalidWorkflowError(f"{what} is not async", "define it with `async def`")
    for label, seconds in (("timeout_s", timeout_s), ("total_s", total_s)):
        if seconds is not None and seconds <= 0:
            raise InvalidWorkflowError(f"{label} of {what} is {seconds}", "give a positive one")
    takes, gives, wants_ctx = signature(fn, what)
    codec(gives)
    if answers is not None:
        codec(answers)
    return StepNode(
        id=name,
        takes=takes,
        gives=gives,
        call=cast("Callable[..., Awaitable[Any]]", fn),
        wants_ctx=wants_ctx,
        retry=retry,
        timeout_s=timeout_s,
        total_s=total_s,
        answers=answers,
    )
