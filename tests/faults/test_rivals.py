"""Several who would drive one run: 2 to 4 at once, some of them killed."""

import pytest

from tests.faults.conftest import Theatre
from tests.faults.flows import VERBS
from tests.faults.oracle import named
from tests.faults.plan import Fault, Life, one


def rivals(name: str, count: int, *faults: Fault) -> Life:
    return Life(owner=name, engines=count, faults=faults)


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["then", "foreach", "suspend"])
def test_of_several_resumers_one_drives_and_nothing_is_done_twice(
    theatre: Theatre, verb: str
) -> None:
    death = named(theatre.undisturbed(verb))["after an effect"]
    verdict = theatre.survives(verb, one(rivals("a", 2, death)), one(rivals("b", 4)))
    assert verdict["ends"] == [[-9], [0]]


@pytest.mark.slow
def test_a_second_process_is_told_who_has_the_store(theatre: Theatre) -> None:
    verdict = theatre.survives("then", one(Life(owner="a"), Life(owner="b"), Life(owner="c")))
    ends = sorted(verdict["ends"][0])
    assert ends[0] == 0
    assert {said["error"] for said in verdict["said"]} <= {"StoreError"}
    assert len(verdict["said"]) == ends.count(5)
    for said in verdict["said"]:
        assert "is in use by process" in said["what"]


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("verb", VERBS)
def test_rivals_killed_at_every_named_boundary(theatre: Theatre, verb: str) -> None:
    for number, death in enumerate(named(theatre.undisturbed(verb)).values()):
        count = 2 + number % 3
        first, second = rivals("a", count, death), rivals("b", count, Fault(at=count + 3))
        theatre.survives(verb, one(first), one(second))
