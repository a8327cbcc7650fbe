"""Owners in processes of their own on PostgreSQL: zombies, rivals, locks, a lost server."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.actors.journal.postgres_server import Server, running_server
from tests.faults.conftest import Theatre
from tests.faults.flows import VERBS
from tests.faults.oracle import Verdict, check, named
from tests.faults.plan import TTL_S, Fault, Life, Plan, Round, dying, one

pytestmark = pytest.mark.timeout(600)
PAST_THE_LEASE = 1.3 * TTL_S
STALE = {"StaleOwnerError", "RunOwnedError", "ConflictError"}
VANISHED_S = 20
"""The server ends the transaction of a client that stands still after 15 s."""


@pytest.fixture(scope="module")
def postgres() -> Iterator[Server]:
    with running_server() as server:
        yield server


class Hall:
    """Plays on a database of its own each time."""

    def __init__(self, theatre: Theatre, postgres: Server) -> None:
        self.theatre, self.postgres = theatre, postgres

    def survives(self, flow: str, *rounds: Round) -> Verdict:
        url = self.postgres.database()
        verdict = self.theatre.play(Plan(flow=flow, rounds=rounds, store=url))
        check(verdict, self.theatre.undisturbed(flow), within_s=VANISHED_S)
        # Nobody holds the run's row, or this would be refused.
        self.postgres.execute("SELECT run_id FROM runs FOR UPDATE NOWAIT", url)
        return verdict

    def moment(self, flow: str, name: str) -> Fault:
        return named(self.theatre.undisturbed(flow))[name]


@pytest.fixture
def hall(theatre: Theatre, postgres: Server) -> Hall:
    return Hall(theatre, postgres)


def zombie(moment: Fault) -> Round:
    """Stopped past its lease, and woken when others are done, or by one of them."""
    stop = moment.model_copy(update={"do": "stop"})
    return one(Life(owner="zombie", faults=(stop,), waits=False), pause_s=PAST_THE_LEASE)


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["foreach"])
def test_killed_and_killed_again_it_ends_as_if_undisturbed(hall: Hall, verb: str) -> None:
    for name in ("after an intent", "after an effect"):
        again = one(dying(Fault(at=2, when="after")))
        verdict = hall.survives(verb, one(dying(hall.moment(verb, name))), again)
        assert verdict["ends"] == [[-9], [-9]]


@pytest.mark.slow
def test_a_zombie_is_refused_when_another_has_finished_its_run(hall: Hall) -> None:
    """Stopped just before its effect: fencing the store alone is not enough, the key is."""
    before_the_effect = Fault(at=1, on="act", when="before")
    verdict = hall.survives("then", zombie(before_the_effect), one(Life(owner="other")))
    assert (verdict["ends"], verdict["woken"]) == ([[-19], [0]], [5])
    assert [said["error"] for said in verdict["said"]] == ["StaleOwnerError"]
    epochs = [epoch for key, epoch, _ in verdict["asked"] if key == "second"]
    assert epochs == [2, 1], "the zombie's effect came last, and was not applied again"


@pytest.mark.slow
def test_a_zombie_that_wakes_in_the_middle_of_anothers_work_changes_nothing(hall: Hall) -> None:
    wake = Fault(at=4, do="wake", when="after")
    moment = hall.moment("dountil", "after an intent")
    verdict = hall.survives("dountil", zombie(moment), one(Life(owner="other", faults=(wake,))))
    assert verdict["woken"] == [5]
    assert {said["error"] for said in verdict["said"]} <= STALE


@pytest.mark.slow
def test_of_four_processes_one_drives_and_the_others_find_it_done(hall: Hall) -> None:
    four = one(*(Life(owner=f"owner{n}") for n in range(4)))
    killed = one(Life(owner="dead", faults=(hall.moment("foreach", "after an effect"),)))
    assert hall.survives("foreach", killed, four)["ends"] == [[-9], [0, 0, 0, 0]]


@pytest.mark.slow
def test_a_row_that_is_locked_for_longer_than_the_lease_is_waited_for(hall: Hall) -> None:
    moment = hall.moment("then", "after a step")
    lock = moment.model_copy(update={"do": "lock", "seconds": PAST_THE_LEASE})
    assert hall.survives("then", one(Life(faults=(lock,))))["ends"] == [[0]]


@pytest.mark.slow
async def test_a_server_that_is_away_for_longer_than_the_lease_is_waited_for(
    hall: Hall, tmp_path: Path
) -> None:
    here, go = tmp_path / "here", tmp_path / "go"
    os.mkfifo(here)
    os.mkfifo(go)
    hold = ("sh", "-c", f"echo > {here}; cat {go}")
    fault = hall.moment("then", "after an intent").model_copy(update={"do": "run", "argv": hold})
    playing = asyncio.create_task(
        asyncio.to_thread(hall.survives, "then", one(Life(faults=(fault,), tries=3)))
    )
    await asyncio.to_thread(here.read_text)
    await asyncio.to_thread(hall.postgres.stop)
    await asyncio.to_thread(go.write_text, "")
    await asyncio.sleep(PAST_THE_LEASE)
    await asyncio.to_thread(hall.postgres.start)
    assert (await playing)["ends"] == [[0]]


@pytest.mark.faults
@pytest.mark.parametrize("verb", VERBS)
def test_zombies_change_nothing(hall: Hall, verb: str) -> None:
    for moment in named(hall.theatre.undisturbed(verb)).values():
        verdict = hall.survives(verb, zombie(moment), one(Life(owner="other")))
        assert verdict["woken"] == [5], moment


@pytest.mark.faults
@pytest.mark.parametrize("verb", VERBS)
def test_rival_processes_of_which_some_die_change_nothing(hall: Hall, verb: str) -> None:
    for number, moment in enumerate(named(hall.theatre.undisturbed(verb)).values()):
        lives = [Life(owner=f"owner{n}", faults=(moment,) if n == 0 else ()) for n in range(3)]
        late = Life(owner="late", faults=(Fault(at=3 + number),))
        hall.survives(verb, one(*lives, late))
