"""The papers of a state directory's local cluster: where it listens and who keeps it.

Both sides use them, the keeper and those who look for the cluster. Standard library only, because
the keeper must stay small.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Generator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from orchestration.errors import InfrastructureError

LOOPBACK_ONLY = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Ray's switch for a cluster on one machine, whatever its name says: all ports on 127.0.0.1."""
JOB_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Where Ray tells the driver of a submitted job what was written on it."""


@dataclass(frozen=True, slots=True)
class ClusterAddress:
    """How to reach a Ray cluster. Holds no secret: the token is in a file."""

    address: str
    """HOST:PORT of Ray's global control store, or `auto`."""
    token_path: str = ""
    """File with the authentication token; empty leaves authentication to the environment."""
    dashboard_url: str = ""
    session_dir: str = ""
    """Ray's logs are in its `logs`."""
    private_dir: str = ""
    """Directory of mode 0700 that lives as long as the cluster; empty for one not ours."""
    keeper_pid: int = 0
    started_at: float = 0.0
    ray_version: str = ""

    @property
    def is_local(self) -> bool:
        """Whether it is the state directory's own."""
        return self.keeper_pid != 0


class Papers:
    """The files below `STATE_DIR/cluster`."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.folder = state_dir / "cluster"
        self.start_lock = self.folder / "start.lock"
        """Held by whoever starts or stops the cluster."""
        self.keeper_lock = self.folder / "keeper.lock"
        """Held by the keeper for life; its process id is inside."""
        self.activity_lock = self.folder / "activity.lock"
        """Shared by everybody who uses the cluster; the keeper tries to have it alone."""
        self.token = self.folder / "token"
        self.log = self.folder / "keeper.log"
        self._address = self.folder / "address.json"

    @property
    def private_dir(self) -> Path:
        """Home of Ray's sockets and logs. Short: a Unix socket's path has at most 107 bytes."""
        name = hashlib.sha256(os.fsencode(self.folder.resolve())).hexdigest()[:10]
        return Path(f"/tmp/manta-{os.getuid()}-{name}")  # noqa: S108 - checked by `own_folder`

    @property
    def keys(self) -> Path:
        """Keys for the cluster's processes, one file for each set; gone with the cluster."""
        return self.private_dir / "keys"

    def prepare(self) -> None:
        """Make the folders, or refuse those that others could write to."""
        self.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        own_folder(self.folder)

    def write(self, address: ClusterAddress) -> None:
        """Publish the address; readers see all of it or nothing."""
        draft = self._address.with_suffix(".new")
        draft.write_text(json.dumps(asdict(address)))
        draft.replace(self._address)

    def read(self) -> ClusterAddress | None:
        """The published address, which is worth something only while the keeper lives."""
        try:
            return ClusterAddress(**json.loads(self._address.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def remove(self) -> None:
        """Withdraw the address."""
        self._address.unlink(missing_ok=True)

    def keeper(self) -> int | None:
        """The living keeper's process id; 0 while it is only just starting; None without one."""
        with contextlib.suppress(FileNotFoundError), self.keeper_lock.open("rb") as file:
            if not try_lock(file):
                return self.last_keeper()
        return None

    def last_keeper(self) -> int:
        """Process id of the present or last keeper; 0 if there was none."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            return int(self.keeper_lock.read_text())
        return 0


def own_folder(path: Path) -> None:
    """Make a directory that only we can enter, or check that it is one.

    Raises:
        InfrastructureError: somebody else's, a link, or open to others.
    """
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    found = path.lstat()
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    if not ours or found.st_mode & 0o077:
        raise InfrastructureError(
            f"{path} is not a directory that only you can enter", f"remove it: rm -r {path}"
        )


def try_lock(file: BinaryIO) -> bool:
    """Take an exclusive lock if nobody else holds one."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def authentication(token_path: str) -> dict[str, str]:
    """Environment that makes Ray, on either side, ask for or show this token."""
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": token_path}


@contextlib.contextmanager
def locked(path: Path, *, shared: bool = False) -> Generator[None]:
    """Hold a lock file for the length of a block; waits for it. Not passed on to children."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
