"""Retries, timeouts and sleeps, undisturbed, after a crash, and after a resume."""

import asyncio

import pytest

from orchestration.clock import ManualClock
from orchestration.errors import InvalidWorkflowError, UsageError, WorkerLostError
from orchestration.ids import StepKey
from orchestration.workflow.builder import Workflow, step
from orchestration.workflow.in_memory import InMemoryJournal
from orchestration.workflow.journal import NewRecord, RecordKind, RunStatus
from orchestration.workflow.retry import Retry
from orchestration.workflow.shape import Flow
from orchestration.workflow.step import StepContext, Suspension
from tests.orchestration.workflow.stage import (
    RUN,
    Stage,
    add_one,
    fails,
    hangs,
    on_manual_clock,
    settle,
)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def stage(clock: ManualClock) -> Stage:
    return Stage(clock)


class Flaky:
    """Fails so many times, then works; remembers when it was called."""

    def __init__(self, clock: ManualClock, failures: int, error: Exception | None = None) -> None:
        self.clock = clock
        self.failures = failures
        self.error = error or WorkerLostError("gone", "try again")
        self.calls: list[float] = []

    async def work(self, value: int, ctx: StepContext) -> int:
        self.calls.append(self.clock.now())
        if len(self.calls) <= self.failures:
            raise self.error
        return value + 1


def test_backoff_grows_to_its_limit_and_jitters_to_both_sides() -> None:
    retry = Retry(attempts=9, delay_s=1, factor=3, max_delay_s=20, jitter=0.5)
    assert [retry.delay(n, 0.5) for n in (1, 2, 3, 4)] == [1, 3, 9, 20]
    assert (retry.delay(1, 0.0), retry.delay(1, 1.0)) == (0.5, 1.5)


@pytest.mark.parametrize("options", [{"attempts": 0}, {"delay_s": -1}, {"jitter": 2}])
def test_a_senseless_retry_is_refused(options: dict[str, int]) -> None:
    with pytest.raises(InvalidWorkflowError):
        Retry(**options)  # pyright: ignore[reportArgumentType]


async def test_a_flaky_step_is_tried_again_with_backoff(clock: ManualClock, stage: Stage) -> None:
    flaky = Flaky(clock, failures=2)
    flow = Workflow("w", int).then(step(flaky.work, retry=Retry(attempts=3, delay_s=2))).commit()
    outcome = await on_manual_clock(clock, stage.start(flow, 1), seconds=60)
    assert outcome.output == 2
    waits = [b - a for a, b in zip(flaky.calls, flaky.calls[1:], strict=False)]
    assert waits == [2.0, 4.0]
    kinds = [r.kind for r in await stage.facts(RecordKind.STARTED, RecordKind.FAILED)]
    assert kinds == ["started", "failed"] * 2 + ["started"]


async def test_a_step_that_keeps_failing_fails_the_run_with_its_error(
    clock: ManualClock, stage: Stage
) -> None:
    flaky = Flaky(clock, failures=9)
    flow = Workflow("w", int).then(step(flaky.work, retry=Retry(attempts=3))).commit()
    outcome = await on_manual_clock(clock, stage.start(flow, 1), seconds=60)
    assert outcome.error is not None
    assert (outcome.error.name, outcome.error.exit_code) == ("WorkerLostError", 5)
    assert (outcome.error.what, outcome.error.fix) == ("gone", "try again")
    assert len(flaky.calls) == 3


@pytest.mark.parametrize(
    ("retry", "error", "calls"),
    [
        (Retry(attempts=3), UsageError("your fault"), 1),
        (Retry(attempts=3, never=()), UsageError("your fault"), 3),
        (Retry(attempts=3, on=(OSError,)), ValueError("other"), 1),
        (Retry(attempts=3, on=(OSError,)), ConnectionError("net"), 3),
        (Retry(attempts=3, never=(ConnectionError,)), ConnectionError("net"), 1),
    ],
)
async def test_only_errors_worth_it_are_tried_again(
    clock: ManualClock, stage: Stage, retry: Retry, error: Exception, calls: int
) -> None:
    flaky = Flaky(clock, 9, error)
    flow = Workflow("w", int).then(step(flaky.work, retry=retry)).commit()
    await on_manual_clock(clock, stage.start(flow, 1), seconds=60)
    assert len(flaky.calls) == calls


async def crash(stage: Stage, *records: NewRecord) -> None:
    """As if an owner had died after these records: its lease runs out."""
    lease = await stage.journal.claim(RUN, "dead", ttl_s=0.0)
    await InMemoryJournal.append(stage.journal, lease, records)


async def created(stage: Stage, flow: Flow[int, int], value: int) -> None:
    await stage.journal.create_run(
        RUN,
        workflow=flow.id,
        definition=flow.definition,
        title="",
        body=f'{{"lines":[],"output":{value}}}',
    )


async def test_a_crash_is_not_a_failure_and_failures_count_across_crashes(
    clock: ManualClock, stage: Stage
) -> None:
    flaky = Flaky(clock, failures=9)
    flow = Workflow("w", int).then(step(flaky.work, retry=Retry(attempts=3, delay_s=0))).commit()
    await created(stage, flow, 1)
    key = StepKey("work")
    failed = '{"error":{"name":"E","what":"w"},"final":false,"retry_at":0}'
    await crash(stage, NewRecord(RecordKind.STARTED, key, 1))
    await crash(stage, NewRecord(RecordKind.STARTED, key, 2))
    await crash(stage, NewRecord(RecordKind.FAILED, key, 2, failed))
    outcome = await on_manual_clock(clock, stage.resume(flow), seconds=20)
    assert outcome.status is RunStatus.FAILED
    assert len(flaky.calls) == 2
    attempts = [r.attempt for r in await stage.facts(RecordKind.STARTED)]
    assert attempts == [1, 2, 3, 4]


async def test_a_backoff_cut_by_a_crash_ends_at_its_moment(
    clock: ManualClock, stage: Stage
) -> None:
    flaky = Flaky(clock, failures=0)
    flow = Workflow("w", int).then(step(flaky.work, retry=Retry(attempts=3))).commit()
    await created(stage, flow, 1)
    due = clock.now() + 100
    failed = f'{{"error":{{"name":"E","what":"w"}},"final":false,"retry_at":{due}}}'
    key = StepKey("work")
    await crash(
        stage, NewRecord(RecordKind.STARTED, key, 1), NewRecord(RecordKind.FAILED, key, 1, failed)
    )
    await clock.advance(80)
    await on_manual_clock(clock, stage.resume(flow), seconds=30)
    assert flaky.calls == [due]


async def test_retries_hold_after_a_resume(clock: ManualClock, stage: Stage) -> None:
    async def ask(value: int, ctx: StepContext) -> int:
        if ctx.answer is None:
            ctx.suspend(Suspension(label="gate", payload="{}"))
        return value

    flaky = Flaky(clock, failures=2)
    retry = Retry(attempts=3, delay_s=1)
    flow = Workflow("w", int).then(ask).then(step(flaky.work, retry=retry)).commit()
    await on_manual_clock(clock, stage.start(flow, 1), seconds=5)
    await stage.answer(flow, "true")
    outcome = await on_manual_clock(clock, stage.resume(flow), seconds=30)
    assert outcome.output == 2


# --- timeouts ----------------------------------------------------------------------------------


async def test_an_attempt_that_takes_too_long_is_stopped_and_counts_as_failed(
    clock: ManualClock, stage: Stage
) -> None:
    flow = (
        Workflow("w", int)
        .then(step(hangs, timeout_s=5, retry=Retry(attempts=2, delay_s=1)))
        .commit()
    )
    began = clock.now()
    outcome = await on_manual_clock(clock, stage.start(flow, 1), seconds=30)
    assert outcome.error is not None
    assert outcome.error.name == "TimeoutError"
    assert "ran for longer than 5 s" in outcome.error.what
    assert [r.at - began for r in await stage.facts(RecordKind.FAILED)] == [5.0, 11.0]


async def test_a_step_may_not_take_longer_than_its_total_however_often_it_is_tried(
    clock: ManualClock, stage: Stage
) -> None:
    patient = Retry(attempts=99, delay_s=1, factor=1)
    flow = Workflow("w", int).then(step(hangs, timeout_s=4, total_s=12, retry=patient)).commit()
    began = clock.now()
    outcome = await on_manual_clock(clock, stage.start(flow, 1), seconds=60)
    assert outcome.error is not None
    assert outcome.error.name == "BudgetExceededError"
    assert [r.at - began for r in await stage.facts(RecordKind.FAILED)] == [4.0, 9.0, 12.0]


async def test_the_total_keeps_counting_across_a_crash(clock: ManualClock, stage: Stage) -> None:
    flow = Workflow("w", int).then(step(hangs, total_s=12)).commit()
    await created(stage, flow, 1)
    began = clock.now()
    await crash(stage, NewRecord(RecordKind.STARTED, StepKey("hangs"), 1))
    await clock.advance(10)
    outcome = await on_manual_clock(clock, stage.resume(flow), seconds=10)
    assert outcome.error is not None
    assert outcome.error.name == "BudgetExceededError"
    (failed,) = await stage.facts(RecordKind.FAILED)
    assert failed.at - began == 12


async def test_a_step_that_refuses_to_stop_is_left_behind(stage: Stage) -> None:
    free = asyncio.Event()

    async def stubborn(value: int) -> int:
        while not free.is_set():
            try:
                await free.wait()
            except asyncio.CancelledError:
                continue
        return value

    flow = Workflow("w", int).then(step(stubborn, timeout_s=0.01)).commit()
    quick = Stage()
    outcome = await quick.engine(grace_s=0.01).start(flow, 1, run_id=RUN)
    assert outcome.error is not None
    assert outcome.error.name == "TimeoutError"
    free.set()
    await asyncio.sleep(0)


# --- sleeps ------------------------------------------------------------------------------------


async def test_a_sleep_waits_and_passes_the_value_through(clock: ManualClock, stage: Stage) -> None:
    flow = Workflow("w", int).sleep(600).sleep(lambda v: v * 10).then(add_one).commit()
    began = clock.now()
    outcome = await on_manual_clock(clock, stage.start(flow, 6), seconds=700, stride=5)
    assert outcome.output == 7
    assert (await stage.facts(RecordKind.STARTED))[0].at - began == 660


async def test_a_sleep_of_ten_minutes_killed_at_minute_eight_wakes_after_two_more(
    clock: ManualClock, stage: Stage
) -> None:
    flow = Workflow("w", int).sleep(600).then(add_one).commit()
    began = clock.now()
    first = asyncio.create_task(stage.start(flow, 6))
    await settle()
    for _ in range(48):
        await clock.advance(10)
    first.cancel()
    await asyncio.wait([first])
    outcome = await on_manual_clock(clock, stage.resume(flow), seconds=130, stride=5)
    assert outcome.output == 7
    assert (await stage.facts(RecordKind.STARTED))[0].at - began == 600
    assert len(await stage.facts(RecordKind.SLEEPING)) == 1


async def test_sleep_until_waits_for_a_moment(clock: ManualClock, stage: Stage) -> None:
    moment = clock.now() + 50
    flow = Workflow("w", int).sleep_until(lambda v: moment).then(add_one).commit()
    await on_manual_clock(clock, stage.start(flow, 6), seconds=60)
    assert (await stage.facts(RecordKind.STARTED))[0].at == moment


async def test_a_moment_in_the_past_is_no_wait(clock: ManualClock, stage: Stage) -> None:
    flow = Workflow("w", int).sleep_until(lambda v: clock.now() - 5).then(add_one).commit()
    outcome = await on_manual_clock(clock, stage.start(flow, 6), seconds=1)
    assert outcome.output == 7


async def test_a_sleep_whose_function_raises_fails_the_run_by_name(
    clock: ManualClock, stage: Stage
) -> None:
    flow = Workflow("w", int).sleep(lambda v: 1 / v).then(add_one).commit()
    outcome = await on_manual_clock(clock, stage.start(flow, 0), seconds=1)
    assert outcome.error is not None
    assert "sleep 'sleep-1' raised ZeroDivisionError" in outcome.error.what


async def test_cancel_cuts_backoff_and_sleep_short(clock: ManualClock, stage: Stage) -> None:
    never = step(fails, retry=Retry(attempts=9, delay_s=1000, max_delay_s=1000))
    sleepy = Workflow("sleepy", int).sleep(1000).commit()
    flow = Workflow("w", int).parallel(never, sleepy).commit()
    task = asyncio.create_task(stage.start(flow, 1))
    await settle()
    await clock.advance(5)
    await stage.journal.request_cancel(RUN, by="tester")
    await clock.advance(2)
    outcome = await task
    assert outcome.status is RunStatus.CANCELLED


async def test_failures_are_counted_anew_after_an_answer(clock: ManualClock, stage: Stage) -> None:
    luck = iter([OSError("1"), OSError("2"), None, OSError("3"), OSError("4"), None])

    async def moody(value: int, ctx: StepContext) -> int:
        if (error := next(luck)) is not None:
            raise error
        if ctx.answer is None:
            ctx.suspend(Suspension(label="gate", payload="{}"))
        return value

    flow = Workflow("w", int).then(step(moody, retry=Retry(attempts=3, delay_s=0))).commit()
    await on_manual_clock(clock, stage.start(flow, 1), seconds=5)
    await stage.answer(flow, "true")
    outcome = await on_manual_clock(clock, stage.resume(flow), seconds=5)
    assert outcome.output == 1


async def test_a_deadline_that_no_longer_counts_does_not_cut_a_backoff_short(
    clock: ManualClock, stage: Stage
) -> None:
    called: list[float] = []

    async def moody(value: int, ctx: StepContext) -> int:
        called.append(clock.now())
        if ctx.answer is None:
            deadline = clock.now() + 10
            ctx.suspend(Suspension(label="gate", payload="{}", deadline=deadline, default="1"))
        if len(called) == 2:
            raise OSError("once")
        return value

    async def slow(value: int) -> int:
        await clock.sleep(200)
        return value

    patient = step(moody, retry=Retry(attempts=2, delay_s=100, max_delay_s=100))
    flow = Workflow("w", int).parallel(patient, slow).commit()
    task = asyncio.create_task(stage.start(flow, 1))
    await settle()
    await clock.advance(2)
    await stage.answer(flow, "2")
    await clock.advance(300)
    await task
    assert called[2] - called[1] == 100


async def test_no_task_is_left_when_a_run_has_ended(clock: ManualClock, stage: Stage) -> None:
    before = asyncio.all_tasks()
    quick = step(add_one, timeout_s=1000, total_s=2000)
    flow = Workflow("w", int).then(quick).parallel(step(hangs, timeout_s=5), fails).commit()
    await on_manual_clock(clock, stage.start(flow, 1), seconds=20)
    await settle()
    assert asyncio.all_tasks() == before
