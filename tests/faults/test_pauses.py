"""An owner that stands still for longer than its lease, and then goes on."""

import pytest

from tests.faults.conftest import Theatre
from tests.faults.flows import VERBS
from tests.faults.oracle import moments, named
from tests.faults.plan import TTL_S, Fault, Life, dying, one

PAST_THE_LEASE = 1.3 * TTL_S
INTRUDER = Life(owner="other", waits=False)


def still(fault: Fault, do: str) -> Life:
    return Life(faults=(fault.model_copy(update={"do": do, "seconds": PAST_THE_LEASE}),))


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["foreach"])
def test_a_stopped_owner_that_nobody_replaced_goes_on(theatre: Theatre, verb: str) -> None:
    moment = named(theatre.undisturbed(verb))["after an intent"]
    frozen = one(still(moment, "stop"), pause_s=PAST_THE_LEASE)
    verdict = theatre.survives(verb, frozen, one(INTRUDER))
    assert verdict["ends"] == [[-19], [5]]
    assert verdict["woken"] == [0]
    [said] = verdict["said"]
    assert "is in use by process" in said["what"]


@pytest.mark.slow
def test_an_owner_whose_loop_is_blocked_past_its_lease_goes_on(theatre: Theatre) -> None:
    moment = named(theatre.undisturbed("then"))["after an effect"]
    verdict = theatre.survives("then", one(still(moment, "block")))
    assert verdict["ends"] == [[0]]


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("verb", VERBS)
def test_an_owner_stopped_anywhere_goes_on(theatre: Theatre, verb: str) -> None:
    undisturbed = theatre.undisturbed(verb)
    for moment in (*named(undisturbed).values(), *moments(undisturbed)[3::10]):
        verdict = theatre.survives(verb, one(still(moment, "stop"), pause_s=PAST_THE_LEASE))
        assert verdict["woken"] == [0]


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("verb", VERBS)
def test_a_resumer_stopped_anywhere_goes_on(theatre: Theatre, verb: str) -> None:
    for number, death in enumerate(named(theatre.undisturbed(verb)).values()):
        resumer = still(Fault(at=1 + number, when="after"), "stop")
        frozen = one(resumer, pause_s=PAST_THE_LEASE)
        verdict = theatre.survives(verb, one(dying(death)), frozen)
        assert verdict["ends"][0] == [-9]
