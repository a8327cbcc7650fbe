"""Many runs on one cluster, with kills, waits, cancels and restarts: nothing lost, nothing left."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.door import Door
from tests.soak.week import Life, Week

RUNS = int(os.environ.get("SOAK_RUNS", "200"))
SEED = int(os.environ.get("SOAK_SEED", "7"))


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    opened = Door(tmp_path, MANTA_START_TIMEOUT_S="180", MANTA_SLOTS="3")
    yield opened
    opened.close()


def nothing_is_lost_and_nothing_is_left(week: Week) -> None:
    print(week.told())  # noqa: T201 - figures for whoever runs it
    assert week.wrong == [], week.told()
    assert len(week.diffs) == 1, "every run that is done delivers the same change"
    before, after = week.before, week.after
    assert before
    assert after
    assert (after.players, after.supervisors, after.sandboxes) == (0, 0, 0), week.told()
    assert after.open_files <= before.open_files + 60, week.told()


@pytest.mark.soak
async def test_a_week_of_two_hundred_runs(door: Door, tmp_path: Path) -> None:
    life = Life(door, tmp_path / "wordkit", SEED)
    week = await life.play(RUNS, restarts=max(1, RUNS // 50))
    nothing_is_lost_and_nothing_is_left(week)
    assert sum(week.ends.values()) == RUNS
    assert week.kills["cluster"]


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_a_morning_of_four_runs(door: Door, tmp_path: Path) -> None:
    life = Life(door, tmp_path / "wordkit", SEED)
    week = await life.play(4, restarts=0)
    nothing_is_lost_and_nothing_is_left(week)
    assert week.fates == {"left alone": 2, "waits": 1, "cancelled": 1}
    assert week.ends.keys() <= {"done", "cancelled"}
