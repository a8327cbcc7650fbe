"""The local cluster, for real: each test ends what it started in its own state directory."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from cluster.machines.connection import client_environment
from cluster.machines.local_cluster import (
    cluster_in_use,
    cluster_status,
    ensure_cluster,
    hold_activity,
    stop_cluster,
)
from cluster.machines.papers import ClusterAddress, Papers
from cluster.machines.processes import family, is_alive
from cluster.settings import Settings

pytestmark = pytest.mark.ray

JOIN = """
import json, os, sys
from cluster.machines.connection import connect
from cluster.machines.papers import ClusterAddress
import ray
connect(ClusterAddress(**json.loads(sys.argv[1])))

@ray.remote(num_cpus=0.01)
class Witness:
    def tell(self):
        return {"path": sys.path, "names": sorted(os.environ), "cwd": os.getcwd()}

print(json.dumps(ray.get(Witness.remote().tell.remote())))
"""


@pytest.fixture
def state_dir(tmp_path: Path) -> Generator[Path]:
    yield tmp_path / "state"
    stop_cluster(tmp_path / "state")
    shutil.rmtree(Papers(tmp_path / "state").private_dir, ignore_errors=True)


def eventually(claim: Callable[[], bool], within_s: float = 15.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if claim():
            return True
        time.sleep(0.05)
    return False


def named(keeper: int, command: str) -> int:
    """The process of this keeper's cluster that runs `command`."""
    return next(
        pid for pid in family(keeper) if Path(f"/proc/{pid}/comm").read_text().strip() == command
    )


def attendant_of(keeper: int) -> int:
    return int(Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split()[0])


def join(address: ClusterAddress, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """A driver of its own, started in `cwd`, that asks a worker what it sees."""
    return subprocess.run(
        [sys.executable, "-P", "-c", JOIN, json.dumps(asdict(address))],
        cwd=cwd, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Generator[ClusterAddress]:
    """A cluster asked for by two at once, from an environment with a key."""
    state_dir = tmp_path_factory.mktemp("shared") / "state"
    settings = Settings(state_dir=state_dir, cpus=2)
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor() as threads:
        patch.setenv("ANTHROPIC_API_KEY", "sk-secret")
        first, second = threads.map(ensure_cluster, [settings, settings])
    try:
        assert first == second == cluster_status(state_dir)
        yield first
    finally:
        members = family(first.keeper_pid)
        stopped = stop_cluster(state_dir)
        shutil.rmtree(Papers(state_dir).private_dir, ignore_errors=True)
    assert stopped
    assert not any(is_alive(pid) for pid in members)
    assert cluster_status(state_dir) is None
    assert stop_cluster(state_dir) is False


def test_all_ports_are_on_loopback_and_the_token_is_private(cluster: ClusterAddress) -> None:
    members = family(cluster.keeper_pid)
    files = (file for pid in members for file in Path(f"/proc/{pid}/fd").iterdir())
    sockets = {str(file.readlink()) for file in files if file.is_symlink()}
    outward = [
        line.split()[1]
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        if line.split()[3] == "0A" and f"socket:[{line.split()[9]}]" in sockets
        if not re.match(r"(0{16}FFFF0000|0{24})?0100007F|0{24}01000000", line.split()[1])
    ]

    assert outward == []
    assert Path(cluster.token_path).stat().st_mode & 0o777 == 0o600
    assert Path(cluster.private_dir).stat().st_mode & 0o777 == 0o700


def test_a_worker_sees_no_key_and_imports_nothing_from_where_the_person_stands(
    cluster: ClusterAddress, tmp_path: Path
) -> None:
    joined = join(cluster, cwd=tmp_path)

    assert joined.returncode == 0, joined.stderr
    seen = json.loads(joined.stdout)
    assert "ANTHROPIC_API_KEY" not in seen["names"]
    assert str(tmp_path) not in seen["path"]
    assert seen["cwd"] == str(Path(cluster.token_path).parent)


def test_a_wrong_token_is_one_sentence_and_soon(cluster: ClusterAddress, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("0" * 64)

    refused = join(replace(cluster, token_path=str(tmp_path / "token")), cwd=tmp_path)

    assert refused.returncode != 0
    assert "refuses this token" in refused.stderr.splitlines()[-1]
    assert "gcs_client.cc" not in refused.stderr


def test_a_jobs_working_directory_stays_with_its_driver(
    cluster: ClusterAddress, tmp_path: Path
) -> None:
    (tmp_path / "job.py").write_text(JOIN)
    (tmp_path / "cluster.py").write_text("raise SystemExit('imported from the repository')")
    driver = [sys.executable, "-I", "job.py", json.dumps(asdict(cluster))]

    done = subprocess.run(
        [str(Path(sys.executable).with_name("ray")), "job", "submit", "--log-color=false",
         f"--working-dir={tmp_path}", "--", *driver],
        env={**os.environ, **client_environment(cluster)}, cwd="/",
        capture_output=True, text=True, check=False, timeout=90,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    seen = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    assert not [entry for entry in seen["path"] if "_ray_pkg_" in entry]
    assert "_ray_pkg_" not in seen["cwd"]


def test_a_cluster_in_use_stays_and_an_idle_one_stops_by_itself(state_dir: Path) -> None:
    settings = Settings(state_dir=state_dir, cpus=1, idle_stop_s=1.0)
    activity = Papers(state_dir).activity_lock

    with cluster_in_use(settings) as address:
        held_since = time.time()
        seen_twice = eventually(lambda: activity.stat().st_mtime > held_since + 1.5)
        running = cluster_status(state_dir)
        members = family(address.keeper_pid)

    assert seen_twice
    assert running == address
    assert eventually(lambda: not any(is_alive(pid) for pid in members))
    with hold_activity(state_dir):
        assert cluster_status(state_dir) is None


def test_the_rest_ends_when_ray_dies_and_the_next_start_is_fresh(state_dir: Path) -> None:
    settings = Settings(state_dir=state_dir, cpus=1)
    old = ensure_cluster(settings)
    members = family(old.keeper_pid)
    os.kill(named(old.keeper_pid, "raylet"), signal.SIGKILL)
    ended = eventually(lambda: not any(is_alive(pid) for pid in members))

    fresh = ensure_cluster(settings)
    members = family(fresh.keeper_pid)
    os.kill(fresh.keeper_pid, signal.SIGKILL)

    assert ended
    assert fresh.keeper_pid != old.keeper_pid
    assert eventually(lambda: not any(is_alive(pid) for pid in members)), "the attendant stood in"
    assert cluster_status(state_dir) is None


def test_what_two_killed_keepers_left_behind_is_found_and_ended(state_dir: Path) -> None:
    address = ensure_cluster(Settings(state_dir=state_dir, cpus=1))
    members = family(address.keeper_pid)
    attendant = attendant_of(address.keeper_pid)

    os.kill(attendant, signal.SIGSTOP)
    os.kill(address.keeper_pid, signal.SIGKILL)
    os.kill(attendant, signal.SIGKILL)

    assert eventually(lambda: not is_alive(attendant) and not is_alive(address.keeper_pid))
    assert any(is_alive(pid) for pid in members), "Ray itself lives on, without a keeper"
    assert cluster_status(state_dir) is None
    assert stop_cluster(state_dir) is True
    assert not any(is_alive(pid) for pid in members)
