"""SIGKILL at every boundary, again on the resume, for every verb."""

import random

import pytest

from tests.faults.conftest import Theatre
from tests.faults.flows import VERBS
from tests.faults.oracle import moments, named
from tests.faults.plan import Fault, Life, Round, dying, one

SIDE_BY_SIDE = {"parallel", "foreach", "suspend"}
"""Flows whose writes may be joined or not, so that their last one may come sooner."""
KILLED = [-9]


def a_death_on_the_resume(dice: random.Random) -> Round:
    """The resuming life creates, claims, then writes: it dies at one of its first moments."""
    return one(dying(Fault(at=dice.randrange(6), when=dice.choice(["before", "after"]))))


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_killed_and_killed_on_the_resume_it_ends_as_if_undisturbed(
    theatre: Theatre, verb: str
) -> None:
    dice = random.Random(verb)
    moments_of_each_name = list(named(theatre.undisturbed(verb)).values())
    for moment in moments_of_each_name[VERBS.index(verb) % 2 :: 2]:
        verdict = theatre.survives(verb, one(dying(moment)), a_death_on_the_resume(dice))
        assert verdict["ends"][0] == KILLED


@pytest.mark.slow
def test_killed_while_it_waits_for_a_person_it_asks_once_and_hears_the_answer(
    theatre: Theatre,
) -> None:
    writes: list[str] = theatre.undisturbed("suspend")["writes"]
    decision = writes.index("decide")
    waiting = one(Life(answers=False))
    for fault in (
        Fault(at=decision - 1, when="before"),
        Fault(at=decision - 1, when="after"),
        Fault(at=decision, when="before"),
        Fault(at=decision, when="after"),
    ):
        theatre.survives("suspend", one(dying(fault)), waiting)
    # A life that finds the run suspended: creates, claims, releases, and then decides.
    verdict = theatre.survives("suspend", waiting, waiting, one(dying(Fault(at=3, when="after"))))
    assert verdict["ends"] == [[3], [3], KILLED]


@pytest.mark.slow
def test_a_run_that_kills_its_owner_is_set_aside_until_a_person_resumes_it(
    theatre: Theatre,
) -> None:
    deaths = [one(dying(Fault(at=2, when="before")))] * 4
    theatre.survives("then", *deaths, one(dying(Fault(at=2, when="after"))))


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("verb", VERBS)
def test_killed_at_every_boundary_and_again_on_the_resume(theatre: Theatre, verb: str) -> None:
    dice = random.Random(verb)
    for moment in moments(theatre.undisturbed(verb)):
        again = [a_death_on_the_resume(dice) for _ in range(dice.randrange(3))]
        verdict = theatre.survives(verb, one(dying(moment)), *again)
        assert verdict["ends"][0] == KILLED or verb in SIDE_BY_SIDE, moment
