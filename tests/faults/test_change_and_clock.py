"""What changes under a run in flight: its definition, and the time."""

import asyncio

import pytest

from orchestration.clock import ManualClock
from orchestration.ids import RunId
from orchestration.workflow.builder import Workflow
from orchestration.workflow.engine import Engine
from orchestration.workflow.in_memory import InMemoryJournal
from tests.faults.conftest import Theatre
from tests.faults.flows import VERBS
from tests.faults.oracle import check_journal, check_work, named, results
from tests.faults.plan import RUN, Fault, Life, Plan, dying, one
from tests.orchestration.workflow.stage import on_manual_clock, settle

HOUR = 3600
TIMELY = {"sleep", "retry"}
"""Verbs that wait for a moment, which they wrote down by the clock of their owner."""


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
    death = named(theatre.undisturbed("foreach"))["after an effect"]
    verdict = theatre.survives("foreach", one(skewed(hours, death)))
    assert verdict["ends"] == [[-9]]


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


@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="a moment is journaled by its owner's clock, not the store's",
)
async def test_a_sleep_begun_by_an_owner_whose_clock_was_ahead_ends_in_time() -> None:
    ahead, right = ManualClock(), ManualClock()
    await ahead.advance(HOUR)
    journal = InMemoryJournal(right)
    flow = Workflow("nap", int).sleep(10).commit()
    first = Engine(journal, owner="owner", clock=ahead, poll_s=1)
    drive = asyncio.create_task(first.start(flow, 1, run_id=RunId(RUN)))
    await settle()
    drive.cancel()
    await asyncio.wait({drive})
    second = Engine(journal, owner="owner", clock=right, poll_s=1)
    await on_manual_clock(right, second.resume(flow, RunId(RUN)), seconds=20)


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in TIMELY])
def test_clocks_may_be_wrong_at_every_named_boundary(theatre: Theatre, verb: str) -> None:
    for death in named(theatre.undisturbed(verb)).values():
        for hours in (1, -1):
            behind = Life(faults=(death,), store_skew_s=-hours * HOUR, skew_s=hours * HOUR)
            theatre.survives(verb, one(skewed(hours, death)), one(behind))
