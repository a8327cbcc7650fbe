"""SIGKILL of real processes on a real store, at every boundary, and again on the resume."""

import asyncio
import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.orchestration.workflow.killing import EFFECTS, OUTPUT

ROOT = Path(__file__).parents[3]
BOUNDARIES = 44
"""More than the writes in one undisturbed life: arms that end together share some."""
Plan = list[tuple[int, str]]


async def verdicts(home: Path, plans: list[Plan]) -> list[dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.orchestration.workflow.killing",
        str(home),
        json.dumps(plans),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return [json.loads(line) for line in out.splitlines()]


def check(verdict: dict[str, Any]) -> None:
    """One oracle for all."""
    assert verdict["ends"][-1] == 0, verdict
    assert (verdict["status"], verdict["output"]) == ("done", OUTPUT), verdict
    assert verdict["gapless"], verdict
    assert verdict["epochs_grow"], verdict
    assert verdict["done_once"], verdict
    assert verdict["decided"] == 1, verdict
    assert len(verdict["effects"]) == len(set(verdict["effects"])) == EFFECTS, verdict


@pytest.mark.slow
async def test_killed_anywhere_a_run_ends_as_if_undisturbed(tmp_path: Path) -> None:
    plans: list[Plan] = [[], [(3, "before")], [(9, "after"), (2, "before")], [(20, "before")]]
    plans += [[(24, "after")], [(14, "after"), (4, "after"), (4, "before")]]
    found = await verdicts(tmp_path, plans)
    assert len(found) == len(plans)
    assert [verdict["ends"][:-1] for verdict in found] == [[-9] * len(plan) for plan in plans]
    for verdict in found:
        check(verdict)


@pytest.mark.faults
async def test_killed_at_every_boundary_and_again_on_the_resume(tmp_path: Path) -> None:
    dice = random.Random(4)
    points = [(n, phase) for n in range(BOUNDARIES) for phase in ("before", "after")]
    plans: list[Plan] = [[point] for point in points]
    plans += [[point, (dice.randrange(12), dice.choice(["before", "after"]))] for point in points]
    plans += [[(dice.randrange(8), "after")] * 5 for _ in range(20)]
    for verdict in await verdicts(tmp_path, plans):
        check(verdict)
