"""Looking at a run, stepping through it, forking it, and replaying it."""

import asyncio
import json
import random
from typing import Any

import pytest

from orchestration.clock import ManualClock
from orchestration.errors import ConflictError, NotFoundError
from orchestration.ids import RunId, StepKey
from orchestration.workflow.builder import Workflow, step
from orchestration.workflow.forking import fork
from orchestration.workflow.in_memory import InMemoryJournal
from orchestration.workflow.journal import NewRecord, Record, RecordKind, RunStatus
from orchestration.workflow.outcome import decide
from orchestration.workflow.reading import replay, results, watch
from orchestration.workflow.retry import Retry
from orchestration.workflow.shape import Flow
from orchestration.workflow.step import StepContext, Suspension
from tests.orchestration.workflow.stage import RUN, Stage, add_one, double, on_manual_clock
from tests.orchestration.workflow.test_retry import Flaky

FORK = RunId("fork")


def loops() -> Flow[int, int]:
    body = Workflow("body", int).then(add_one).then(double).commit()
    return (
        Workflow("w", int)
        .dountil(body, lambda v: v.iteration == 3, at_most=3)
        .then(step(add_one, id="last"))
        .commit()
    )


# --- reading -----------------------------------------------------------------------------------


async def test_every_result_of_every_iteration_can_be_read(stage: Stage) -> None:
    flow = loops()
    await stage.start(flow, 0)
    read = await results(stage.journal, flow, RUN)
    assert read[StepKey("body#1/double")] == 2
    assert read[StepKey("body#3/double")] == 14
    assert read[StepKey("last")] == 15
    assert len(read) == 7


async def test_a_watcher_that_reconnects_misses_nothing_and_sees_nothing_twice(
    stage: Stage,
) -> None:
    flow = loops()
    seen: list[Record] = []

    async def follow(most: int) -> None:
        after = seen[-1].seq if seen else 0
        async for record in watch(stage.journal, RUN, after=after, poll_s=0.05):
            seen.append(record)
            most -= 1
            if most == 0:
                return

    await stage.engine().start(flow, 0, run_id=RUN, steps=2)
    await follow(3)
    watcher = asyncio.create_task(follow(10_000))
    await stage.resume(flow)
    await watcher
    assert seen == await stage.facts()
    assert [record.seq for record in seen] == list(range(1, len(seen) + 1))


# --- single steps ------------------------------------------------------------------------------


async def test_a_run_can_be_stepped_through(stage: Stage) -> None:
    flow = loops()
    outcome = await stage.engine().start(flow, 0, run_id=RUN, steps=1)
    done: list[list[StepKey]] = []
    while outcome.status is RunStatus.PENDING:
        done.append(await stage.done())
        outcome = await stage.engine().resume(flow, RUN, steps=1)
    assert [len(keys) for keys in done] == [1, 2, 3, 4, 5, 6]
    assert outcome.output == 15
    attempts = [r.attempt for r in await stage.facts(RecordKind.STARTED)]
    assert attempts == [1] * 7


async def test_arms_are_stepped_through_one_by_one(stage: Stage) -> None:
    flow = Workflow("w", int).parallel(add_one, double).map(len, returns=int).commit()
    outcome = await stage.engine().start(flow, 3, run_id=RUN, steps=1)
    assert (outcome.status, await stage.done()) == (RunStatus.PENDING, ["add_one"])
    outcome = await stage.engine().resume(flow, RUN, steps=1)
    assert outcome.output == 2


async def test_a_step_that_asks_while_stepping_suspends(stage: Stage) -> None:
    async def ask(value: int, ctx: StepContext) -> int:
        ctx.suspend(Suspension(label="gate", payload="{}"))

    flow = Workflow("w", int).then(add_one).then(ask).commit()
    await stage.engine().start(flow, 3, run_id=RUN, steps=1)
    outcome = await stage.engine().resume(flow, RUN, steps=1)
    assert outcome.status is RunStatus.SUSPENDED


# --- forks -------------------------------------------------------------------------------------


async def test_a_fork_keeps_the_past_and_goes_its_own_way(stage: Stage) -> None:
    weather = ["rain", "sun"]

    async def look(value: int) -> str:
        return weather.pop(0)

    async def say(what: str) -> str:
        return f"it is {what}"

    flow = Workflow("w", int).then(add_one).then(look).then(say).commit()
    original = await stage.start(flow, 1)
    before = await stage.facts()
    await fork(stage.journal, RUN, at=StepKey("look"), into=FORK)
    outcome = await stage.engine().resume(flow, FORK)
    assert (original.output, outcome.output) == ("it is rain", "it is sun")
    info = await stage.journal.info(FORK)
    assert (info.parent, info.workflow) == (RUN, "w")
    assert await stage.facts() == before
    started = await stage.journal.read(FORK, kinds=[RecordKind.STARTED])
    assert [r.step_key for r in started] == ["add_one", "look", "say"]


class Coder:
    """A step whose worker talks to a model, and does something in the world."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.sent, self.go = stage, 0, asyncio.Event()

    async def send(self) -> int:
        self.sent += 1
        return self.sent

    async def says(self, ctx: StepContext, text: str) -> None:
        turn = NewRecord(RecordKind.TURN, body=json.dumps({"text": text}))
        sandbox = NewRecord(RecordKind.SANDBOX, body=json.dumps({"id": text}))
        await InMemoryJournal.append_under(self.stage.journal, ctx.grant, [sandbox, turn])

    async def finished(self, value: int, ctx: StepContext) -> int:
        await self.says(ctx, "finished")
        return value

    async def busy(self, value: int, ctx: StepContext) -> int:
        await self.says(ctx, f"busy in {ctx.grant.run_id}")
        sent = await ctx.effect("mail", self.send, int)
        await self.go.wait()
        return value + sent

    async def asking(self, value: int, ctx: StepContext) -> int:
        if ctx.answer is None:
            await self.says(ctx, "asking")
            ctx.suspend(Suspension(label="may I", payload="{}"))
        return value + ctx.answer


async def test_a_fork_leaves_the_conversation_of_unfinished_steps_behind(stage: Stage) -> None:
    coder = Coder(stage)

    async def last(value: int) -> int:
        coder.go.set()
        return value

    late = Workflow("late", int).sleep(0.01).then(last).commit()
    arms = coder.finished, coder.busy, step(coder.asking, answers=int), late
    flow = Workflow("w", int).parallel(*arms).commit()
    assert (await stage.start(flow, 1)).status is RunStatus.SUSPENDED
    before = await stage.facts()
    await fork(stage.journal, RUN, at=StepKey("late/last"), into=FORK)
    workspace = [RecordKind.TURN, RecordKind.SANDBOX]
    kept = await stage.journal.read(FORK, kinds=workspace)
    assert {r.step_key for r in kept} == {"finished", "asking"}
    await stage.engine().resume(flow, FORK)
    await decide(stage.journal, flow, FORK, "5", by="tester")
    outcome = await stage.engine().resume(flow, FORK)
    assert outcome.output == {"finished": 1, "busy": 2, "asking": 6, "late": 1}
    assert coder.sent == 1, "what has happened in the world is not repeated"
    said = [r.body for r in await stage.journal.read(FORK, kinds=[RecordKind.TURN])]
    assert '{"text": "busy in fork"}' in said
    assert '{"text": "busy in run"}' not in said
    assert await stage.facts() == before


async def test_a_fork_shares_large_facts_with_the_original(stage: Stage) -> None:
    async def items(value: int) -> list[int]:
        return list(range(value))

    large = Workflow("w", int).then(items).foreach(add_one, key=lambda n: f"{n:04}" * 250)
    flow = large.map(len, returns=int).then(step(add_one, id="last")).commit()
    await stage.start(flow, 50)
    chosen = await stage.facts(RecordKind.CHOSEN)
    assert all("spill" in r.body for r in chosen)
    await fork(stage.journal, RUN, at=StepKey("last"), into=FORK)
    found = await stage.journal.read(FORK, kinds=[RecordKind.CHOSEN])
    assert [r.body for r in found] == [r.body for r in chosen]
    assert (await stage.engine().resume(flow, FORK)).output == 51


async def test_a_fork_at_an_iteration_repeats_from_there(stage: Stage) -> None:
    flow = loops()
    await stage.start(flow, 0)
    await fork(stage.journal, RUN, at=StepKey("body#2"), into=FORK, title="again")
    outcome = await stage.engine().resume(flow, FORK)
    assert outcome.output == 15
    kept = await stage.journal.read(FORK, kinds=[RecordKind.DONE])
    assert len(kept) == 7
    assert (await stage.journal.info(FORK)).title == "again"


async def test_a_failed_run_can_be_forked_where_it_failed(stage: Stage) -> None:
    luck = [False, True]

    async def try_it(value: int) -> int:
        if not luck.pop(0):
            raise ValueError("bad luck")
        return value

    flow = Workflow("w", int).then(add_one).then(try_it).commit()
    assert (await stage.start(flow, 1)).status is RunStatus.FAILED
    await fork(stage.journal, RUN, at=StepKey("try_it"), into=FORK)
    assert (await stage.engine().resume(flow, FORK)).output == 2


async def test_a_fork_needs_a_step_that_ran_and_an_id_that_is_free(stage: Stage) -> None:
    flow = loops()
    await stage.start(flow, 0)
    with pytest.raises(NotFoundError, match="no step 'bod' ran"):
        await fork(stage.journal, RUN, at=StepKey("bod"), into=FORK)
    with pytest.raises(NotFoundError, match="no run nobody"):
        await fork(stage.journal, RunId("nobody"), at=StepKey("last"), into=FORK)
    with pytest.raises(ConflictError, match="run run exists already"):
        await fork(stage.journal, RUN, at=StepKey("last"), into=RUN)


# --- replays -----------------------------------------------------------------------------------


async def test_a_run_replays_as_it_was(stage: Stage) -> None:
    flow = loops()
    await stage.start(flow, 0)
    assert await replay(stage.journal, flow, RUN) == ()


async def test_an_impure_condition_shows_in_a_replay(stage: Stage) -> None:
    tosses = [True, False]

    def toss(value: int) -> bool:
        return tosses.pop(0)

    flow = (
        Workflow("w", int)
        .branch((toss, add_one), default=double)
        .map(lambda v: v + len(tosses), returns=int)
        .commit()
    )
    await stage.start(flow, 3)
    assert [line.partition(": was")[0] for line in await replay(stage.journal, flow, RUN)] == [
        "chosen branch(add_one|double)"
    ]


async def test_with_clock_and_dice_given_a_run_repeats_itself_to_the_letter() -> None:
    async def once() -> list[Record]:
        clock = ManualClock()
        stage = Stage(clock)
        flaky = Flaky(clock, failures=2)
        retry = Retry(attempts=3, delay_s=1, jitter=0.5)
        flow: Any = Workflow("w", int).then(step(flaky.work, retry=retry)).sleep(5).commit()
        engine = stage.engine(dice=random.Random(7).random)
        await on_manual_clock(clock, engine.start(flow, 1, run_id=RUN), seconds=60)
        return await stage.facts()

    assert await once() == await once()


async def test_a_fork_does_not_inherit_owners_or_recoveries(stage: Stage) -> None:
    flow = loops()
    await stage.engine().start(flow, 0, run_id=RUN, steps=1)
    for _ in range(3):
        await stage.journal.claim(RUN, "dead", ttl_s=0.0)
    await stage.resume(flow)
    await fork(stage.journal, RUN, at=StepKey("last"), into=FORK)
    kinds = {r.kind for r in await stage.journal.read(FORK)}
    assert kinds.isdisjoint({RecordKind.CLAIMED, RecordKind.FINISHED, RecordKind.CANCEL})


async def test_a_watcher_of_a_long_run_sees_all_of_it(stage: Stage) -> None:
    flow = Workflow("w", int).dountil(add_one, lambda v: v.iteration == 400, at_most=400).commit()
    await stage.start(flow, 0)
    seen = [record.seq async for record in watch(stage.journal, RUN)]
    assert len(seen) > 1200
    assert seen == list(range(1, len(seen) + 1))
