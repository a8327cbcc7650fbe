"""A store that loses acknowledgements, is slow, locked, away, or has lost a blob."""

import pytest

from tests.faults.conftest import Theatre
from tests.faults.flows import VERBS
from tests.faults.oracle import moments, named
from tests.faults.plan import TTL_S, Fault, Life, dying, one

LONG = 1.5 * TTL_S


def losing(at: int, when: str) -> Life:
    return Life(faults=(Fault(at=at, do="lose", when=when),), tries=2)  # type: ignore[arg-type] # pyright: ignore


@pytest.mark.slow
def test_a_write_whose_acknowledgement_is_lost_is_made_once(theatre: Theatre) -> None:
    for at in range(len(theatre.undisturbed("then")["writes"])):
        verdict = theatre.survives("then", one(losing(at, "after")))
        assert verdict["ends"] == [[0]], at


DELIVERED_AGAIN = {"create_run", "claim", "decide", "put_blob"}
"""What a careless messenger may deliver twice. Appends are numbered by the store: whoever misses
an answer looks first, as the tests above show."""


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["suspend", "large"])
def test_a_call_that_is_delivered_twice_counts_once(theatre: Theatre, verb: str) -> None:
    writes: list[str] = theatre.undisturbed(verb)["writes"]
    calls = [n for n, write in enumerate(writes) if write in DELIVERED_AGAIN]
    assert {writes[n] for n in calls} >= {"create_run", "claim"}
    again = Life(faults=tuple(Fault(at=n, do="twice") for n in calls))
    assert theatre.survives(verb, one(again))["ends"] == [[0]]


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_a_store_that_fails_at_random_changes_nothing(theatre: Theatre, verb: str) -> None:
    life = Life(loses=0.04, seed=7, tries=50)
    assert theatre.survives(verb, one(life))["ends"] == [[0]]


@pytest.mark.slow
def test_a_store_that_is_away_for_a_moment_is_waited_for(theatre: Theatre) -> None:
    moment = named(theatre.undisturbed("then"))["after an intent"]
    short = moment.model_copy(update={"do": "away", "seconds": 0.15})
    assert theatre.survives("then", one(dying(short)))["ends"] == [[0]]


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["parallel"])
def test_an_owner_gives_up_when_the_store_is_away_for_longer_than_its_lease(
    theatre: Theatre, verb: str
) -> None:
    moment = named(theatre.undisturbed(verb))["after an intent"]
    away = moment.model_copy(update={"do": "away", "seconds": 3 * TTL_S})
    verdict = theatre.survives(verb, one(Life(faults=(away,), waits=False)))
    assert verdict["ends"] == [[5]]
    [said] = verdict["said"]
    assert said["error"] in {"StaleOwnerError", "StoreError"}
    assert said["fix"]


@pytest.mark.slow
def test_a_write_that_takes_longer_than_the_lease_is_made_once(theatre: Theatre) -> None:
    moment = named(theatre.undisturbed("then"))["after a step"]
    slow = moment.model_copy(update={"do": "slow", "seconds": LONG})
    assert theatre.survives("then", one(dying(slow)))["ends"] == [[0]]


@pytest.mark.slow
def test_a_locked_file_is_named_and_the_run_stays_as_it_was(theatre: Theatre) -> None:
    half = named(theatre.undisturbed("then"))["after a step"]
    verdict = theatre.survives("then", one(dying(half)), one(Life(locked_out=True)))
    assert verdict["ends"] == [[-9], [5]]
    [said] = verdict["said"]
    assert "is locked by another program" in said["what"]
    assert said["fix"] == "close that program, then resume"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ("cp -r state/blobs gone && rm state/blobs/[0-9a-f]*", "is not in the store"),
        ("cp -r state/blobs gone && truncate -s 99 state/blobs/[0-9a-f]*", "is damaged"),
    ],
    ids=["missing", "torn"],
)
def test_a_lost_blob_is_named_and_the_run_goes_on_once_it_is_back(
    theatre: Theatre, harm: str, words: str
) -> None:
    half = named(theatre.undisturbed("large"))["after a step"]
    lose, find = (
        Life(faults=(Fault(at=0, do="run", argv=("sh", "-c", command)),))
        for command in (harm, "rm -rf state/blobs && mv gone state/blobs")
    )
    verdict = theatre.survives("large", one(dying(half)), one(lose), one(find))
    assert verdict["ends"] == [[-9], [5], [0]]
    [said] = verdict["said"]
    assert said["what"].startswith("blob ")
    assert words in said["what"]
    assert said["fix"]


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.1, 2 * TTL_S], ids=["a moment", "longer than the lease"])
@pytest.mark.parametrize(
    ("verb", "what"),
    [
        ("large", "get_blob"),
        ("retry", "read effect"),
        ("large", "put_blob"),
    ],
)
def test_a_store_that_is_away_when_a_step_needs_it_fails_no_step(
    theatre: Theatre, verb: str, what: str, seconds: float
) -> None:
    """On the resume: a step's input, its recorded effects, and its output."""
    death = "after a step" if what == "get_blob" else "after an effect"
    half = named(theatre.undisturbed(verb))[death]
    away = Fault(at=0, do="away", seconds=seconds, on=what)  # type: ignore[arg-type] # pyright: ignore
    verdict = theatre.survives(verb, one(dying(half)), one(Life(faults=(away,), waits=False)))
    assert verdict["ends"] == [[-9], [0 if seconds < TTL_S else 5]]


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("verb", VERBS)
def test_every_write_may_fail_or_lose_its_acknowledgement(theatre: Theatre, verb: str) -> None:
    for at in range(len(theatre.undisturbed(verb)["writes"])):
        theatre.survives(verb, one(losing(at, "before" if at % 2 else "after")))


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("verb", VERBS)
def test_a_failing_store_and_deaths_together_change_nothing(theatre: Theatre, verb: str) -> None:
    for seed, moment in enumerate(moments(theatre.undisturbed(verb))[::5]):
        shaky = Life(faults=(moment,), loses=0.03, seed=seed, tries=50)
        again = Life(loses=0.03, seed=seed + 1000, tries=50)
        theatre.survives(verb, one(shaky), one(again))
