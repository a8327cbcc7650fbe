"""The keeper: a background process that starts a local Ray cluster, watches it and ends it.

    python -P -m cluster.machines.keeper STATE_DIR ORDER_JSON

Two small processes in a session of their own. The *guard* adopts every orphan of the cluster and,
whatever becomes of the attendant, ends every process of it and withdraws the papers. The
*attendant* starts Ray, publishes its address, and returns when the cluster died, was told to stop
(SIGTERM), or had no user for a while. Should the guard be killed, the attendant does its duty.
Both hold the keeper's lock through one open file, so that it is free only when both are gone.
"""

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import BinaryIO, NoReturn

from cluster.machines.papers import ClusterAddress, Papers, own_folder, try_lock
from cluster.machines.processes import adopt_orphans, die_with_parent, end, family, is_alive
from orchestration.errors import InfrastructureError

GRACE_S = 2.0
LOOPBACK = "127.0.0.1"
OUR_DASHBOARD = Path(__file__).parents[1] / "grafana" / "manta.json"


@dataclass(frozen=True, slots=True)
class Order:
    """How to start the cluster."""

    ray: str
    """Path of the `ray` command."""
    cpus: int | None
    object_store_bytes: int
    dashboard_port: int
    idle_stop_s: float
    resources: dict[str, float]
    """Of Ray's kind, by name."""


def main() -> None:
    """Keep one cluster from its start to its end, in the background; returns at once.

    When it returns the keeper's lock is held, or somebody else's keeper holds it.
    """
    papers = Papers(Path(sys.argv[1]))
    order = Order(**json.loads(sys.argv[2]))
    with papers.keeper_lock.open("r+b") as lock, papers.activity_lock.open("ab") as activity:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.fork() == 0:
            os.setsid()
            lock.write(str(os.getpid()).encode())
            lock.flush()
            _guard(papers, order, activity)
            os._exit(0)


def _guard(papers: Papers, order: Order, activity: BinaryIO) -> None:
    """The guard's whole life."""
    adopt_orphans()
    guard = os.getpid()
    attendant = os.fork()
    if attendant == 0:
        _attend_and_leave(papers, order, activity, guard)

    def pass_on(signum: int, _frame: FrameType | None) -> None:
        os.kill(attendant, signum)

    signal.signal(signal.SIGTERM, pass_on)
    _bury(until=attendant)
    _clear(papers, guard, spare=guard)
    _bury()


def _attend_and_leave(papers: Papers, order: Order, activity: BinaryIO, guard: int) -> NoReturn:
    """The attendant's whole life."""
    code = 1
    try:
        die_with_parent(signal.SIGTERM)
        signal.signal(signal.SIGTERM, _leave)
        _attend(papers, order, activity, guard)
        code = 0
    except InfrastructureError as error:
        sys.stderr.write(f"keeper: {error}\n")
    except SystemExit:
        code = 0
    finally:
        if os.getppid() != guard:
            _clear(papers, guard, spare=os.getpid())
        os._exit(code)


def _leave(_signum: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


def _clear(papers: Papers, leader: int, *, spare: int) -> None:
    """End all processes of the cluster and withdraw its papers."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    papers.remove()
    end(lambda: family(leader) - {spare}, grace_s=GRACE_S)
    shutil.rmtree(papers.keys, ignore_errors=True)


def _bury(until: int | None = None) -> None:
    """Reap dead children, adopted ones too: wait for `until`, or take those dead already."""
    flags = os.WNOHANG if until is None else 0
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, flags)[0] not in {0, until}:
            continue


def _attend(papers: Papers, order: Order, activity: BinaryIO, guard: int) -> None:
    """Start Ray; return when it died or nobody has used it for long enough."""
    address = _start_ray(papers, order, guard)
    servers = [pid for pid in family(guard) if _command(pid) in {"gcs_server", "raylet"}]
    papers.write(address)
    os.utime(activity.fileno())
    while all(is_alive(pid) for pid in servers):
        time.sleep(min(2.0, order.idle_stop_s / 4))
        if _is_idle(activity, order.idle_stop_s):
            return
    sys.stderr.write(f"keeper: Ray died; its logs are in {address.session_dir}/logs\n")


def _is_idle(activity: BinaryIO, limit_s: float) -> bool:
    """Whether nobody has held the activity lock for `limit_s`.

    If so the lock stays ours: newcomers wait until this cluster is gone, then start another.
    """
    if not try_lock(activity):
        os.utime(activity.fileno())
        return False
    if time.time() - os.fstat(activity.fileno()).st_mtime >= limit_s:
        return True
    fcntl.flock(activity, fcntl.LOCK_UN)
    return False


def _start_ray(papers: Papers, order: Order, guard: int) -> ClusterAddress:
    """Run `ray start`, which leaves its servers behind; the guard adopts them."""
    private = papers.private_dir
    own_folder(private)
    temp = private / "ray"
    shutil.rmtree(temp, ignore_errors=True)
    if not papers.token.exists():
        with open(papers.token, "x", opener=_private_opener) as file:
            file.write(secrets.token_hex(32))
    dashboard = f"{LOOPBACK}:{order.dashboard_port or _free_port()}"
    environment = os.environ | {
        "RAY_START_HOOK": "cluster.machines.keeper.without_ray_client",
        "DASHBOARD_METRIC_PORT": str(_free_port()),
        "RAY_METRICS_GRAFANA_DASHBOARD_OUTPUT_DIR": str(_dashboards(private)),
    }
    command = _start_command(order, temp, dashboard)
    if subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=False).returncode:
        raise InfrastructureError("`ray start` failed", "its words are above")
    return ClusterAddress(
        address=(temp / "ray_current_cluster").read_text().strip(),
        token_path=str(papers.token),
        dashboard_url=f"http://{dashboard}",
        session_dir=str((temp / "session_latest").resolve()),
        private_dir=str(private),
        keeper_pid=guard,
        started_at=time.time(),
        ray_version=version("ray"),
    )


def _dashboards(private: Path) -> Path:
    """Where Grafana finds dashboards: ours, and beside it those that Ray will write."""
    folder = private / "grafana"
    shutil.rmtree(folder, ignore_errors=True)
    own_folder(folder)
    shutil.copy(OUR_DASHBOARD, folder)
    return folder


def _start_command(order: Order, temp: Path, dashboard: str) -> list[str]:
    host, _, port = dashboard.partition(":")
    options = {
        "--port": 0,
        "--min-worker-port": 0,
        "--max-worker-port": 0,
        "--dashboard-agent-listen-port": 0,
        "--include-dashboard": "true",
        "--dashboard-host": host,
        "--dashboard-port": port,
        "--temp-dir": temp,
        "--object-store-memory": order.object_store_bytes,
        "--resources": json.dumps(order.resources),
        # It copies the workers' logs to drivers; ours read events instead.
        "--include-log-monitor": "false",
    }
    if order.cpus:
        options["--num-cpus"] = order.cpus
    # The autoscaler's monitor has nothing to do on one machine.
    flags = ["--head", "--no-monitor", "--disable-usage-stats", "--log-color", "false"]
    return [order.ray, "start", *flags, *(f"{name}={value}" for name, value in options.items())]


def without_ray_client(params: object, _head: bool) -> None:
    """Hook for `ray start`: leave out the Ray Client server, which nobody here uses.

    Without it Ray would also claim its fixed port, so that a second cluster could not start.
    """
    os.environ.pop("RAY_START_HOOK", None)
    vars(params)["ray_client_server_port"] = None


def _private_opener(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


if __name__ == "__main__":
    main()
