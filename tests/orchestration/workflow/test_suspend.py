"""Asking a person: nothing waits in memory, and no answer is lost, forged or asked for twice."""

import asyncio
import json

import pytest
from pydantic import BaseModel

from orchestration.clock import ManualClock
from orchestration.errors import ConflictError, InvalidAnswerError, NotFoundError, UsageError
from orchestration.ids import StepKey
from orchestration.workflow.builder import Workflow, step
from orchestration.workflow.in_memory import InMemoryJournal
from orchestration.workflow.journal import NewRecord, RecordKind, RunStatus
from orchestration.workflow.outcome import open_suspensions, outcome_of
from orchestration.workflow.shape import Flow, StepNode
from orchestration.workflow.step import StepContext, Suspension
from tests.orchestration.workflow.stage import (
    RUN,
    Stage,
    add_one,
    double,
    on_manual_clock,
    settle,
)


class Verdict(BaseModel):
    approved: bool
    bonus: int = 0


async def ask(value: int, ctx: StepContext) -> int:
    if ctx.answer is None:
        ctx.suspend(Suspension(label="gate", payload=json.dumps({"value": value})))
    return value + ctx.answer.bonus


gate = step(ask, answers=Verdict)


def one_gate() -> Flow[int, int]:
    return Workflow("w", int).then(add_one).then(gate).then(double).commit()


async def test_a_suspended_run_shows_its_question_and_gives_up_its_lease(stage: Stage) -> None:
    outcome = await stage.start(one_gate(), 3)
    assert outcome.status is RunStatus.SUSPENDED
    (asked,) = outcome.suspensions
    assert (asked.label, asked.step_key, asked.payload) == ("gate", "ask", '{"value": 4}')
    info = await stage.journal.info(RUN)
    assert (info.status, info.owner) == (RunStatus.SUSPENDED, "")
    assert (await outcome_of(stage.journal, None, RUN)).suspensions == outcome.suspensions


async def test_an_answered_run_goes_on_where_it_stood(stage: Stage) -> None:
    flow = one_gate()
    await stage.start(flow, 3)
    assert await stage.answer(flow, '{"approved": true, "bonus": 10}')
    outcome = await stage.resume(flow)
    assert outcome.output == 28
    assert await stage.done() == ["add_one", "ask", "double"]


async def test_no_code_after_suspend_runs(stage: Stage) -> None:
    ran: list[str] = []

    async def careless(value: int, ctx: StepContext) -> int:
        try:
            ctx.suspend(Suspension(label="gate", payload="{}"))
            ran.append("after")
        except Exception:  # noqa: BLE001 - what a careless step does
            ran.append("caught")
        return value

    flow = Workflow("w", int).then(careless).commit()
    assert (await stage.start(flow, 1)).status is RunStatus.SUSPENDED
    assert ran == []


@pytest.mark.parametrize("answer", ['{"approved": "perhaps"}', '{"bonus": 3}', "null", "{oops"])
async def test_an_invalid_answer_leaves_the_run_resumable(stage: Stage, answer: str) -> None:
    flow = one_gate()
    await stage.start(flow, 3)
    before = await stage.facts()
    with pytest.raises(InvalidAnswerError):
        await stage.answer(flow, answer)
    assert await stage.facts() == before
    await stage.answer(flow, '{"approved": true}')
    assert (await stage.resume(flow)).output == 8


async def test_resuming_without_an_answer_waits_again_and_asks_nothing_twice(stage: Stage) -> None:
    flow = one_gate()
    first = await stage.start(flow, 3)
    again = await stage.resume(flow)
    assert again.suspensions == first.suspensions
    assert await stage.keys(RecordKind.SUSPENDED) == ["ask"]
    assert await stage.keys(RecordKind.STARTED) == ["add_one", "ask"]


async def test_the_first_answer_wins(stage: Stage) -> None:
    flow = one_gate()
    await stage.start(flow, 3)
    assert await stage.answer(flow, '{"approved": true}', "gate") is True
    assert await stage.answer(flow, '{ "approved":true }', "gate") is False
    with pytest.raises(ConflictError, match="already decided"):
        await stage.answer(flow, '{"approved": false}', "gate")
    await stage.resume(flow)
    assert await stage.answer(flow, '{"approved": true}', "gate") is False


def several_gates() -> Flow[list[str], list[str]]:
    async def question(name: str, ctx: StepContext) -> str:
        if name.startswith("q") and ctx.answer is None:
            ctx.suspend(Suspension(label=f"about-{name}", payload="{}"))
        return f"{name}:{ctx.answer}"

    return (
        Workflow("w", list[str])
        .foreach(step(question, answers=int), key=str, concurrency=2)
        .commit()
    )


async def test_several_questions_are_told_apart_by_label(stage: Stage) -> None:
    flow = several_gates()
    outcome = await stage.start(flow, ["q1", "a", "q2", "b"])
    assert [s.label for s in outcome.suspensions] == ["about-q1", "about-q2"]
    assert await stage.done() == ["question[a]", "question[b]"]
    with pytest.raises(UsageError, match="'about-q1', 'about-q2'"):
        await stage.answer(flow, "1")
    await stage.answer(flow, "2", "about-q2")
    half = await stage.resume(flow)
    assert [s.label for s in half.suspensions] == ["about-q1"]
    await stage.answer(flow, "1")
    assert (await stage.resume(flow)).output == ["q1:1", "a:None", "q2:2", "b:None"]
    started = await stage.keys(RecordKind.STARTED)
    assert started.count(StepKey("question[a]")) == 1


async def test_a_suspended_item_makes_room_but_the_limit_holds_when_it_comes_back() -> None:
    inside = most = 0
    go = asyncio.Event()

    async def visit(name: str, ctx: StepContext) -> str:
        nonlocal inside, most
        if name == "q" and ctx.answer is None:
            ctx.suspend(Suspension(label="q", payload="{}"))
        inside += 1
        most = max(most, inside)
        await go.wait()
        inside -= 1
        return name

    stage = Stage()
    flow = Workflow("w", list[str]).foreach(step(visit, answers=bool), key=str).commit()
    task = asyncio.create_task(stage.start(flow, ["q", "a"]))
    await settle()
    assert await stage.keys(RecordKind.SUSPENDED) == ["visit[q]"]
    assert inside == 1
    await stage.answer(flow, "true")
    await asyncio.sleep(0.05)
    assert inside == 1
    go.set()
    assert (await task).output == ["q", "a"]
    assert most == 1


async def test_answers_reach_questions_in_arms_loops_and_nested_workflows(stage: Stage) -> None:
    async def nag(value: int, ctx: StepContext) -> int:
        if ctx.answer is None:
            ctx.suspend(Suspension(label=ctx.grant.step_key, payload="{}"))
        return value + ctx.answer

    inner = Workflow("inner", int).then(step(nag, answers=int)).commit()
    loop = Workflow("loop", int).then(inner).commit()
    flow = (
        Workflow("w", int)
        .parallel(step(nag, id="left", answers=int), step(nag, id="right", answers=int))
        .map(lambda both: sum(both.values()), returns=int)
        .dountil(loop, lambda v: v.iteration == 2, at_most=2)
        .commit()
    )
    outcome = await stage.start(flow, 0)
    labels: list[str] = []
    while outcome.status is RunStatus.SUSPENDED:
        labels.append(outcome.suspensions[0].label)
        await stage.answer(flow, "1", labels[-1])
        outcome = await stage.resume(flow)
    assert labels == ["left", "right", "loop#1/inner/nag", "loop#2/inner/nag"]
    assert outcome.output == 4


async def test_a_decision_made_while_the_run_is_driven_is_heard(stage: Stage) -> None:
    go = asyncio.Event()

    async def slow(value: int) -> int:
        await go.wait()
        return value

    flow = Workflow("w", int).parallel(slow, gate).commit()
    task = asyncio.create_task(stage.start(flow, 3))
    await settle()
    await stage.answer(flow, '{"approved": true, "bonus": 1}')
    while "ask" not in await stage.done():
        assert await stage.journal.wait(RUN, after=(await stage.facts())[-1].seq, timeout_s=5)
    go.set()
    assert (await task).output == {"slow": 3, "ask": 4}


async def test_a_decision_made_just_before_the_release_is_not_lost(stage: Stage) -> None:
    flow = one_gate()
    append = stage.journal.append

    async def racing(lease, records, *, status=None, **more):  # type: ignore[no-untyped-def] # pyright: ignore
        if status is RunStatus.SUSPENDED:
            await stage.answer(flow, '{"approved": true}')
        return await append(lease, records, status=status, **more)  # pyright: ignore

    stage.journal.append = racing  # type: ignore[method-assign] # pyright: ignore
    assert (await stage.start(flow, 3)).output == 8


async def test_the_answer_survives_a_crash_of_the_step_that_got_it(stage: Stage) -> None:
    crashes = 1

    async def fragile(value: int, ctx: StepContext) -> int:
        nonlocal crashes
        if ctx.answer is None:
            ctx.suspend(Suspension(label="gate", payload="{}"))
        if crashes:
            crashes -= 1
            raise asyncio.CancelledError  # as if the process were taken away
        return value + ctx.answer

    flow = Workflow("w", int).then(step(fragile, answers=int)).commit()
    await stage.start(flow, 3)
    await stage.answer(flow, "4")
    outcome = await stage.resume(flow)
    assert outcome.status is RunStatus.FAILED

    other = Stage()
    crashes = 0
    await other.start(flow, 3)
    await other.answer(flow, "4")
    lease = await other.journal.claim(RUN, "first")
    started = NewRecord(RecordKind.STARTED, (await other.keys(RecordKind.STARTED))[0], 2)
    await InMemoryJournal.append(other.journal, lease, [started])
    outcome = await other.engine("second").resume(flow, RUN, take_over=True)
    assert outcome.output == 7


async def test_two_open_questions_of_one_label_fail_the_second_step(stage: Stage) -> None:
    async def same(value: int, ctx: StepContext) -> int:
        ctx.suspend(Suspension(label="same", payload="{}"))

    flow = Workflow("w", int).parallel(step(same, id="a"), step(same, id="b")).commit()
    outcome = await stage.start(flow, 1)
    assert outcome.error is not None
    assert "b suspends as 'same', as a does already" in outcome.error.what


async def test_a_withdrawn_question_cannot_be_answered(stage: Stage) -> None:
    async def late(value: int) -> int:
        for _ in range(10):
            await asyncio.sleep(0)
        raise ValueError("broken")

    flow = Workflow("w", int).parallel(gate, late).commit()
    outcome = await stage.start(flow, 1)
    assert outcome.error is not None
    assert outcome.error.siblings == ("ask: cancelled while it waited for an answer",)
    assert await open_suspensions(stage.journal, RUN) == ()
    with pytest.raises(NotFoundError, match="gate"):
        await stage.answer(flow, '{"approved": true}', "gate")


async def test_unknown_runs_labels_and_foreign_workflows_are_named(stage: Stage) -> None:
    flow = one_gate()
    with pytest.raises(NotFoundError, match="no run run"):
        await stage.answer(flow, "1")
    await stage.start(flow, 3)
    with pytest.raises(NotFoundError, match="'nothing'"):
        await stage.answer(flow, '{"approved": true}', "nothing")
    other = Workflow("other", int).then(add_one).commit()
    with pytest.raises(ConflictError, match="belongs to workflow 'w'"):
        await stage.answer(other, "1")
    with pytest.raises(ConflictError, match="belongs to workflow 'w'"):
        await stage.resume(other)
    done = Stage()
    await done.start(other, 1)
    with pytest.raises(NotFoundError, match="nothing waits"):
        await done.answer(other, "1")


# --- deadlines ---------------------------------------------------------------------------------


def gate_until(
    clock: ManualClock, seconds: float, default: str | None
) -> Flow[int, dict[str, int]]:
    async def ask_in_time(value: int, ctx: StepContext) -> int:
        if ctx.answer is None:
            asked = Suspension(
                label="gate", payload="{}", deadline=clock.now() + seconds, default=default
            )
            ctx.suspend(asked)
        return value + ctx.answer

    async def slow(value: int) -> int:
        await clock.sleep(60)
        return value

    return Workflow("w", int).parallel(step(ask_in_time, answers=int), slow).commit()


async def test_at_the_deadline_the_default_counts_while_the_run_is_driven() -> None:
    clock = ManualClock()
    stage = Stage(clock)
    flow = gate_until(clock, 30, "5")
    outcome = await on_manual_clock(clock, stage.start(flow, 1), seconds=70)
    assert outcome.output == {"ask_in_time": 6, "slow": 1}
    (decided,) = await stage.facts(RecordKind.DECIDED)
    assert json.loads(decided.body) == {"label": "gate", "by": "deadline", "answer": 5}


async def test_a_deadline_that_passed_while_nobody_drove_counts_on_resume() -> None:
    clock = ManualClock()
    stage = Stage(clock)
    flow = gate_until(clock, 3600, "5")
    outcome = await on_manual_clock(clock, stage.start(flow, 1), seconds=70)
    assert outcome.status is RunStatus.SUSPENDED
    assert outcome.suspensions[0].deadline is not None
    await clock.advance(3600)
    outcome = await on_manual_clock(clock, stage.resume(flow), seconds=5)
    assert outcome.output == {"ask_in_time": 6, "slow": 1}


async def test_a_run_past_its_deadline_is_due_and_whoever_resumes_it_takes_the_default() -> None:
    clock = ManualClock()
    stage = Stage(clock)
    flow = gate_until(clock, 3600, "5")
    await on_manual_clock(clock, stage.start(flow, 1), seconds=70)
    assert await stage.journal.due() == []
    await clock.advance(3600)
    [due] = await stage.journal.due()
    assert due.run_id == RUN
    outcome = await on_manual_clock(clock, stage.engine("hall").resume(flow, RUN), seconds=5)
    assert outcome.status is RunStatus.DONE
    assert await stage.journal.due() == []


async def test_the_first_of_several_deadlines_counts_and_one_without_a_default_never() -> None:
    clock = ManualClock()
    stage = Stage(clock)

    def asking(name: str, seconds: float, default: str | None) -> StepNode[int, int]:
        async def ask(value: int, ctx: StepContext) -> int:
            if ctx.answer is None:
                deadline = ctx.now() + seconds
                ctx.suspend(
                    Suspension(label=name, payload="{}", deadline=deadline, default=default)
                )
            return ctx.answer

        return step(ask, id=name, answers=int)

    arms = asking("a", 50, "1"), asking("b", 20, "2"), asking("c", 1, None)
    flow = Workflow("w", int).parallel(*arms).commit()
    began = clock.now()
    for wake_at in (began + 20, began + 50, None):
        await on_manual_clock(clock, stage.start(flow, 1), seconds=5)
        assert (await stage.journal.info(RUN)).wake_at == wake_at
        await clock.advance(25)
    await stage.answer(flow, "3", "c")
    outcome = await on_manual_clock(clock, stage.resume(flow), seconds=5)
    assert outcome.output == {"a": 1, "b": 2, "c": 3}


async def test_an_answer_before_the_deadline_stands() -> None:
    clock = ManualClock()
    stage = Stage(clock)
    flow = gate_until(clock, 3600, "5")
    await on_manual_clock(clock, stage.start(flow, 1), seconds=70)
    await stage.answer(flow, "100")
    await clock.advance(3600)
    outcome = await on_manual_clock(clock, stage.resume(flow), seconds=5)
    assert outcome.output == {"ask_in_time": 101, "slow": 1}


async def test_a_deadline_without_a_default_only_informs() -> None:
    clock = ManualClock()
    stage = Stage(clock)
    flow = gate_until(clock, 30, None)
    outcome = await on_manual_clock(clock, stage.start(flow, 1), seconds=70)
    assert outcome.status is RunStatus.SUSPENDED


async def test_a_label_may_be_used_again_once_it_was_answered(stage: Stage) -> None:
    body = Workflow("body", int).then(gate).commit()
    flow = Workflow("w", int).dountil(body, lambda v: v.iteration == 3, at_most=3).commit()
    outcome = await stage.start(flow, 0)
    for _ in range(3):
        assert [s.label for s in outcome.suspensions] == ["gate"]
        await stage.answer(flow, '{"approved": true, "bonus": 1}')
        outcome = await stage.resume(flow)
    assert outcome.output == 3


async def test_a_label_answered_in_one_drive_may_be_used_again_in_it(stage: Stage) -> None:
    """Both questions are asked while another arm keeps the run driven."""
    go = asyncio.Event()

    async def slow(value: int) -> int:
        await go.wait()
        return value

    more = step(ask, id="more", answers=Verdict)
    asking = Workflow("asking", int).then(gate).then(more).commit()
    flow = Workflow("w", int).parallel(slow, asking).commit()
    task = asyncio.create_task(stage.start(flow, 3))
    await settle()
    for number in (1, 2):
        while len(await stage.facts(RecordKind.SUSPENDED)) < number:
            seq = (await stage.journal.info(RUN)).seq
            assert await stage.journal.wait(RUN, after=seq, timeout_s=5)
        await stage.answer(flow, '{"approved": true, "bonus": 1}')
    go.set()
    assert (await task).output == {"slow": 3, "asking": 5}


async def test_a_question_whose_workflow_bailed_is_closed(stage: Stage) -> None:
    async def enough(value: int, ctx: StepContext) -> int:
        for _ in range(10):
            await asyncio.sleep(0)
        ctx.bail(value)

    inner = (
        Workflow("inner", int)
        .parallel(step(ask, id="first"), enough)
        .map(len, returns=int)
        .commit()
    )
    flow = Workflow("w", int).then(inner).then(gate).commit()
    outcome = await stage.start(flow, 3)
    assert [s.step_key for s in outcome.suspensions] == ["ask"]
    assert await open_suspensions(stage.journal, RUN) == outcome.suspensions
