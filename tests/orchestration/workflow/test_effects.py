"""Side effects inside a step are recorded, and not repeated."""

import asyncio
import json

from orchestration.errors import StaleOwnerError, WorkerLostError
from orchestration.workflow.builder import Workflow, step
from orchestration.workflow.journal import RecordKind, RunStatus
from orchestration.workflow.retry import Retry
from orchestration.workflow.step import StepContext
from tests.orchestration.workflow.stage import RUN, Stage, settle

again = Retry(attempts=3, delay_s=0)


class World:
    """What effects leave behind."""

    def __init__(self) -> None:
        self.mails: list[str] = []

    async def send(self) -> tuple[int, str]:
        self.mails.append("mail")
        return len(self.mails), "x" * 40_000


async def test_an_effect_is_not_repeated_when_its_step_is_tried_again(stage: Stage) -> None:
    world, seen = World(), list[object]()

    async def mail(value: int, ctx: StepContext) -> int:
        sent = await ctx.effect("mail", world.send, tuple[int, str])
        seen.append(sent)
        if ctx.grant.attempt < 3:
            raise WorkerLostError("gone")
        return sent[0]

    flow = Workflow("w", int).then(step(mail, retry=again)).commit()
    assert (await stage.start(flow, 1)).output == 1
    assert world.mails == ["mail"]
    assert seen == [(1, "x" * 40_000)] * 3
    (effect,) = await stage.facts(RecordKind.EFFECT)
    assert (effect.step_key, effect.attempt) == ("mail", 1)
    assert json.loads(effect.body)["key"] == "mail"


async def test_effects_of_other_keys_and_other_steps_are_their_own(stage: Stage) -> None:
    world = World()

    async def mail(value: int, ctx: StepContext) -> int:
        await ctx.effect("one", world.send, tuple[int, str])
        await ctx.effect("two", world.send, tuple[int, str])
        return value

    flow = Workflow("w", list[int]).foreach(mail).commit()
    await stage.start(flow, [1, 2])
    assert len(world.mails) == 4


async def test_one_key_asked_for_twice_at_once_acts_once(stage: Stage) -> None:
    world = World()

    async def mail(value: int, ctx: StepContext) -> int:
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(ctx.effect("mail", world.send, tuple[int, str]))
        return value

    await stage.start(Workflow("w", int).then(mail).commit(), 1)
    assert len(world.mails) == 1


async def test_the_idempotency_key_is_the_same_for_every_attempt(stage: Stage) -> None:
    keys: list[str] = []

    async def mail(value: int, ctx: StepContext) -> int:
        keys.append(ctx.grant.idempotency_key)
        if len(keys) < 3:
            raise WorkerLostError("gone")
        return value

    await stage.start(Workflow("w", int).then(step(mail, retry=again)).commit(), 1)
    assert keys == ["run/mail"] * 3


async def test_an_attempt_that_was_left_behind_records_nothing_more(stage: Stage) -> None:
    free = asyncio.Event()
    refused: list[str] = []
    world = World()

    async def stubborn(value: int, ctx: StepContext) -> int:
        if ctx.grant.attempt == 2:
            return value
        while not free.is_set():
            try:
                await free.wait()
            except asyncio.CancelledError:
                continue
        try:
            await ctx.effect("late", world.send, tuple[int, str])
        except StaleOwnerError as error:
            refused.append(error.what)
        return value

    quick = step(stubborn, timeout_s=0.01, retry=again)
    flow = Workflow("w", int).then(quick).commit()
    outcome = await stage.engine(grace_s=0.01).start(flow, 1, run_id=RUN)
    assert outcome.status is RunStatus.DONE
    free.set()
    await settle()
    assert "attempt 1 of stubborn in run run is void" in refused[0]
    assert await stage.facts(RecordKind.EFFECT) == []


async def test_notes_are_kept_for_people(stage: Stage) -> None:
    async def chatty(value: int, ctx: StepContext) -> int:
        await ctx.note("half way")
        return value

    await stage.start(Workflow("w", int).then(chatty).commit(), 1)
    (note,) = await stage.facts(RecordKind.NOTE)
    assert (note.step_key, json.loads(note.body)) == ("chatty", {"text": "half way"})
