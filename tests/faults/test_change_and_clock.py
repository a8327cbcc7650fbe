"""What changes under a run in flight: its definition, and the time."""

import asyncio

import pytest

from orchestration.clock import ManualClock
from orchestration.ids import RunId
from orchestration.workflow.builder import Workflow, step
from orchestration.workflow.engine import Engine
from orchestration.workflow.in_memory import InMemoryJournal
from orchestration.workflow.outcome import RunOutcome
from orchestration.workflow.retry import Retry
from orchestration.workflow.step import StepContext, Suspension
from tests.faults.conftest import Theatre
from tests.faults.flows import VERBS
from tests.faults.oracle import check_journal, check_work, named, results
from tests.faults.plan import RUN, Fault, Life, Plan, dying, one
from tests.orchestration.workflow.stage import on_manual_clock, settle

HOUR = 3600
TIMELY = {"sleep", "retry", "sleep_until"}
"""Verbs that wait for a moment of the store's clock: if that goes back, they wait longer."""


@pytest.mark.slow
def test_a_changed_workflow_is_refused_and_the_old_one_goes_on(theatre: Theatre) -> None:
    half = named(theatre.undisturbed("then"))["after a step"]
    verdict = theatre.survives("then", one(dying(half)), one(Life(variant="changed")))
    assert verdict["ends"] == [[-9], [5]]
    [said] = verdict["said"]
    assert said["error"] == "ConflictError"
    assert "+ fourth: step" in said["what"]
    assert "first" not in said["what"]
    assert [r["kind"] for r in verdict["records"]].count("claimed") == 2, "the refused one: none"


@pytest.mark.slow
def test_a_compatible_change_takes_over_what_is_done(theatre: Theatre) -> None:
    before = theatre.undisturbed("then")
    half = named(before)["after a step"]
    last = Life(variant="compatible")
    verdict = theatre.play(Plan(flow="then", rounds=(one(dying(half)),), last=last))
    check_journal(verdict)
    check_work(verdict)
    assert (verdict["status"], verdict["output"]) == ("done", 2 * before["output"] + 1)
    assert results(verdict).items() >= results(before).items()


def skewed(hours: int, death: Fault) -> Life:
    return Life(faults=(death,), skew_s=hours * HOUR)


@pytest.mark.slow
@pytest.mark.parametrize("hours", [1, -1])
def test_an_owner_whose_clock_is_wrong_changes_nothing(theatre: Theatre, hours: int) -> None:
    for verb in ("foreach", "sleep"):
        death = named(theatre.undisturbed(verb))["after an intent"]
        verdict = theatre.survives(verb, one(skewed(hours, death)), one(skewed(-hours, death)))
        assert verdict["ends"][0] == [-9]


@pytest.mark.slow
@pytest.mark.parametrize("hours", [1, -1])
def test_an_owners_clock_may_jump(theatre: Theatre, hours: int) -> None:
    moment = named(theatre.undisturbed("dountil"))["after an intent"]
    jump = moment.model_copy(update={"do": "jump", "seconds": hours * HOUR})
    assert theatre.survives("dountil", one(dying(jump)))["ends"] == [[0]]


@pytest.mark.slow
def test_after_the_stores_clock_went_back_its_owner_goes_on_and_others_are_told(
    theatre: Theatre,
) -> None:
    death = named(theatre.undisturbed("then"))["after an effect"]
    ahead = Life(faults=(death,), store_skew_s=HOUR)
    other = Life(owner="other", waits=False)
    verdict = theatre.survives("then", one(ahead), one(other))
    assert verdict["ends"] == [[-9], [5]]
    [said] = verdict["said"]
    assert said["error"] == "RunOwnedError"
    assert "take it over" in said["fix"]


class Astray(ManualClock):
    """The wall clock of a machine that is wrong about the time."""

    def __init__(self, right: ManualClock, wrong_by: float) -> None:
        super().__init__()
        self.right, self.wrong_by = right, wrong_by

    def now(self) -> float:
        return self.right.now() + self.wrong_by

    def ticks(self) -> float:
        return self.right.ticks()

    async def sleep(self, seconds: float) -> None:
        await self.right.sleep(seconds)


async def nap(value: int) -> int:
    if value < 3:
        raise OSError("tired")
    return value


async def ask(value: int, ctx: StepContext) -> int:
    if ctx.answer is None:
        asked = Suspension(label="ask", payload="{}", deadline=ctx.now() + 10, default="7")
        ctx.suspend(asked)
    return ctx.answer


WAITS = {
    "a sleep": Workflow("w", int).sleep(10).commit(),
    "a moment": Workflow("w", int).sleep_until(lambda _: ManualClock().now() + 10).commit(),
    "a backoff": Workflow("w", int)
    .then(step(nap, retry=Retry(attempts=2, delay_s=10, jitter=0)))
    .commit(),
    "a deadline": Workflow("w", int)
    .parallel(step(ask, answers=int), Workflow("by", int).sleep(12).commit())
    .commit(),
}


@pytest.mark.parametrize("hours", [1, -1])
@pytest.mark.parametrize("wait", WAITS)
async def test_a_wait_begun_by_an_owner_whose_clock_is_wrong_ends_in_time(
    wait: str, hours: int
) -> None:
    right, flow = ManualClock(), WAITS[wait]
    journal = InMemoryJournal(right)
    first = Engine(journal, owner="owner", clock=Astray(right, hours * HOUR), poll_s=1)
    drive = asyncio.create_task(first.start(flow, 1, run_id=RunId(RUN)))
    await settle()
    drive.cancel()
    await asyncio.wait({drive})
    await right.advance(5)
    second = Engine(journal, owner="owner", clock=Astray(right, -hours * HOUR), poll_s=1)
    drive = asyncio.create_task(second.resume(flow, RunId(RUN)))
    await settle()
    for _ in range(4):
        await right.advance(1)
        await settle()
    assert not drive.done(), "too soon"
    await on_manual_clock(right, _ended(drive), seconds=5)


async def _ended(drive: "asyncio.Task[RunOutcome]") -> None:
    await asyncio.wait({drive})
    assert drive.result().status.ended


async def test_an_owners_clock_that_jumps_wakes_nobody_early_or_late() -> None:
    right = ManualClock()
    wall = Astray(right, 0)
    journal = InMemoryJournal(right)
    engine = Engine(journal, owner="owner", clock=wall, poll_s=1)
    drive = asyncio.create_task(engine.start(WAITS["a sleep"], 1, run_id=RunId(RUN)))
    for wall.wrong_by in (HOUR, -HOUR, 0, HOUR, -HOUR, HOUR, -HOUR, HOUR, -HOUR):
        await settle()
        await right.advance(1)
    await settle()
    assert not drive.done(), "nine seconds have passed"
    await on_manual_clock(right, _ended(drive), seconds=2)


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("verb", VERBS)
def test_clocks_may_be_wrong_at_every_named_boundary(theatre: Theatre, verb: str) -> None:
    for death in named(theatre.undisturbed(verb)).values():
        for hours in (1, -1):
            store = 0 if verb in TIMELY else -hours * HOUR
            behind = Life(faults=(death,), store_skew_s=store, skew_s=-hours * HOUR)
            theatre.survives(verb, one(skewed(hours, death)), one(behind))
