"""A run that waits for a person keeps nothing in memory and goes on in another process."""

from pathlib import Path

import pytest

from tests.journeys.conftest import recorded
from tests.journeys.door import Door, leaves

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]


def test_plan_and_delivery_wait_and_go_on_elsewhere(door: Door, wordkit: Path) -> None:
    run_id = "approve-me"
    asked = door.manta(
        *recorded(wordkit, "--run-id", run_id, "--approve", "plan,delivery", "--json")
    )
    assert (asked.code, asked.of("waiting")["labels"]) == (3, ["plan"])
    supervisors = door.processes("ray::Supervisor")
    assert all(leaves(pid) for pid in supervisors), "nothing may stay in memory"
    assert "top-words" in door.manta("show", run_id, "--plan").out

    early = door.manta("resume", run_id, "--json")
    assert (early.code, early.of("waiting")["labels"]) == (3, ["plan"])

    assert door.manta("approve", run_id, "--no-resume").code == 0
    again = door.manta("approve", run_id)
    assert again.code == 2
    assert "was decided already: approve" in again.err
    by_clock = door.manta("resume", "--due", "--json")
    assert {"run_id": run_id, "goes_on": True}.items() <= by_clock.of("resumed").items()
    second = door.manta("watch", run_id, "--json")
    assert (second.code, second.of("waiting")["labels"]) == (3, ["delivery"])
    shown = door.manta("show", run_id)
    assert "+def top_words(" in shown.out

    door.close()  # the whole cluster goes, and with it everything in memory
    said = door.manta("approve", run_id, "--json")
    assert (said.code, said.of("decided")["goes_on"]) == (0, True), said.err
    last = door.manta("watch", run_id, "--json")
    assert last.code == 0, last.err
    assert last.of("delivered")["branch"] == f"manta/{run_id}"
    assert "delivered" in {line["type"] for line in door.manta("resume", run_id, "--json").lines}


def test_a_rejected_plan_fails_the_run_and_leaves_no_branch(door: Door, wordkit: Path) -> None:
    run_id = "reject-me"
    door.manta(*recorded(wordkit, "--run-id", run_id, "--approve", "plan"))
    assert door.manta("reject", run_id).code == 0
    ended = door.manta("watch", run_id)
    assert ended.code == 1
    assert "rejected by" in ended.err
    assert door.manta("fetch", run_id, "--repo", str(wordkit)).code == 2


def test_a_waiting_run_can_be_cancelled_without_a_cluster(door: Door, wordkit: Path) -> None:
    run_id = "cancel-me"
    door.manta(*recorded(wordkit, "--run-id", run_id, "--approve", "plan"))
    door.close()
    assert door.manta("cancel", run_id).code == 0
    assert "cancelled" in door.manta("show", run_id).out
    assert door.manta("resume", run_id).code != 0
