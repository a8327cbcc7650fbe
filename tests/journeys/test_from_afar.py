"""A hall on one machine, a person on another one: they share nothing but an address and a token."""

import json
import os
import re
import select
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from cluster.demo.sample import RECORDING, git, lay_out
from tests.journeys.conftest import REQUEST
from tests.journeys.door import MANTA, Door, kill

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]
RUN = "from-afar"
DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def hall(door: Door) -> Iterator[dict[str, str]]:
    """`manta web` as a service, without a parent, where the cluster is; what it printed."""
    printed = door.place / "web.out"
    command = f"nohup {shlex.join([MANTA, 'web', '--json'])} > {printed} 2> /dev/null & echo $!"
    pid = int(
        subprocess.run(
            ["sh", "-c", command], cwd=door.place, env=door.environment,
            capture_output=True, text=True, check=True,
        ).stdout
    )  # fmt: skip
    try:
        with os.fdopen(os.pidfd_open(pid)) as handle:
            while not printed.read_text().endswith("\n"):
                assert not select.select([handle], [], [], 0.1)[0], "it ended"
        yield json.loads(printed.read_text())
    finally:
        with suppress(ProcessLookupError):
            kill(pid)


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
    for command in (["show", RUN], ["show", RUN, "--log", "--json"], ["runs"]):
        assert away.manta(*command).out == door.manta(*command).out, command

    assert door.manta("down").code == 0
    assert RUN in away.manta("runs").out, "the hall outlives its cluster"


@pytest.mark.pages
def test_what_is_told_of_the_python_api_is_so(
    hall: dict[str, str], door: Door, tmp_path: Path
) -> None:
    lay_out(tmp_path / "wordkit")
    git(tmp_path, "clone", "--quiet", "wordkit", "clone")
    shutil.copy(REQUEST, tmp_path / "request.txt")
    shutil.copy(RECORDING, tmp_path / "recording.jsonl")
    text = (DOCS / "python-api.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    said: list[str] = []
    for block in blocks:
        here = block.replace("https://manta.example.org", hall["url"])
        done = subprocess.run(
            [sys.executable, "-c", here.replace('"TOKEN"', repr(hall["token"]))],
            cwd=tmp_path, env=door.environment,
            capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    first, second, third = said
    assert first.endswith("manta/by-a-program\n")
    git(tmp_path / "clone", "cat-file", "-e", "manta/by-a-program:wordkit/reading.py")
    assert "by-a-program done" in second
    assert "decided already" in third
