"""The one local Ray cluster of a state directory: started when absent, stopped when idle.

Everything here blocks for up to some seconds; call it before the event loop runs or through
`asyncio.to_thread`.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from cluster.machines.keeper import Order
from cluster.machines.papers import LOOPBACK_ONLY, ClusterAddress, Papers, authentication, locked
from cluster.machines.places import PATIENCE_S, PLACE, STOPPING_S, places
from cluster.machines.processes import end, environment_of, family, folder_of, is_alive
from cluster.settings import Settings
from orchestration.errors import InfrastructureError

STOP_TIMEOUT_S = 15.0

_FOR_NODES = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|TZ|TMPDIR|LANG(UAGE)?|LC_\w+|XDG_\w+_(HOME|DIR)"
    r"|VIRTUAL_ENV|LD_LIBRARY_PATH|PYTHON(PATH|UTF8|DONTWRITEBYTECODE|PYCACHEPREFIX)"
    r"|SSL_CERT_(FILE|DIR)|(REQUESTS|CURL)_CA_BUNDLE|(DOCKER|CONTAINER)_HOST"
    r"|LITELLM_LOCAL_MODEL_COST_MAP|RAY_(?!ADDRESS|AUTH|JOB|REDIS|RAYLET)\w+"
)
"""Variables that the cluster's processes inherit from whoever starts it: no key is among them.

Keys reach those who need them through `cluster.configuration.keys`.
"""


@contextmanager
def cluster_in_use(settings: Settings) -> Generator[ClusterAddress]:
    """The cluster, started if need be and kept from its idle stop for the length of the block."""
    with hold_activity(settings.state_dir):
        yield ensure_cluster(settings)


@contextmanager
def hold_activity(state_dir: Path) -> Generator[None]:
    """Keep the state directory's cluster, if any, from its idle stop.

    Whoever uses the cluster holds this: doors, and the supervisors in it. Waits for a cluster that
    is just stopping.
    """
    papers = Papers(state_dir)
    papers.prepare()
    with locked(papers.activity_lock, shared=True):
        os.utime(papers.activity_lock)
        yield


def ensure_cluster(settings: Settings) -> ClusterAddress:
    """Attach to the cluster named by the settings, or to the local one, starting it when absent.

    Raises:
        InfrastructureError: the local cluster did not start; the message has Ray's last words.
    """
    if settings.address:
        local = cluster_status(settings.state_dir)
        # A job inside the local cluster is told its address by Ray.
        if local and local.address == settings.address:
            return local
        return named_cluster(settings.address)
    papers = Papers(settings.state_dir)
    papers.prepare()
    deadline = time.monotonic() + settings.start_timeout_s
    with locked(papers.start_lock):
        while papers.keeper() is not None:
            if running := papers.read():
                return running
            _wait(deadline, papers, "is neither up nor down")
        _end_leftovers(papers)
        _launch_keeper(papers, settings)
        while not (running := papers.read()):
            if papers.keeper() is None:
                raise InfrastructureError(
                    f"the local Ray cluster did not start: {_last_words(papers)}",
                    f"see {papers.log}",
                )
            _wait(deadline, papers, "takes too long to start")
        return running


def named_cluster(address: str) -> ClusterAddress:
    """A cluster that somebody else keeps; its token is the environment's business."""
    return ClusterAddress(address=address, token_path=os.environ.get("RAY_AUTH_TOKEN_PATH", ""))


def cluster_status(state_dir: Path) -> ClusterAddress | None:
    """The running local cluster, or None."""
    papers = Papers(state_dir)
    return papers.read() if papers.keeper() is not None else None


def stop_cluster(state_dir: Path) -> bool:
    """End every process of the local cluster and nothing else; False if there was none.

    Raises:
        InfrastructureError: some process cannot be ended.
    """
    papers = Papers(state_dir)
    if not papers.folder.exists():
        return False
    with locked(papers.start_lock):
        keeper = papers.keeper()
        if keeper is None:
            return _end_leftovers(papers)
        if keeper:
            _tell_to_stop(papers, keeper)
        while papers.keeper() is not None:
            time.sleep(0.05)
    return True


def _tell_to_stop(papers: Papers, keeper: int) -> None:
    os.kill(keeper, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while papers.keeper() is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    if papers.keeper() == keeper and not end(lambda: _with_leader(keeper), grace_s=0):
        raise InfrastructureError(
            f"processes of the local cluster do not end: {sorted(family(keeper))}",
            "they hang in the kernel; reboot the machine",
        )


def _with_leader(keeper: int) -> set[int]:
    return family(keeper) | ({keeper} if is_alive(keeper) else set())


def _end_leftovers(papers: Papers) -> bool:
    """End what killed keepers left behind, which is known by its session and by our traces.

    The session's number cannot have been given away while the session has members.
    """
    papers.remove()
    leader = papers.last_keeper()
    if not leader or is_alive(leader):
        return False
    ours: set[int] = set()

    def left() -> set[int]:
        """A dying process has lost its traces already, so ours are remembered."""
        ours.update(pid for pid in family(leader) if _has_our_traces(pid, papers))
        return {pid for pid in ours if is_alive(pid)}

    return bool(left()) and end(left, grace_s=0)


def _has_our_traces(pid: int, papers: Papers) -> bool:
    """Started where the keeper works, or with our token's path (titled processes overwrite it)."""
    mark = f"RAY_AUTH_TOKEN_PATH={papers.token}".encode()
    return folder_of(pid) == papers.folder.resolve() or mark in environment_of(pid)


def _launch_keeper(papers: Papers, settings: Settings) -> None:
    """Returns once the keeper holds its lock and works in the background."""
    order = Order(
        ray=str(Path(sys.executable).with_name("ray")),
        cpus=settings.cpus,
        object_store_bytes=settings.object_store_mb * 1024**2,
        dashboard_port=settings.dashboard_port,
        idle_stop_s=settings.idle_stop_s,
        resources={PLACE: places(settings)},
    )
    papers.keeper_lock.write_bytes(b"")
    with papers.log.open("wb") as log:
        subprocess.run(
            # -P and the working directory: nothing is imported from where the person stands.
            [
                *(sys.executable, "-P", "-m", "cluster.machines.keeper"),
                *(str(papers.state_dir), _json(order)),
            ],
            cwd=papers.folder,
            env=node_environment(os.environ, papers),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )


def _json(order: Order) -> str:
    return json.dumps(asdict(order))


def node_environment(environ: Mapping[str, str], papers: Papers) -> dict[str, str]:
    """What the cluster's processes may know of the environment of whoever starts them."""
    kept = {name: value for name, value in environ.items() if _FOR_NODES.fullmatch(name)}
    own = {
        "MANTA_STATE_DIR": str(papers.state_dir),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_JOB_START_TIMEOUT_SECONDS": str(PATIENCE_S),
        "RAY_JOB_STOP_WAIT_TIME_S": str(STOPPING_S),
    }
    return kept | own | authentication(str(papers.token)) | LOOPBACK_ONLY


def _wait(deadline: float, papers: Papers, trouble: str) -> None:
    if time.monotonic() > deadline:
        raise InfrastructureError(
            f"the local Ray cluster {trouble}: {_last_words(papers)}",
            f"see {papers.log}, then `manta down` and try again",
        )
    time.sleep(0.02)


def _last_words(papers: Papers) -> str:
    """The end of the keeper's log on one line."""
    text = papers.log.read_text(errors="replace") if papers.log.exists() else ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-3:])[-400:] or "it left no words"
