"""Joining a Ray cluster, and saying in one sentence why it did not work."""

import contextlib
import importlib
import json
import logging
import os
import re
import socket
import sys
import threading
from collections.abc import Generator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

import ray
import ray.exceptions
from ray._private import ray_constants
from ray._private import worker as ray_worker
from ray.job_config import JobConfig

from cluster.machines.papers import JOB_CONFIG, LOOPBACK_ONLY, ClusterAddress, authentication
from orchestration.errors import InfrastructureError, UsageError

NAMESPACE = "manta"
PROBE_S = 3.0


def client_environment(address: ClusterAddress) -> dict[str, str]:
    """Environment with which any Ray client (such as `ray job submit`) reaches the cluster."""
    environment = {"RAY_ADDRESS": address.address} if address.address else {}
    if address.token_path:
        environment |= authentication(address.token_path)
    if address.dashboard_url:
        environment["RAY_API_SERVER_ADDRESS"] = address.dashboard_url
    if address.is_local:
        environment |= LOOPBACK_ONLY
    return environment


class Membership:
    """This process's place in a cluster. Ray has one for a process, whoever uses it.

    Whoever is the last to leave ends it: a driver whose cluster is gone is ended by Ray itself
    within a minute, and a door that stays open must not be.
    """

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._address: ClusterAddress | None = None
        self._users = 0
        self._number = 0
        """Which membership it is: users of one that was given up are no users of the next."""

    def enter(self, address: ClusterAddress) -> int:
        """Join, or use what was joined already. Blocking. Returns what `leave` takes.

        Raises:
            UsageError: an address that is none.
            InfrastructureError: nobody there, another token, another version.
        """
        with self._turn:
            if self._address is None and ray.is_initialized():
                return self._number  # a worker: part of its cluster already, and for good
            if self._address != address or not ray.is_initialized():
                self._end()
                _join(address)
                self._address = address
            self._users += 1
            return self._number

    def leave(self, number: int) -> None:
        """No longer needed by one of its users. Blocking."""
        with self._turn:
            if number == self._number and self._users:
                self._users -= 1
                if not self._users:
                    self._end()

    def _end(self) -> None:
        if self._address is not None:
            ray.shutdown()
            self._address, self._users, self._number = None, 0, self._number + 1


MEMBERSHIP = Membership()
"""Of this process."""


def connect(address: ClusterAddress) -> None:
    """Make this process a driver of the cluster for the rest of its life. Blocking.

    Raises:
        UsageError: an address that is none.
        InfrastructureError: nobody there, another token, another version.
    """
    MEMBERSHIP.enter(address)


def _join(address: ClusterAddress) -> None:
    probe(address)
    adopt_environment(address)
    _forget_working_dir(os.environ)
    # Ray tells of dead workers on stdout, where only our data belongs; the journal knows of them.
    ray_worker.print_to_stdstream = _unheard
    try:
        if address.address != "auto":
            # One quick question: `ray.init` asks twenty times over, even with a wrong token.
            with _silence():
                _native().GcsClient(address=address.address)
        # Ray lets workers import from the driver's current directory, which may well be an
        # untrusted repository: show it one that only root can write to.
        with contextlib.chdir("/"):
            ray.init(
                address=address.address,
                namespace=NAMESPACE,
                log_to_driver=False,
                logging_level=logging.ERROR,
                **_named(os.environ),
            )
    except ray.exceptions.AuthenticationError as error:
        raise _token_trouble(address) from error
    except (ray.exceptions.RayError, ConnectionError, RuntimeError, OSError) as error:
        raise _trouble(address, error) from error


def dashboard_of(address: ClusterAddress) -> str:
    """Where a cluster's dashboard answers, as its head says. Blocking.

    Raises:
        UsageError: an address that is none.
        InfrastructureError: nobody there, another token, no dashboard.
    """
    probe(address)
    adopt_environment(address)
    try:
        with _silence():
            gcs = _native().GcsClient(address=address.address)
            found = gcs.internal_kv_get(
                ray_constants.DASHBOARD_ADDRESS.encode(),
                ray_constants.KV_NAMESPACE_DASHBOARD,
                timeout=PROBE_S,
            )
    except ray.exceptions.AuthenticationError as error:
        raise _token_trouble(address) from error
    except (ray.exceptions.RayError, ConnectionError, RuntimeError, OSError) as error:
        raise _trouble(address, error) from error
    if not found:
        raise InfrastructureError(
            f"the Ray cluster at {address.address} has no dashboard, through which jobs are"
            " submitted",
            "start its head with --include-dashboard=true (it needs `ray[default]`)",
        )
    return f"http://{found.decode()}"


def _named(environ: Mapping[str, str]) -> dict[str, Any]:
    """What Ray's dashboard calls this driver, such as `manta run`; a job has its name already."""
    if JOB_CONFIG in environ:
        return {}
    called = [Path(sys.argv[0]).stem, *sys.argv[1:2]]
    words = [word for word in called if re.fullmatch(r"[a-z]+", word)]
    return {"job_config": JobConfig(metadata={"job_name": " ".join(words) or "manta"})}


def _unheard(*_: object, **__: object) -> None:
    """In place of Ray's printing."""


def adopt_environment(address: ClusterAddress) -> None:
    """Tell Ray about the cluster, although it has read the environment when it was imported.

    Ray's clients of every kind then reach this cluster and no other.
    """
    if address.is_local:
        os.environ.pop("RAY_AUTH_TOKEN", None)
        # Else Ray takes 127.0.0.1 for a way of saying "my outward address".
        ray_constants.ENABLE_RAY_CLUSTER = False
    os.environ.update(client_environment(address))
    native = _native()
    native.Config.initialize("")
    native.AuthenticationTokenLoader.instance().reset_cache()


def _native() -> Any:
    """Ray's compiled half, of which type checkers see nothing."""
    return importlib.import_module("ray._raylet")


def _forget_working_dir(environ: MutableMapping[str, str]) -> None:
    """Keep a submitted job's working directory to its driver.

    Workers would otherwise start in it and import from it, and it may hold the repository.
    """
    if text := environ.get(JOB_CONFIG):
        config = json.loads(text)
        config.get("runtime_env", {}).pop("working_dir", None)
        environ[JOB_CONFIG] = json.dumps(config)


def probe(address: ClusterAddress) -> None:
    """Fail at once where nobody listens; Ray itself would try for a minute.

    Raises:
        UsageError: an address that is none.
        InfrastructureError: nobody there.
    """
    if address.address == "auto":
        return
    host, _, port = address.address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        raise UsageError(
            f"{address.address!r} is no address of a Ray cluster",
            "use HOST:PORT of its head (the port is 6379 unless changed), or `auto`",
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PROBE_S).close()
    except (OSError, OverflowError) as error:
        raise _nobody(address, str(error)) from error


@contextlib.contextmanager
def _silence() -> Generator[None]:
    """Drop what native code writes to stderr: its complaints would stand beside our sentence."""
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _nobody(address: ClusterAddress, why: str) -> InfrastructureError:
    return InfrastructureError(
        f"no Ray cluster answers at {address.address} ({why})",
        "check --address and RAY_ADDRESS; without both, Manta starts a local cluster",
    )


def _token_trouble(address: ClusterAddress) -> InfrastructureError:
    where = f" ({address.token_path})" if address.token_path else ""
    return InfrastructureError(
        f"the Ray cluster at {address.address} refuses this token{where}",
        "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH to a file with the cluster's token",
    )


def _trouble(address: ClusterAddress, error: Exception) -> InfrastructureError:
    """Ray's failure in our words."""
    causes = " ".join(str(cause) for cause in _chain(error))
    if "ersion mismatch" in causes:
        return InfrastructureError(
            f"the Ray cluster at {address.address} runs other versions than this program",
            "use the same Ray and Python on both sides, to the last digit of their versions",
            causes[-1000:],
        )
    if "nauthenticated" in causes or "UNAUTHENTICATED" in causes or "oken" in causes:
        return _token_trouble(address)
    return _nobody(address, str(error).splitlines()[0] if str(error) else type(error).__name__)


def _chain(error: BaseException | None) -> list[BaseException]:
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain
