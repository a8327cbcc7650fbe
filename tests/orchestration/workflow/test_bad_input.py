"""What cannot be used is refused by name, with a fix, and the stored run stays as it was."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from orchestration.errors import (
    ConflictError,
    InvalidAnswerError,
    InvalidWorkflowError,
    MantaError,
    NotFoundError,
    RunOwnedError,
    UsageError,
)
from orchestration.ids import RunId, StepKey
from orchestration.workflow.builder import Workflow, step
from orchestration.workflow.engine import Engine
from orchestration.workflow.forking import fork
from orchestration.workflow.outcome import decide, input_of, outcome_of
from orchestration.workflow.reading import replay, results
from orchestration.workflow.shape import Flow
from orchestration.workflow.step import StepContext, Suspension
from tests.orchestration.workflow.stage import RUN, Stage, add_one


async def ask(value: int, ctx: StepContext) -> int:
    if ctx.answer is None:
        ctx.suspend(Suspension(label=f"gate-{value}", payload="{}"))
    return ctx.answer


ASK = step(ask, answers=int)
FLOW = Workflow("w", list[int]).foreach(ASK, concurrency=2).commit()
OTHER = Workflow("other", list[int]).foreach(ASK, concurrency=2).commit()
CHANGED = Workflow("w", list[int]).foreach(add_one, concurrency=2).commit()
UNBUILT: Any = Workflow("w", list[int]).foreach(ASK)
NOBODY = RunId("nobody")
Call = Callable[[Stage], Awaitable[object]]


def start(flow: Any, value: object, run_id: RunId = RUN) -> Call:
    return lambda stage: stage.engine().start(flow, value, run_id=run_id)


def resume(flow: Any, run_id: RunId = RUN) -> Call:
    return lambda stage: stage.engine().resume(flow, run_id)


def answer(text: str, label: str | None, flow: Flow[Any, Any] = FLOW, run_id: RunId = RUN) -> Call:
    return lambda stage: decide(stage.journal, flow, run_id, text, by="me", label=label)


def forked(at: str, into: RunId, run_id: RunId = RUN) -> Call:
    return lambda stage: fork(stage.journal, run_id, at=StepKey(at), into=into)


REFUSED: dict[str, tuple[Call, type[MantaError], str]] = {
    "an unbuilt workflow is started": (start(UNBUILT, [1]), InvalidWorkflowError, "Workflow"),
    "an unbuilt workflow is resumed": (resume(UNBUILT), InvalidWorkflowError, "Workflow"),
    "another input": (start(FLOW, [3]), ConflictError, "another input"),
    "an input of another type": (start(FLOW, "one"), UsageError, r"list\[int\]"),
    "another workflow is started": (start(OTHER, [1, 2]), ConflictError, "belongs to workflow"),
    "another workflow is resumed": (resume(OTHER), ConflictError, "belongs to workflow 'w'"),
    "a changed workflow is started": (start(CHANGED, [1, 2]), ConflictError, "has changed"),
    "a changed workflow is resumed": (resume(CHANGED), ConflictError, r"- ask\*?: step"),
    "an unknown run is resumed": (resume(FLOW, NOBODY), NotFoundError, "no run nobody"),
    "an unknown run is looked at": (
        lambda stage: outcome_of(stage.journal, FLOW, NOBODY),
        NotFoundError,
        "no run nobody",
    ),
    "the input of an unknown run": (
        lambda stage: input_of(stage.journal, FLOW, NOBODY),
        NotFoundError,
        "no run nobody",
    ),
    "the results of a foreign run": (
        lambda stage: results(stage.journal, OTHER, RUN),
        ConflictError,
        "belongs to workflow",
    ),
    "the replay of a foreign run": (
        lambda stage: replay(stage.journal, OTHER, RUN),
        ConflictError,
        "belongs to workflow",
    ),
    "an unknown run is answered": (answer("1", None, run_id=NOBODY), NotFoundError, "nobody"),
    "an unknown label": (answer("1", "gate-9"), NotFoundError, "'gate-9'"),
    "no label where several wait": (answer("1", None), UsageError, "'gate-1', 'gate-2'"),
    "an answer of another type": (answer('"yes"', "gate-1"), InvalidAnswerError, "'gate-1'"),
    "an answer that is no JSON": (answer("{", "gate-1"), InvalidAnswerError, "gate-1|JSON"),
    "an answer to a foreign run": (answer("1", "gate-1", OTHER), ConflictError, "belongs to"),
    "a fork of an unknown run": (forked("ask", RunId("new"), NOBODY), NotFoundError, "nobody"),
    "a fork at an unknown step": (forked("nope", RunId("new")), NotFoundError, "'nope'"),
    "a fork into a run that exists": (forked("ask", RUN), ConflictError, "exists already"),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_it_is_refused_and_the_run_stays_as_it_was(stage: Stage, what: str) -> None:
    call, error, words = REFUSED[what]
    await stage.start(FLOW, [1, 2])
    facts, info = await stage.facts(), await stage.journal.info(RUN)
    with pytest.raises(error, match=words) as refused:
        await call(stage)
    assert refused.value.fix
    assert await stage.facts() == facts
    assert await stage.journal.info(RUN) == info
    assert [run.run_id for run in await stage.journal.runs()] == [RUN]
    for label in ("gate-1", "gate-2"):
        await stage.answer(FLOW, "5", label)
    assert (await stage.resume(FLOW)).output == [5, 5]


async def test_a_run_that_another_drives_is_refused_and_goes_on(stage: Stage) -> None:
    await stage.start(FLOW, [1, 2])
    await stage.journal.claim(RUN, "other")
    facts = await stage.facts()
    for drive in (start(FLOW, [1, 2]), resume(FLOW)):
        with pytest.raises(RunOwnedError, match="driven by other") as refused:
            await drive(stage)
        assert "take it over" in refused.value.fix
    assert await stage.facts() == facts


async def test_an_engine_gives_no_workflow_a_run_that_it_refuses(stage: Stage) -> None:
    engine: Engine = stage.engine()
    for value in (None, [1.5], ["1"], (1, 2), {"1": 2}):
        with pytest.raises(UsageError, match=r"expected list\[int\]"):
            await engine.start(FLOW, value, run_id=RUN)  # type: ignore[arg-type] # pyright: ignore
    assert await stage.journal.runs() == []
