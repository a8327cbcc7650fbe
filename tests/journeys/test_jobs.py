"""Requests as Ray jobs: submitted, by hand too, many at once, stopped, from another machine."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cluster.demo.sample import RECORDING, git
from tests.journeys.conftest import REQUEST
from tests.journeys.door import Door, Said, leaves

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]
BIN = Path(sys.executable).parent
ROOT = Path(__file__).parent.parent.parent
TEXT = REQUEST.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A cluster that works on one submitted request at a time."""
    one = {"MANTA_PARALLEL_RUNS": "1", "MANTA_CPUS": "1", "MANTA_START_TIMEOUT_S": "180"}
    opened = Door(tmp_path_factory.mktemp("door"), **one)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def exports(door: Door) -> dict[str, str]:
    """What Ray's own tools need to reach the cluster."""
    up = door.manta("up")
    assert up.code == 0, up.err
    return dict(line.removeprefix("export ").split("=", 1) for line in up.out.splitlines())


def ray(door: Door, exports: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [str(BIN / "ray"), "job", *arguments],
        env={**os.environ, **door.environment, **exports},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def recorded(run_id: str, repository: Path, *more: str) -> list[str]:
    replay = ["--replay", str(RECORDING)]
    return ["submit", TEXT, "--run-id", run_id, "--repo", str(repository), *replay, *more]


def status(door: Door, run_id: str) -> str:
    listed = door.manta("runs", "--json").lines
    return next((run["status"] for run in listed if run["run_id"] == run_id), "unknown")


def commit(repository: Path) -> str:
    return (repository / ".git" / "refs" / "heads" / "main").read_text().strip()


def test_a_submitted_request_is_followed_home_and_submitting_again_attaches(
    door: Door, exports: dict[str, str], wordkit: Path
) -> None:
    first = door.manta(*recorded("followed", wordkit, "--json"))
    assert first.code == 0, first.err
    assert first.of("submitted")["is_new"] is True
    assert first.of("delivered")["branch"] == "manta/followed"
    git(wordkit, "cat-file", "-e", "manta/followed:wordkit/reading.py")

    again = door.manta(*recorded("followed", wordkit, "--json"))
    assert (again.code, again.of("submitted")["is_new"]) == (0, False)
    assert again.of("delivered")["tree"] == first.of("delivered")["tree"]
    assert [job["submission_id"] for job in listed(door, exports)].count("followed") == 1

    from_afar = afar(door, exports, *recorded("followed", wordkit))
    assert from_afar.code == 0, from_afar.err
    assert "summary-command" in from_afar.out
    assert "delivered manta/followed" in from_afar.out


def listed(door: Door, exports: dict[str, str]) -> list[dict[str, Any]]:
    """Ray's own table of jobs."""
    text = ray(door, exports, "list", "--log-style=record")
    names = [word.split("'")[1] for word in text.split("submission_id=")[1:]]
    return [{"submission_id": name} for name in names]


def afar(door: Door, exports: dict[str, str], *arguments: str, **more: str) -> Said:
    """A command on another machine: of the cluster it knows the dashboard's address and token."""
    known = {name: exports[name] for name in ("RAY_API_SERVER_ADDRESS", "RAY_AUTH_MODE")}
    token = {"RAY_AUTH_TOKEN_PATH": exports["RAY_AUTH_TOKEN_PATH"]}
    environment = {**door.environment, "MANTA_STATE_DIR": str(door.place / "other"), **known}
    done = subprocess.run(
        [str(BIN / "manta"), *arguments],
        cwd=door.place, env={**environment, **token, **more},
        capture_output=True, text=True, check=False, timeout=180,
    )  # fmt: skip
    return Said(done.returncode, done.stdout, done.stderr)


def test_many_requests_of_one_file_wait_in_line_and_build_on_what_they_were_given(
    door: Door, exports: dict[str, str], wordkit: Path
) -> None:
    entries = [{"request": TEXT, "run_id": f"file-{n}", "repo": "wordkit"} for n in (1, 2, 3)]
    file = wordkit.parent / "requests.yaml"
    file.write_text(json.dumps([{**entry, "approve": ["plan"]} for entry in entries]))
    base = commit(wordkit)
    submit = ["submit", "--file", str(file), "--replay", str(RECORDING), "--json"]

    said = door.manta(*submit)
    assert said.code == 0, said.err
    assert [line["run_id"] for line in said.lines if line["type"] == "submitted"] == [
        "file-1", "file-2", "file-3",
    ]  # fmt: skip
    assert [(line["run_id"], line["place"]) for line in said.lines if line["type"] == "queued"] == [
        ("file-2", 1), ("file-3", 2),
    ]  # fmt: skip

    git(wordkit, "commit", "--quiet", "--allow-empty", "--message=chore: go on meanwhile")
    assert commit(wordkit) != base
    waiting = afar(door, exports, *recorded("file-3", wordkit, "--json"))
    assert waiting.code == 3, waiting.err + waiting.out
    assert waiting.of("submitted")["is_new"] is False
    assert [status(door, f"file-{n}") for n in (1, 2, 3)] == ["suspended"] * 3
    starts = [began(door, f"file-{n}") for n in (1, 2, 3)]
    assert starts == sorted(starts)
    assert [taken_in(door, f"file-{n}") for n in (1, 2, 3)] == [[base]] * 3

    assert {
        line["is_new"] for line in door.manta(*submit).lines if line["type"] == "submitted"
    } == {False}


def taken_in(door: Door, run_id: str) -> list[str]:
    """The commits that a run was given."""
    refs = door.state / "repositories" / f"{run_id}.git" / "refs" / "manta" / "in"
    return [ref.name for ref in refs.iterdir()]


def began(door: Door, run_id: str) -> float:
    runs = door.manta("runs", "--json").lines
    return next(run["created_at"] for run in runs if run["run_id"] == run_id)


def test_a_stopped_job_cancels_its_run_and_one_that_waits_leaves_nothing_to_do(
    door: Door, exports: dict[str, str], wordkit: Path
) -> None:
    running = door.start(*recorded("stopped", wordkit))
    running.until(type="submitted")
    queued = door.manta(*recorded("never", wordkit, "--no-follow", "--json"))
    assert queued.code == 0, queued.err
    running.until(type="event", step="write_test")
    with ThreadPoolExecutor() as hands:  # one after the other, the run might be over before
        never = hands.submit(ray, door, exports, "stop", "never", "--no-wait")
        ray(door, exports, "stop", "stopped")
        never.result()
    said = running.rest()
    assert (said.code, said.of("failed")["status"]) == (1, "cancelled")
    assert all(map(leaves, door.processes("ray::Supervisor")))
    assert sandboxes(door, "stopped") == []
    assert all(map(leaves, door.processes("ray::Coder")))
    until_over(door, exports, "never")
    # Ray may begin a job that it was told to stop while it waited, to end it at once.
    assert status(door, "never") in {"unknown", "cancelled"}


def sandboxes(door: Door, run_id: str) -> list[str]:
    """What is left of a run's sandboxes."""
    papers = [json.loads(p.read_text()) for p in door.state.glob("sandboxes/*/sandbox.json")]
    return [one["id"] for one in papers if one["spec"]["labels"].get("run") == run_id]


def until_over(door: Door, exports: dict[str, str], job: str) -> None:
    deadline = time.monotonic() + 180
    while any(state in ray(door, exports, "status", job) for state in ("PENDING", "RUNNING")):
        assert time.monotonic() < deadline


@pytest.mark.long
def test_a_job_submitted_by_hand_behaves_the_same(
    door: Door, exports: dict[str, str], wordkit: Path, tmp_path: Path
) -> None:
    project = tmp_path / "job"
    project.mkdir()
    bundle = str(project / "wordkit.bundle")
    git(wordkit, "bundle", "create", "--quiet", bundle, "HEAD", "--branches")
    shutil.copy(RECORDING, project / "recording.jsonl")
    said = ray(
        door, exports, "submit", "--working-dir", str(project), "--",
        str(BIN / "manta"), "run", TEXT, "--repo", "wordkit.bundle",
        "--replay", "recording.jsonl", "--run-id", "by-hand", "--state-dir", str(door.state),
    )  # fmt: skip
    assert "summary-command" in said
    fetched = door.manta("fetch", "by-hand", "--repo", str(wordkit))
    assert fetched.code == 0, fetched.err
    git(wordkit, "cat-file", "-e", "manta/by-hand:wordkit/reading.py")


def test_a_wrong_token_is_one_sentence_at_every_door(
    door: Door, exports: dict[str, str], wordkit: Path, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("f" * 64)
    wrong = {"RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}
    by_jobs = afar(door, exports, "submit", "Do it.", "--repo", str(wordkit), **wrong)
    by_ray = afar(door, exports, "runs", "--address", exports["RAY_ADDRESS"], **wrong)
    for said in (by_jobs, by_ray):
        assert said.code == 5
        assert "refuses this token" in said.err
        assert "fix: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH" in said.err
        assert "Traceback" not in said.err


OTHER_VERSION = """
import pathlib, sys, ray
from ray._private import utils
from cluster.machines.connection import connect
from cluster.machines.local_cluster import cluster_status
from orchestration.errors import InfrastructureError
what, state = sys.argv[1:]
if what == "ray":
    ray.__version__ = "2.59.0"
else:
    utils.compute_version_info = lambda: (ray.__version__, "3.12.1")
try:
    connect(cluster_status(pathlib.Path(state)))
except InfrastructureError as error:
    print(error)
"""


@pytest.mark.parametrize("what", ["ray", "python"])
@pytest.mark.usefixtures("exports")
def test_another_version_of_ray_or_python_is_one_sentence(door: Door, what: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", OTHER_VERSION, what, str(door.state)],
        cwd=door.place, env={**door.environment, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert "runs other versions than this program — use the same Ray and Python" in done.stdout, (
        done.stdout + done.stderr
    )


def test_without_a_dashboard_it_says_where_to_look(door: Door, wordkit: Path) -> None:
    said = door.manta("submit", "Do it.", "--repo", str(wordkit), "--address", "http://127.0.0.1:9")
    assert said.code == 5
    assert "no Ray dashboard answers at http://127.0.0.1:9" in said.err
    assert "fix: check --address and RAY_API_SERVER_ADDRESS" in said.err
