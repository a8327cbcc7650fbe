"""The same run as a Ray job, as the README says it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.demo.sample import RECORDING, git, lay_out
from tests.journeys.conftest import REQUEST
from tests.journeys.door import Door

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]


def test_a_ray_job_runs_a_request_and_fetch_brings_the_branch_home(
    door: Door, tmp_path: Path
) -> None:
    exports = dict(
        line.removeprefix("export ").split("=", 1) for line in door.manta("up").out.splitlines()
    )
    assert exports["RAY_AUTH_MODE"] == "token"
    project = tmp_path / "project"
    home = tmp_path / "wordkit"
    lay_out(home)
    project.mkdir()
    git(home, "clone", "--quiet", "--bare", ".", str(project / "wordkit.git"))
    shutil.copy(RECORDING, project / "recording.jsonl")
    bin_dir = Path(sys.executable).parent
    entry = [
        str(bin_dir / "manta"), "run", REQUEST.read_text(encoding="utf-8"),
        "--repo", "wordkit.git", "--replay", "recording.jsonl", "--run-id", "as-a-job",
        "--state-dir", str(door.state),
    ]  # fmt: skip
    done = subprocess.run(
        [str(bin_dir / "ray"), "job", "submit", "--working-dir", str(project), "--", *entry],
        env={**os.environ, **door.environment, **exports},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "summary-command" in done.stdout

    fetched = door.manta("fetch", "as-a-job", "--repo", str(home))
    assert fetched.code == 0, fetched.err
    branches = subprocess.run(
        ["git", "branch", "--list", "manta/*"], cwd=home, capture_output=True, text=True, check=True
    ).stdout
    assert "manta/as-a-job" in branches
    git(home, "cat-file", "-e", "manta/as-a-job:wordkit/reading.py")


def test_without_the_token_a_client_is_refused(door: Door, tmp_path: Path) -> None:
    exports = dict(
        line.removeprefix("export ").split("=", 1) for line in door.manta("up").out.splitlines()
    )
    stranger = {"MANTA_STATE_DIR": str(tmp_path), "RAY_AUTH_TOKEN": "f" * 64}
    nobody = {**door.environment, "RAY_AUTH_MODE": "token", **stranger}
    done = subprocess.run(
        [sys.executable, "-m", "cluster.cli", "runs", "--address", exports["RAY_ADDRESS"]],
        env={**nobody, "PYTHONPATH": str(Path(__file__).parent.parent.parent)},
        cwd=door.place, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 5
    assert "token" in done.stderr
    assert "Traceback" not in done.stderr
