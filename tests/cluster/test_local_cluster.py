"""The local cluster, for real: each test ends what it started in its own state directory."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cluster.local_cluster import (
    cluster_in_use,
    cluster_status,
    ensure_cluster,
    hold_activity,
    stop_cluster,
)
from cluster.papers import Papers
from cluster.processes import family, is_alive
from cluster.settings import Settings

pytestmark = pytest.mark.ray

JOIN = """
import json, os, sys
from cluster.connection import connect
from cluster.papers import ClusterAddress
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


def join(address: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-P", "-c", JOIN, address],
        cwd=cwd, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_two_starters_make_one_cluster_that_shows_no_keys_and_stops_without_a_trace(
    state_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
    settings = Settings(state_dir=state_dir, cpus=2)
    with ThreadPoolExecutor() as threads:
        first, second = threads.map(ensure_cluster, [settings, settings])
    address = json.dumps(
        {name: getattr(first, name) for name in ("address", "token_path", "keeper_pid")}
    )
    (tmp_path / "token").write_text("0" * 64)
    stranger = json.dumps(json.loads(address) | {"token_path": str(tmp_path / "token")})

    joined = join(address, cwd=tmp_path)
    refused = join(stranger, cwd=tmp_path)
    members = family(first.keeper_pid)

    assert first == second == cluster_status(state_dir)
    assert first.address.startswith("127.0.0.1:")
    assert Path(first.token_path).stat().st_mode & 0o777 == 0o600
    assert joined.returncode == 0, joined.stderr
    seen = json.loads(joined.stdout)
    assert "ANTHROPIC_API_KEY" not in seen["names"]
    assert str(tmp_path) not in seen["path"]
    assert seen["cwd"] == str(state_dir / "cluster")
    assert refused.returncode != 0
    assert "refuses this token" in refused.stderr
    assert stop_cluster(state_dir) is True
    assert not any(is_alive(pid) for pid in members)
    assert cluster_status(state_dir) is None
    assert stop_cluster(state_dir) is False


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
