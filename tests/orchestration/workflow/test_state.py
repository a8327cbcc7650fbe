"""Shared state: journaled updates, merged by declared reducers in the order of the arms."""

import asyncio
import operator
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict

from orchestration.errors import InvalidWorkflowError, WorkerLostError
from orchestration.workflow.builder import Workflow, step
from orchestration.workflow.journal import RecordKind, RunStatus
from orchestration.workflow.retry import Retry
from orchestration.workflow.shape import Flow, LoopView
from orchestration.workflow.state import Reducer
from orchestration.workflow.step import StepContext, Suspension
from tests.orchestration.workflow.stage import RUN, Stage, fails
from tests.orchestration.workflow.test_any_history import cut


class Tally(BaseModel):
    model_config = ConfigDict(frozen=True)
    total: Annotated[int, Reducer(operator.add)] = 0
    names: Annotated[list[str], Reducer(operator.add)] = []
    winner: str = ""


async def count(value: int, ctx: StepContext) -> int:
    ctx.update_state(total=value, names=[str(value)])
    return value


async def read(value: Any, ctx: StepContext) -> Tally:
    return ctx.state


def tally(takes: Any = int) -> Any:
    return Workflow("w", takes, state=Tally)


async def test_an_update_is_seen_by_the_next_step(stage: Stage) -> None:
    flow = tally().then(count).then(step(count, id="again")).then(reading()).commit()
    outcome = await stage.start(flow, 3)
    assert outcome.output == Tally(total=6, names=["3", "3"])


def reading() -> Any:
    async def read_it(value: int, ctx: StepContext) -> Tally:
        return ctx.state

    return step(read_it, id="read")


async def test_arms_merge_by_reducers_in_their_order_whoever_finishes_first(stage: Stage) -> None:
    async def slow(value: int, ctx: StepContext) -> int:
        for _ in range(10):
            await asyncio.sleep(0)
        ctx.update_state(total=1, names=["slow"])
        return value

    async def quick(value: int, ctx: StepContext) -> int:
        assert ctx.state.total == 0
        ctx.update_state(total=2, names=["quick"])
        return value

    flow = tally().parallel(slow, quick).map(len, returns=int).then(reading()).commit()
    outcome = await stage.start(flow, 3)
    assert outcome.output == Tally(total=3, names=["slow", "quick"])


async def test_an_arm_sees_its_own_updates_but_not_its_siblings(stage: Stage) -> None:
    seen: list[int] = []

    async def look(value: int, ctx: StepContext) -> int:
        seen.append(ctx.state.total)
        return value

    body = Workflow("body", int).then(count).then(look).commit()
    flow = tally(list[int]).foreach(body).map(sum, returns=int).then(reading()).commit()
    outcome = await stage.start(flow, [1, 2, 3])
    assert seen == [1, 2, 3]
    assert outcome.output.total == 6


def setter(name: str, value: str) -> Any:
    async def set_winner(_: int, ctx: StepContext) -> int:
        ctx.update_state(winner=value)
        return 0

    return step(set_winner, id=name)


async def test_arms_that_contradict_each_other_without_a_reducer_fail(stage: Stage) -> None:
    flow = tally().parallel(setter("a", "ann"), setter("b", "bob")).commit()
    outcome = await stage.start(flow, 1)
    assert outcome.status is RunStatus.FAILED
    assert outcome.error is not None
    assert "'a' and 'b' set 'winner'" in outcome.error.what


async def test_arms_that_agree_do_not_conflict(stage: Stage) -> None:
    flow = (
        tally()
        .parallel(setter("a", "ann"), setter("b", "ann"))
        .map(len, returns=int)
        .then(reading())
        .commit()
    )
    assert (await stage.start(flow, 1)).output.winner == "ann"


async def test_a_failed_attempt_changes_nothing(stage: Stage) -> None:
    async def flaky(value: int, ctx: StepContext) -> int:
        ctx.update_state(total=1)
        if ctx.grant.attempt < 3:
            raise WorkerLostError("gone")
        return value

    flow = tally().then(step(flaky, retry=Retry(attempts=3, delay_s=0))).then(reading()).commit()
    assert (await stage.start(flow, 1)).output.total == 1


async def test_a_nested_workflow_shares_its_parents_state_unless_it_has_its_own(
    stage: Stage,
) -> None:
    shares = Workflow("shares", int).then(count).commit()
    own = Workflow("own", int, state=Tally).then(step(count, id="private")).commit()
    flow = tally().then(shares).then(own).then(reading()).commit()
    assert (await stage.start(flow, 5)).output.total == 5


async def test_a_loop_condition_sees_the_state(stage: Stage) -> None:
    def enough(view: LoopView[int]) -> bool:
        return view.state.total >= 6

    flow = tally().dountil(count, enough, at_most=9).commit()
    await stage.start(flow, 2)
    assert len(await stage.done()) == 3


async def test_a_step_cannot_change_the_state_by_changing_what_it_read(stage: Stage) -> None:
    async def sneaky(value: int, ctx: StepContext) -> int:
        ctx.state.names.append("sneaked")
        return value

    flow = tally().then(sneaky).then(reading()).commit()
    assert (await stage.start(flow, 5)).output.names == []


async def test_the_state_survives_a_cut_anywhere(stage: Stage) -> None:
    async def ask(value: int, ctx: StepContext) -> int:
        if ctx.answer is None:
            ctx.suspend(Suspension(label="gate", payload="{}"))
        return value

    body = Workflow("body", int).then(count).commit()
    flow: Flow[Any, Any] = (
        tally(list[int])
        .foreach(body, concurrency=2)
        .map(sum, returns=int)
        .then(ask)
        .then(step(count, id="last"))
        .then(reading())
        .commit()
    )
    await stage.start(flow, [1, 2, 3])
    await stage.answer(flow, "true")
    outcome = await stage.resume(flow)
    assert outcome.output.total == 12
    records = await stage.journal.read(RUN)
    answered = next(r.seq for r in records if r.kind is RecordKind.DECIDED)
    for at in range(answered, len(records)):
        again = await cut(records, at, flow)
        assert (await again.resume(flow)).output == outcome.output


@pytest.mark.parametrize(
    ("updates", "words"),
    [({"nothing": 1}, "no field 'nothing'"), ({"total": "many"}, "expected int, got str")],
)
async def test_a_wrong_update_fails_its_step(
    stage: Stage, updates: dict[str, Any], words: str
) -> None:
    async def wrong(value: int, ctx: StepContext) -> int:
        ctx.update_state(**updates)
        return value

    outcome = await stage.start(tally().then(wrong).commit(), 1)
    assert outcome.error is not None
    assert words in outcome.error.what


async def test_without_a_declared_state_there_is_none(stage: Stage) -> None:
    outcome = await stage.start(Workflow("w", int).then(count).commit(), 1)
    assert outcome.error is not None
    assert "declares no state" in outcome.error.what


async def test_a_reducer_that_raises_fails_the_run_by_name(stage: Stage) -> None:
    def broken(old: int, new: int) -> int:
        raise ZeroDivisionError("no")

    class Odd(BaseModel):
        model_config = ConfigDict(frozen=True)
        total: Annotated[int, Reducer(broken)] = 0
        names: list[str] = []

    outcome = await stage.start(Workflow("w", int, state=Odd).then(count).commit(), 1)
    assert outcome.error is not None
    assert "reducers after count raised ZeroDivisionError" in outcome.error.what


class Melting(BaseModel):
    total: int = 0


class Needy(BaseModel):
    model_config = ConfigDict(frozen=True)
    total: int


@pytest.mark.parametrize(("model", "words"), [(Melting, "in place"), (Needy, "no default")])
def test_a_state_that_cannot_be_shared_is_refused(model: type[BaseModel], words: str) -> None:
    with pytest.raises(InvalidWorkflowError, match=words):
        Workflow("w", int, state=model).then(fails)
