"""The hall keeps time: what a person decides in the browser goes on by itself, on real Ray."""

import json
import re
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.journeys.conftest import recorded
from tests.journeys.door import Door, Running

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Generator[Door]:
    opened = Door(tmp_path_factory.mktemp("door"), MANTA_START_TIMEOUT_S="180")
    yield opened
    opened.close()


class Visitor:
    """A browser without scripts, and a program with the token."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.browser = httpx.Client(base_url=told["url"], follow_redirects=True, timeout=60)
        self.browser.get(told["enter"])
        bearer = {"authorization": f"Bearer {told['token']}"}
        self.program = httpx.Client(base_url=told["url"], headers=bearer, timeout=60)

    def approve(self, run_id: str) -> httpx.Response:
        """Press the page's button, whatever it asks."""
        page = self.browser.get(f"/runs/{run_id}").text
        form = dict(re.findall(r'name="(csrf|label|digest)" value="(.*?)"', page))
        answer = form | {"answer": "approve", "by": "Ada"}
        return self.browser.post(f"/runs/{run_id}/decide", data=answer)

    def status(self, run_id: str) -> str:
        try:
            answer = self.program.get(f"/api/v1/runs/{run_id}")
        except httpx.ConnectError:
            return "nobody answers"
        if answer.status_code != 200:
            return "the store is away"
        return str(answer.json()["run"]["status"])

    def until(self, run_id: str, *wanted: str, bound_s: float = 120.0) -> str:
        """The first of these that the run comes to."""
        deadline, seen = time.monotonic() + bound_s, ""
        while time.monotonic() < deadline:
            seen = self.status(run_id)
            if seen in wanted:
                return seen
            time.sleep(0.25)
        raise AssertionError(f"{run_id} is {seen}, and never came to {wanted}")

    def close(self) -> None:
        self.browser.close()
        self.program.close()


@contextmanager
def hall(door: Door, *options: str) -> Generator[tuple[Running, Visitor]]:
    """`manta web`, and somebody who came in."""
    serving = door.start("web", *options)
    visitor = Visitor(next(serving.events()))
    try:
        yield serving, visitor
    finally:
        visitor.close()
        serving.close()


def test_a_run_goes_on_by_itself_once_it_is_approved_in_the_browser(
    door: Door, wordkit: Path
) -> None:
    run_id = "approved-in-the-browser"
    assert door.manta(*recorded(wordkit, "--run-id", run_id, "--approve", "plan")).code == 3
    with hall(door) as (_, visitor):
        assert visitor.status(run_id) == "suspended"
        began = time.monotonic()
        page = visitor.approve(run_id)
        assert "by Ada" in page.text
        assert time.monotonic() - began < 20, "nobody waits for the run to be taken up"
        assert visitor.until(run_id, "running", "done") in {"running", "done"}
        again = visitor.approve(run_id)
        assert again.status_code in {409, 422}, "there is no second answer"
        visitor.program.post(f"/api/v1/runs/{run_id}/cancel", json={})
        visitor.until(run_id, "cancelled", "done")


def test_a_hall_that_only_shows_leaves_the_run_alone(door: Door, wordkit: Path) -> None:
    run_id = "only-shown"
    assert door.manta(*recorded(wordkit, "--run-id", run_id, "--approve", "plan")).code == 3
    with hall(door, "--no-drive") as (_, visitor):
        assert f"manta resume {run_id}" in visitor.approve(run_id).text
        assert visitor.status(run_id) == "suspended"
    door.manta("cancel", run_id)


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_a_hall_outlives_its_cluster_and_finishes_what_it_left_behind(
    tmp_path: Path, wordkit: Path
) -> None:
    own = Door(tmp_path, MANTA_START_TIMEOUT_S="180")
    run_id = "left-behind"
    try:
        assert own.manta(*recorded(wordkit, "--run-id", run_id, "--approve", "plan")).code == 3
        with hall(own) as (serving, visitor):
            visitor.approve(run_id)
            visitor.until(run_id, "running")
            assert own.manta("down").code == 0
            # Ray ends drivers a minute after their cluster; leases outlive owners a while.
            assert visitor.until(run_id, "done", bound_s=600.0) == "done"
            assert serving.process.poll() is None
            claims = visitor.program.get(f"/api/v1/runs/{run_id}/events?limit=2000").json()
            assert sum(one["status"] == "claimed" for one in claims["events"]) >= 3, json.dumps(
                [one["status"] for one in claims["events"] if one["kind"] == "run"]
            )
    finally:
        own.close()
