"""Several Ray nodes on this one machine, as if each were a machine of its own.

Each has an address (127.0.0.N), a temporary directory, a state directory and a session of
processes to itself; all share one token. `lose` is a power cut: SIGKILL to everything at once.
Nothing but these processes is ever ended, and each of them by its id.
"""

import contextlib
import itertools
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cluster.machines.processes import family, is_alive
from tests.cluster.nodes.partition import Cable
from tests.journeys.door import MANTA, Door, title

RAY = str(Path(sys.executable).parent / "ray")
STARTS_WITHIN_S = 120
DIES_WITHIN_S = 20
TRIES = 5
QUICK_HEALTH = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "5000",
    "RAY_health_check_failure_threshold": "3",
}
"""A lost node is noticed after some seconds instead of 17: for the head's environment."""
_NUMBERS = itertools.count(2)


@dataclass
class Node:
    """One raylet and all that belongs to it."""

    name: str
    place: Path
    process: "subprocess.Popen[bytes]"

    @property
    def state(self) -> Path:
        """Its own state directory, as its environment says."""
        return self.place / "state"

    @property
    def pids(self) -> set[int]:
        return family(self.process.pid) | {self.process.pid}

    def running(self, name: str) -> list[int]:
        """Pids of its processes whose title contains the name."""
        return sorted(pid for pid in self.pids if name in title(pid))

    def lose(self) -> None:
        """Cut its power. Returns once nothing of it is left."""
        doomed: set[int] = set()
        deadline = time.monotonic() + DIES_WITHIN_S
        while left := {pid for pid in doomed | family(self.process.pid) if is_alive(pid)} | (
            {self.process.pid} if self.process.poll() is None else set()
        ):
            doomed |= left
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            assert time.monotonic() < deadline, f"{self.name} does not die: {left}"
            time.sleep(0.02)


class Machines:
    """A cluster and the ways to hurt it."""

    def __init__(self, environment: Mapping[str, str], host: str = "") -> None:
        self.host = host
        self.place = Path(tempfile.mkdtemp(prefix="mn-", dir="/tmp"))  # sockets want it short
        self.token = self.place / "token"
        self.token.write_text(secrets.token_hex(32))
        self.token.chmod(0o600)
        kept = ("PATH", "LANG", "USER", "PYTHONPATH")
        self.environment = {
            **{name: os.environ[name] for name in kept if name in os.environ},
            "HOME": str(self.place),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.token),
            "RAY_USAGE_STATS_ENABLED": "0",
            **environment,
        }
        self.nodes: list[Node] = []
        self.address = ""

    def head(self, *options: str, cpus: int = 2, port: int = 0, **environment: str) -> Node:
        """Start a head; from now on nodes join this one, and doors talk to it."""
        own = ("--head", f"--port={port}", "--include-dashboard=false", f"--num-cpus={cpus}")
        manned = () if any("autoscaling" in option for option in options) else ("--no-monitor",)
        node = self._start("head", (*own, *manned, *options), QUICK_HEALTH | environment)
        assert self._comes_up(node), self._said(node)
        self.address = (node.place / "ray" / "ray_current_cluster").read_text().strip()
        return node

    def join(
        self, *names: str, cpus: int = 2, cable: Cable | None = None, **environment: str
    ) -> list[Node]:
        """Start nodes; each is labelled `pool=agents,name=NAME`. Returns once their raylets run.

        With a cable they are at its far end.
        """
        return [self._joined(name, cpus, environment, cable) for name in names]

    def _joined(
        self, name: str, cpus: int, environment: Mapping[str, str], cable: Cable | None
    ) -> Node:
        """Ray gives a raylet 30 s to start, of which a busy machine may need several."""
        labels = f"--labels=pool=agents,name={name}"
        options = (f"--address={self.address}", labels, f"--num-cpus={cpus}")
        for _ in range(TRIES):
            node = self._start(name, options, environment, cable)
            if self._comes_up(node):
                return node
            node.lose()
            self.nodes.remove(node)
        raise AssertionError(f"node {name} did not come up {TRIES} times")

    def _comes_up(self, node: Node) -> bool:
        """False where Ray gave up waiting for it."""
        ends = ("Ray runtime started", "timed out during startup")
        self._until(lambda: any(end in self._said(node) for end in ends), node)
        return ends[0] in self._said(node)

    def where(self, *titles: str) -> list[Node]:
        """Nodes on which a process with such a title runs."""
        return [node for node in self.nodes if any(map(node.running, titles))]

    def close(self) -> None:
        for node in reversed(self.nodes):
            node.lose()
        shutil.rmtree(self.place, ignore_errors=True)

    def _start(
        self,
        name: str,
        options: Sequence[str],
        environment: Mapping[str, str],
        cable: Cable | None = None,
    ) -> Node:
        number = next(_NUMBERS)
        address = cable.address if cable else self.host or f"127.0.0.{number}"
        place = self.place / f"{name}{number}"
        (place / "state").mkdir(parents=True, mode=0o700)
        command = [
            *(cable.enter if cable else ()), RAY, "start", "--block", *options,
            f"--node-ip-address={address}", f"--temp-dir={place / 'ray'}",
            "--object-store-memory=83886080", "--include-log-monitor=false",
            "--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0",
            "--disable-usage-stats", "--log-color=false",
        ]  # fmt: skip
        own = {
            "MANTA_STATE_DIR": str(place / "state"),
            "RAY_START_HOOK": "cluster.machines.keeper.without_ray_client",
        }
        with (place / "log").open("wb") as log:
            process = subprocess.Popen(
                command,
                env={**self.environment, **own, **environment},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.nodes.append(Node(name, place, process))
        return self.nodes[-1]

    def _until(self, done: Callable[[], bool], node: Node) -> None:
        deadline = time.monotonic() + STARTS_WITHIN_S
        while not done():
            assert node.process.poll() is None or done(), self._said(node)
            assert time.monotonic() < deadline, self._said(node)
            time.sleep(0.1)

    def _said(self, node: Node) -> str:
        return (node.place / "log").read_text(errors="replace")


class FarDoor(Door):
    """A person's shell on the head's machine, with a state directory of its own."""

    def __init__(self, place: Path, machines: Machines, **more: str) -> None:
        self.machines = machines
        shared = {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH", "PYTHONPATH", "MANTA_STORE_URL"}
        told = {k: v for k, v in machines.environment.items() if k in shared}
        super().__init__(place, MANTA_ADDRESS=machines.address, **told, **more)

    def processes(self, name: str) -> list[int]:
        return [pid for node in self.machines.nodes for pid in node.running(name)]


@contextmanager
def machines(host: str = "", **environment: str) -> Generator[Machines]:
    """No node yet; all that are started are gone afterwards.

    With a `host` address all nodes of this machine have that one.
    """
    opened = Machines(environment, host)
    try:
        yield opened
    finally:
        opened.close()


__all__ = ["MANTA", "FarDoor", "Machines", "Node", "machines"]
