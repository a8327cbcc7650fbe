"""The directory that holds an embedded store, and the lock of its one writer."""

import fcntl
import os
from pathlib import Path
from time import monotonic, sleep
from typing import IO

from orchestration.errors import StoreError

_MOUNTS = Path("/proc/self/mountinfo")
_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "afs", "lustre", "gpfs", "ocfs2"}
)
_LOCAL_FUSE = frozenset({"fuse.fuse-overlayfs", "fuse.lxcfs"})
_MOMENT_S = 0.4


def prepare(directory: Path) -> IO[str]:
    """Make the directory and take its lock, which is held until the file returned is closed.

    Raises:
        StoreError: it cannot be written, lies on a network file system, or is in use.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        refuse_network(directory, _MOUNTS.read_text() if _MOUNTS.exists() else "")
        return _lock(directory / "store.lock")
    except OSError as error:
        raise StoreError(
            f"the state directory {directory} cannot be written: {error.strerror}",
            "make it writable, or name another one",
        ) from error


def refuse_network(directory: Path, mounts: str) -> None:
    """Refuse a file system without reliable locks and shared memory.

    `mounts` is the text of `/proc/self/mountinfo`; without one (not Linux) all are accepted.
    """
    kind = _kind_of(directory.stat().st_dev, mounts)
    if kind in _NETWORK or (kind.startswith("fuse.") and kind not in _LOCAL_FUSE):
        raise StoreError(
            f"the state directory {directory} is on a network file system ({kind})",
            "name a directory on a local disk, or use PostgreSQL",
        )


def _kind_of(device: int, mounts: str) -> str:
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        if before.split(" ")[2:3] == [wanted]:
            return after.split(" ")[0]
    return ""


def _lock(path: Path) -> IO[str]:
    file = path.open("a+")
    if not _taken(file):
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise StoreError(
            f"{path.parent} is in use by process {holder}",
            f"let it finish, or end it (`manta down`, or `kill {holder}`); {path} is its lock",
            holder,
        )
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def _taken(file: IO[str]) -> bool:
    """A hall has the store for moments only: wait for one to pass."""
    last = monotonic() + _MOMENT_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if monotonic() > last:
                return False
            sleep(_MOMENT_S / 20)
        else:
            return True
