"""One owner per run: claims, renewals, fences, take-overs, recoveries and cancels."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest

from orchestration.clock import Clock, ManualClock, SystemClock
from orchestration.errors import (
    ConflictError,
    NotFoundError,
    RunOwnedError,
    StaleOwnerError,
    StoreError,
)
from orchestration.ids import RunId, StepKey
from orchestration.workflow.builder import Workflow
from orchestration.workflow.in_memory import InMemoryJournal
from orchestration.workflow.journal import Lease, NewRecord, RecordKind, RunStatus
from orchestration.workflow.outcome import outcome_of
from orchestration.workflow.shape import Flow
from orchestration.workflow.step import StepContext, Suspension
from tests.orchestration.workflow.stage import (
    RUN,
    Stage,
    add_one,
    double,
    fails,
    hangs,
    on_manual_clock,
    settle,
)


class Gate:
    """A step that waits to be let through, and counts who is inside."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.entered = 0
        self.cancelled = 0

    async def wait(self, value: int, ctx: StepContext) -> int:
        self.entered += 1
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return value + 1


@pytest.fixture
def gate() -> Gate:
    return Gate()


def gated(gate: Gate) -> Flow[int, int]:
    return Workflow("w", int).then(add_one).then(gate.wait).then(double).commit()


async def test_starting_the_same_run_again_attaches_to_its_outcome(stage: Stage) -> None:
    flow = Workflow("w", int).then(add_one).commit()
    first = await stage.start(flow, 1)
    again = await stage.start(flow, 1)
    assert again == first
    assert await stage.keys(RecordKind.STARTED) == ["add_one"]


async def test_starting_the_same_run_with_another_input_is_refused(stage: Stage) -> None:
    flow = Workflow("w", int).then(add_one).commit()
    await stage.start(flow, 1)
    with pytest.raises(ConflictError, match="exists with another input"):
        await stage.start(flow, 2)


async def test_of_two_drivers_one_wins_and_the_other_is_told(stage: Stage, gate: Gate) -> None:
    flow = gated(gate)
    task = asyncio.create_task(stage.start(flow, 1))
    await settle()
    with pytest.raises(RunOwnedError, match="driven by owner"):
        await stage.engine("other").start(flow, 1, run_id=RUN)
    with pytest.raises(RunOwnedError):
        await stage.engine("other").resume(flow, RUN)
    gate.open.set()
    assert (await task).output == 6
    assert gate.entered == 1


async def test_a_run_that_is_taken_over_fences_its_old_owner(stage: Stage, gate: Gate) -> None:
    flow = gated(gate)
    old = asyncio.create_task(stage.start(flow, 1))
    await settle()
    new = asyncio.create_task(stage.engine("other").resume(flow, RUN, take_over=True))
    with pytest.raises(StaleOwnerError, match=r"taken over by other|no longer owns"):
        await old
    assert gate.cancelled == 1
    gate.open.set()
    assert (await new).output == 6
    assert await stage.done() == ["add_one", "wait", "double"]


async def test_a_stale_owners_late_result_is_refused(gate: Gate) -> None:
    stage = Stage()
    flow = gated(gate)
    old = asyncio.create_task(stage.engine(poll_s=100).start(flow, 1, run_id=RUN))
    await settle()
    lease = await stage.journal.claim(RUN, "other", take_over=True)
    gate.open.set()
    with pytest.raises(StaleOwnerError):
        await old
    assert await stage.done() == ["add_one"]
    await InMemoryJournal.append(stage.journal, lease, (), release=True, status=RunStatus.PENDING)
    assert (await stage.resume(flow)).output == 6


async def test_the_lease_is_renewed_for_as_long_as_the_run_is_driven(gate: Gate) -> None:
    clock = ManualClock()
    stage = Stage(clock)
    task = asyncio.create_task(stage.engine(lease_ttl_s=15).start(gated(gate), 1, run_id=RUN))
    await settle()
    for _ in range(60):
        await clock.advance(1)
        info = await stage.journal.info(RUN)
        assert info.lease_until - clock.now() >= 9
    gate.open.set()
    assert (await task).status is RunStatus.DONE


async def test_a_dead_owners_run_is_claimed_once_its_lease_has_run_out() -> None:
    clock = ManualClock()
    stage = Stage(clock)
    flow = Workflow("w", int).then(add_one).commit()
    await create(stage, flow)
    await stage.journal.claim(RUN, "dead", ttl_s=15)
    with pytest.raises(RunOwnedError):
        await stage.resume(flow)
    await clock.advance(15)
    assert (await stage.resume(flow)).output == 2


async def test_the_same_owner_restarted_claims_at_once() -> None:
    stage = Stage(ManualClock())
    flow = Workflow("w", int).then(add_one).commit()
    await create(stage, flow)
    await stage.journal.claim(RUN, "owner", ttl_s=15)
    assert (await stage.resume(flow)).output == 2


async def create(stage: Stage, flow: Flow[int, int]) -> None:
    await stage.journal.create_run(
        RUN,
        workflow=flow.id,
        definition=flow.definition,
        title="",
        body='{"lines":[],"output":1}',
    )


class StoppedWall(SystemClock):
    """Set back again and again, so that it shows one moment for ever."""

    def now(self) -> float:
        return 1_800_000_000.0


@pytest.mark.parametrize("clock", [SystemClock(), StoppedWall()])
async def test_an_owner_whose_loop_was_blocked_past_its_lease_acts_no_more(clock: Clock) -> None:
    """The loop stands still for longer than the lease; meanwhile another process takes over."""
    stage = Stage(clock)
    effects: list[str] = []

    async def blocking(value: int, ctx: StepContext) -> int:
        time.sleep(0.05)  # noqa: ASYNC251 - the fault under test
        await stage.journal.claim(RUN, "other", take_over=True)
        await ctx.effect("mail", lambda: note(effects), int)
        return value

    flow = Workflow("w", int).then(blocking).commit()
    with pytest.raises(StaleOwnerError):
        await stage.engine(lease_ttl_s=0.03, poll_s=0.01).start(flow, 1, run_id=RUN)
    assert effects == []


async def test_a_step_is_not_begun_when_recording_its_start_took_longer_than_the_lease() -> None:
    stage = Stage()
    begun: list[int] = []

    async def slow(lease: Lease, records: Sequence[NewRecord], **more: Any) -> int:
        last = await InMemoryJournal.append(stage.journal, lease, records, **more)
        if any(r.kind is RecordKind.STARTED and r.step_key == "second" for r in records):
            time.sleep(0.05)  # noqa: ASYNC251 - the fault under test
            await stage.journal.claim(RUN, "other", take_over=True)
        return last

    async def second(value: int) -> int:
        begun.append(value)
        return value

    stage.journal.append = slow  # type: ignore[method-assign] # pyright: ignore
    flow = Workflow("w", int).then(add_one).then(second).commit()
    with pytest.raises(StaleOwnerError):
        await stage.engine(lease_ttl_s=0.03, poll_s=0.01).start(flow, 1, run_id=RUN)
    assert begun == []


async def note(effects: list[str]) -> int:
    effects.append("sent")
    return 1


async def test_a_blocked_owner_that_nobody_replaced_goes_on(stage: Stage) -> None:
    async def blocking(value: int, ctx: StepContext) -> int:
        time.sleep(0.05)  # noqa: ASYNC251 - the fault under test
        return await ctx.effect("mail", lambda: note([]), int)

    flow = Workflow("w", int).then(blocking).then(double).commit()
    outcome = await stage.engine(lease_ttl_s=0.03).start(flow, 1, run_id=RUN)
    assert outcome.output == 2


async def test_an_owner_stops_when_the_store_is_away_for_longer_than_its_lease(gate: Gate) -> None:
    stage = Stage()
    task = asyncio.create_task(
        stage.engine(lease_ttl_s=0.03, poll_s=0.005).start(gated(gate), 1, run_id=RUN)
    )
    await settle()

    async def away(*args: object, **options: object) -> None:
        raise StoreError("the store is away", "wait")

    stage.journal.renew = away  # type: ignore[method-assign, assignment] # pyright: ignore
    with pytest.raises(StaleOwnerError, match="ran out while the store was away"):
        await task
    assert gate.cancelled == 1


# --- recovery ----------------------------------------------------------------------------------


async def crash(stage: Stage, *records: NewRecord) -> None:
    lease = await stage.journal.claim(RUN, "dead", ttl_s=0.0)
    await InMemoryJournal.append(stage.journal, lease, records)  # what was written is known


async def test_a_run_recovered_three_times_without_progress_is_a_dead_letter(stage: Stage) -> None:
    flow = Workflow("w", int).then(add_one).then(double).commit()
    await create(stage, flow)
    for attempt in range(1, 5):
        await crash(stage, NewRecord(RecordKind.STARTED, StepKey("add_one"), attempt))
    outcome = await stage.start(flow, 1)
    assert outcome.status is RunStatus.DEAD_LETTER
    assert outcome.error is not None
    assert (outcome.error.exit_code, outcome.error.name) == (5, "DeadLetter")
    assert (await stage.start(flow, 1)).status is RunStatus.DEAD_LETTER
    assert (await outcome_of(stage.journal, flow, RUN)).status is RunStatus.DEAD_LETTER


async def test_resuming_a_dead_letter_gives_it_a_fresh_budget(stage: Stage) -> None:
    flow = Workflow("w", int).then(add_one).then(double).commit()
    await create(stage, flow)
    for attempt in range(1, 5):
        await crash(stage, NewRecord(RecordKind.STARTED, StepKey("add_one"), attempt))
    await stage.start(flow, 1)
    assert (await stage.resume(flow)).output == 4


async def test_recoveries_with_progress_do_not_count(stage: Stage) -> None:
    flow = Workflow("w", int).then(add_one).then(double).commit()
    await create(stage, flow)
    key = StepKey("add_one")
    for attempt in range(1, 5):
        await crash(stage, NewRecord(RecordKind.STARTED, key, attempt))
        await crash(stage, NewRecord(RecordKind.TURN, key, attempt))
    assert (await stage.resume(flow)).output == 4


async def test_a_driver_that_is_told_to_stop_gives_the_run_up_at_once(
    stage: Stage, gate: Gate
) -> None:
    task = asyncio.create_task(stage.start(gated(gate), 1))
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    info = await stage.journal.info(RUN)
    assert (info.status, info.owner, gate.cancelled) == (RunStatus.PENDING, "", 1)
    gate.open.set()
    assert (await stage.engine("other").resume(gated(gate), RUN)).output == 6


@pytest.mark.parametrize("how", ["done", "failed", "cancelled"])
async def test_an_ended_run_is_not_resumed(stage: Stage, how: str) -> None:
    flow = Workflow("w", int).then(fails if how == "failed" else add_one).commit()
    if how == "cancelled":
        await create(stage, flow)
        await stage.journal.request_cancel(RUN, by="me")
    else:
        await stage.start(flow, 1)
    before = await stage.facts()
    with pytest.raises(ConflictError, match=rf"has ended \({how}\)"):
        await stage.resume(flow)
    assert await stage.facts() == before


async def test_an_unknown_run_is_named(stage: Stage) -> None:
    flow = Workflow("w", int).then(add_one).commit()
    with pytest.raises(NotFoundError, match="no run nobody"):
        await stage.engine().resume(flow, RunId("nobody"))
    with pytest.raises(NotFoundError, match="no run nobody"):
        await outcome_of(stage.journal, flow, RunId("nobody"))


# --- outcome -----------------------------------------------------------------------------------


async def test_any_process_can_report_how_a_run_ended(stage: Stage) -> None:
    flow = Workflow("w", int).then(add_one).then(fails).commit()
    outcome = await stage.start(flow, 1)
    assert await outcome_of(stage.journal, None, RUN) == outcome
    assert outcome.error is not None
    assert (outcome.error.name, outcome.error.what) == ("RuntimeError", "no luck with 2")
    assert (outcome.error.step_key, outcome.error.exit_code) == ("fails", 1)


async def test_an_output_is_read_with_its_type_or_as_plain_json(stage: Stage) -> None:
    async def pair(value: int) -> tuple[int, str]:
        return value, "x"

    flow = Workflow("w", int).then(pair).commit()
    await stage.start(flow, 1)
    assert (await outcome_of(stage.journal, flow, RUN)).output == (1, "x")
    assert (await outcome_of(stage.journal, None, RUN)).output == [1, "x"]


# --- cancel ------------------------------------------------------------------------------------


async def test_any_process_can_cancel_and_the_owner_stops_the_running_step(
    stage: Stage, gate: Gate
) -> None:
    task = asyncio.create_task(stage.start(gated(gate), 1))
    await settle()
    assert await stage.journal.request_cancel(RUN, by="ann") is True
    outcome = await task
    assert (outcome.status, gate.cancelled) == (RunStatus.CANCELLED, 1)
    assert outcome.error is not None
    assert (outcome.error.name, outcome.error.what) == (
        "RunCancelledError",
        "the run was cancelled by ann",
    )
    assert (await stage.journal.info(RUN)).status is RunStatus.CANCELLED
    assert await stage.journal.request_cancel(RUN, by="bob") is False


async def test_a_cancel_is_noticed_within_a_second() -> None:
    clock = ManualClock()
    stage = Stage(clock)
    flow = Workflow("w", int).then(hangs).commit()
    task = asyncio.create_task(stage.engine(poll_s=1.0).start(flow, 1, run_id=RUN))
    await settle()
    await clock.advance(4.5)
    await stage.journal.request_cancel(RUN, by="ann")
    asked = clock.now()
    outcome = await on_manual_clock(clock, asyncio.wait_for(task, None), seconds=3, stride=0.1)
    assert outcome.status is RunStatus.CANCELLED
    (finished,) = await stage.facts(RecordKind.FINISHED)
    assert finished.at - asked <= 1.0


async def test_a_suspended_run_is_cancelled_at_once(stage: Stage) -> None:
    async def ask(value: int, ctx: StepContext) -> int:
        ctx.suspend(Suspension(label="gate", payload="{}"))

    flow = Workflow("w", int).then(ask).commit()
    await stage.start(flow, 1)
    assert await stage.journal.request_cancel(RUN, by="ann") is True
    outcome = await stage.start(flow, 1)
    assert outcome.status is RunStatus.CANCELLED
    with pytest.raises(NotFoundError):
        await stage.answer(flow, "1", "gate")


async def test_a_cancel_wins_over_a_late_success(stage: Stage) -> None:
    async def last(value: int) -> int:
        await stage.journal.request_cancel(RUN, by="ann")
        return value

    flow = Workflow("w", int).then(last).commit()
    outcome = await stage.engine(poll_s=100).start(flow, 1, run_id=RUN)
    assert outcome.status is RunStatus.CANCELLED
    assert (await stage.journal.info(RUN)).status is RunStatus.CANCELLED


async def test_a_cancel_wins_over_a_suspension(stage: Stage) -> None:
    async def ask(value: int, ctx: StepContext) -> int:
        await stage.journal.request_cancel(RUN, by="ann")
        ctx.suspend(Suspension(label="gate", payload="{}"))

    flow = Workflow("w", int).then(ask).commit()
    outcome = await stage.engine(poll_s=100).start(flow, 1, run_id=RUN)
    assert outcome.status is RunStatus.CANCELLED


async def test_a_step_that_refuses_to_be_cancelled_holds_the_run_only_for_its_grace() -> None:
    free = asyncio.Event()

    async def stubborn(value: int) -> int:
        while not free.is_set():
            try:
                await free.wait()
            except asyncio.CancelledError:
                continue
        return value

    stage = Stage()
    flow = Workflow("w", int).then(stubborn).then(double).commit()
    task = asyncio.create_task(stage.engine(grace_s=0.01).start(flow, 1, run_id=RUN))
    await settle()
    await stage.journal.request_cancel(RUN, by="ann")
    assert (await task).status is RunStatus.CANCELLED
    free.set()
    await settle()
    assert await stage.done() == []


async def test_a_cancel_left_by_a_dead_owner_is_obeyed_by_the_next(stage: Stage) -> None:
    flow = Workflow("w", int).then(add_one).commit()
    await create(stage, flow)
    await stage.journal.claim(RUN, "owner", ttl_s=15)
    await stage.journal.request_cancel(RUN, by="ann")
    outcome = await stage.resume(flow)
    assert outcome.status is RunStatus.CANCELLED
    assert await stage.done() == []


async def test_of_many_resumers_at_once_exactly_one_drives(stage: Stage, gate: Gate) -> None:
    flow = gated(gate)
    await create(stage, flow)
    engines = [stage.engine(f"owner-{n}") for n in range(4)]
    tasks = [asyncio.create_task(engine.resume(flow, RUN)) for engine in engines]
    await settle()
    gate.open.set()
    done, _ = await asyncio.wait(tasks)
    errors = [task.exception() for task in done if task.exception() is not None]
    assert [type(error) for error in errors] == [RunOwnedError] * 3
    assert gate.entered == 1
    assert (await outcome_of(stage.journal, flow, RUN)).output == 6


async def test_three_recoveries_are_granted(stage: Stage) -> None:
    flow = Workflow("w", int).then(add_one).then(double).commit()
    await create(stage, flow)
    for attempt in range(1, 4):
        await crash(stage, NewRecord(RecordKind.STARTED, StepKey("add_one"), attempt))
    assert (await stage.start(flow, 1)).output == 4
