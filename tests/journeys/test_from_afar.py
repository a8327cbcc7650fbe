"""A hall on one machine, a person on another one: they share nothing but an address and a token."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.demo.sample import RECORDING, git, lay_out
from tests.journeys.conftest import REQUEST
from tests.journeys.door import MANTA, Door

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]
RUN = "from-afar"
DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def hall(door: Door) -> Iterator[dict[str, str]]:
    """`manta web` where the cluster is; what it printed."""
    process = subprocess.Popen(
        [MANTA, "web", "--json"],
        cwd=door.place, env=door.environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.fixture
def away(hall: dict[str, str], tmp_path: Path) -> Iterator[Door]:
    """A person's shell elsewhere: no state, no cluster, no key."""
    opened = Door(
        tmp_path / "away",
        MANTA_HALL=hall["url"],
        MANTA_HALL_TOKEN=hall["token"],
        MANTA_START_TIMEOUT_S="0.01",  # a cluster of its own would be told at once
    )
    opened.place.mkdir()
    yield opened
    for running in opened.started:
        running.close()
    assert not opened.state.exists(), "nothing is kept here"


def test_a_request_is_submitted_watched_approved_and_fetched_from_another_machine(
    away: Door, door: Door, tmp_path: Path
) -> None:
    there, elsewhere = tmp_path / "wordkit", tmp_path / "elsewhere"
    lay_out(there)
    git(tmp_path, "clone", "--quiet", str(there), str(elsewhere))
    submit = (
        "submit", REQUEST.read_text("utf-8"), "--repo", str(there), "--replay", str(RECORDING),
        "--run-id", RUN, "--approve", "plan", "--no-follow", "--json",
    )  # fmt: skip
    submitted = away.manta(*submit)
    assert submitted.code == 0, submitted.err
    assert submitted.of("submitted")["is_new"]
    assert not away.manta(*submit).of("submitted")["is_new"]

    waiting = away.manta("watch", RUN, "--json")
    assert (waiting.code, waiting.of("waiting")["labels"]) == (3, ["plan"])
    assert "top-words" in away.manta("show", RUN, "--plan").out

    approved = away.manta("approve", RUN, "--json")
    assert approved.of("decided")["goes_on"], approved.err
    again = away.manta("approve", RUN)
    assert (again.code, "was decided already" in again.err) == (2, True)
    done = away.manta("watch", RUN, "--json")
    assert done.code == 0, done.err
    branch = done.of("delivered")["branch"]

    fetched = away.manta("fetch", RUN, "--repo", str(elsewhere))
    assert fetched.code == 0, fetched.err
    git(elsewhere, "cat-file", "-e", f"{branch}:wordkit/reading.py")
    patch = away.manta("fetch", RUN, "--patch", "-")
    assert patch.out.startswith("From ")
    verified = subprocess.run(
        [sys.executable, "-m", "cluster.cli", "show", RUN, "--evidence"],
        cwd=away.place, env=away.environment, capture_output=True, check=True,
    )  # fmt: skip
    assert json.loads(verified.stdout)["run_id"] == RUN

    for part in ([], ["--plan"], ["--diff"], ["--evidence"], ["--graph"], ["--log"], ["--sarif"]):
        for form in ([], ["--json"]):
            command = ["show", RUN, *part, *form]
            assert away.manta(*command).out == door.manta(*command).out, command
    assert away.manta("runs").out == door.manta("runs").out
    assert not away.manta("cancel", RUN, "--json").of("cancel")["accepted"]
