"""A budget through the front door: the governor is an actor, the run stops and goes on."""

from pathlib import Path

import pytest

from tests.journeys.conftest import recorded
from tests.journeys.door import Door, leaves

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]


def test_a_spent_budget_stops_the_run_until_a_larger_one_is_granted(
    door: Door, wordkit: Path
) -> None:
    run_id = "spend-me"
    stopped = door.manta(*recorded(wordkit, "--run-id", run_id, "--budget", "20ktok", "--json"))
    assert stopped.code == 4, stopped.err
    labels = stopped.of("waiting")["labels"]
    assert labels
    assert all(label.startswith("budget-") for label in labels)
    assert all(leaves(pid) for pid in door.processes("ray::Supervisor"))
    assert "20,000 tokens" in door.manta("show", run_id).out

    refused = door.manta("resume", run_id, "--budget", "1ktok")
    assert (refused.code, "has spent" in refused.err) == (2, True)
    unasked = door.manta("approve", run_id, "--label", labels[0])
    assert (unasked.code, "--budget" in unasked.err) == (2, True)

    last = door.manta("resume", run_id, "--budget", "10Mtok", "--json")
    assert last.code == 0, last.err
    assert last.of("delivered")["branch"] == f"manta/{run_id}"


def test_money_cannot_be_the_budget_of_a_model_without_a_price(door: Door, wordkit: Path) -> None:
    said = door.manta(
        "run", "Do it.", "--repo", str(wordkit), "--model", "openai/nobody-knows-me",
        "--api-base", "http://127.0.0.1:9/v1", "--budget", "5usd",
    )  # fmt: skip
    assert said.code == 5
    assert "nobody knows what openai/nobody-knows-me costs" in said.err
    assert "usd_per_million" in said.err


def test_what_is_no_budget_is_refused_at_the_door(door: Door, wordkit: Path) -> None:
    said = door.manta(*recorded(wordkit, "--budget", "plenty"))
    assert said.code == 2
    assert "is no budget" in said.err
