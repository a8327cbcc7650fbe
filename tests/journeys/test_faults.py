"""SIGKILL anything: the run goes on with the same result; nothing is asked or merged twice."""

import json
import subprocess
from pathlib import Path

import pytest

from cluster.demo.sample import RECORDING, lay_out
from tests.journeys.conftest import recorded
from tests.journeys.door import Door, Running, kill

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]
CALLS = len(RECORDING.read_text(encoding="utf-8").splitlines()) - 1
"""Replies in the recording: each is journaled once, whoever is killed."""

PLAYERS = ("ray::Coder", "ray::Reviewer", "ray::SecurityAnalyst", "/verify/", "/review/", "/audit/")


def tree(repository: Path, run_id: str) -> str:
    """What the delivered branch contains, as one id."""
    return subprocess.run(
        ["git", "rev-parse", f"manta/{run_id}^{{tree}}"],
        cwd=repository, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip


def merges(repository: Path, run_id: str) -> int:
    log = ["git", "log", "--merges", "--format=%s", f"main..manta/{run_id}"]
    done = subprocess.run(log, cwd=repository, capture_output=True, text=True, check=True)
    return len(done.stdout.splitlines())


@pytest.fixture(scope="module")
def undisturbed(door: Door, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tree that an undisturbed run delivers."""
    place = tmp_path_factory.mktemp("undisturbed") / "wordkit"
    lay_out(place)
    said = door.manta(*recorded(place, "--run-id", "undisturbed"))
    assert said.code == 0, said.err
    return tree(place, "undisturbed")


def check(door: Door, repository: Path, run_id: str, undisturbed: str) -> None:
    """The oracle: same result, every merge once, every reply journaled once, nothing left."""
    assert tree(repository, run_id) == undisturbed
    assert merges(repository, run_id) == 3
    evidence = json.loads(door.manta("show", run_id, "--evidence").out)
    assert evidence["usage"]["calls"] == CALLS
    assert door.sandboxes() == []


def run_until(door: Door, repository: Path, run_id: str, **wanted: str) -> Running:
    running = door.start(*recorded(repository, "--run-id", run_id))
    running.until(**wanted)
    return running


@pytest.mark.faults
def test_a_coder_killed_in_mid_task(door: Door, wordkit: Path, undisturbed: str) -> None:
    running = run_until(door, wordkit, "kill-coder", kind="turn", step="write_code")
    coders = door.processes("/write_code/")
    assert coders
    for pid in coders:
        kill(pid)
    said = running.rest()
    assert said.code == 0, said.err
    check(door, wordkit, "kill-coder", undisturbed)


def test_the_supervisor_killed_in_mid_run(door: Door, wordkit: Path, undisturbed: str) -> None:
    running = run_until(door, wordkit, "kill-supervisor", kind="turn", step="write_code")
    (pid,) = door.processes("ray::Supervisor")
    kill(pid)
    said = running.rest()
    assert said.code == 0, said.err
    check(door, wordkit, "kill-supervisor", undisturbed)


@pytest.mark.faults
@pytest.mark.parametrize("step", ["prove_green", "review", "challenge", "merge"])
@pytest.mark.parametrize("who", ["ray::Supervisor", "players"])
def test_killed_while_proving_reviewing_mutating_or_merging(
    door: Door, wordkit: Path, undisturbed: str, step: str, who: str
) -> None:
    run_id = f"kill-{step.replace('_', '-')}-{who[-6:].lower()}"
    recording = recorded(wordkit, "--run-id", run_id)
    running = door.start(*recording, environment={"MANTA_LIMITS__MUTANTS": "2"})
    running.until(kind="step", step=step, status="started")
    names = ("ray::Supervisor",) if who == "ray::Supervisor" else PLAYERS
    pids = {pid for name in names for pid in door.processes(name)}
    assert pids
    for pid in pids:
        kill(pid)
    said = running.rest()
    assert said.code == 0, said.err
    check(door, wordkit, run_id, undisturbed)


@pytest.mark.faults
def test_the_driver_killed_in_mid_run(door: Door, wordkit: Path, undisturbed: str) -> None:
    running = run_until(door, wordkit, "kill-driver", kind="turn", step="write_code")
    running.close()
    said = door.manta("watch", "kill-driver", "--json")
    assert said.code == 0, said.err
    check(door, wordkit, "kill-driver", undisturbed)


@pytest.mark.faults
def test_of_two_resumers_one_works_and_the_other_hears_who_owns_the_run(
    door: Door, wordkit: Path, undisturbed: str
) -> None:
    run_id = "two-resumers"
    door.manta(*recorded(wordkit, "--run-id", run_id, "--approve", "plan"))
    door.manta("approve", run_id, "--no-resume")
    both = [door.start("resume", run_id), door.start("resume", run_id)]
    said = sorted((running.rest() for running in both), key=lambda one: one.code)
    assert [one.code for one in said] == [0, 5], [one.err for one in said]
    assert f"supervisor:{run_id}" in said[1].err
    check(door, wordkit, run_id, undisturbed)


def test_a_stopped_job_cancels_its_run(door: Door, wordkit: Path) -> None:
    running = run_until(door, wordkit, "stop-job", kind="turn", step="write_test")
    running.process.terminate()
    said = running.rest()
    assert said.code == 1
    assert "cancelled" in door.manta("show", "stop-job").out
    assert door.sandboxes() == []


@pytest.mark.faults
def test_the_same_run_id_twice_attaches(door: Door, wordkit: Path) -> None:
    running = run_until(door, wordkit, "same-id", kind="turn", step="write_test")
    second = door.manta(*recorded(wordkit, "--run-id", "same-id", "--json"))
    first = running.rest()
    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert merges(wordkit, "same-id") == 3
