"""Processes as Linux shows them in /proc: who descends from whom, and how to end exactly those.

Standard library only: the keeper imports this and must stay small.
"""

import ctypes
import os
import signal
import time
from collections.abc import Callable, Collection
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

_STATE, _PARENT, _SESSION = 0, 1, 3  # fields of /proc/PID/stat after the command's name


def adopt_orphans() -> None:
    """From now on a descendant whose parent dies becomes our child, not init's."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(signum: int) -> None:
    """Have the kernel send us `signum` when our parent dies."""
    _prctl(PR_SET_PDEATHSIG, signum)


def family(leader: int) -> set[int]:
    """Living processes of `leader`'s session and all that descend from them, without itself."""
    table = _table()
    members = {pid for pid, (_, session) in table.items() if session == leader} | {leader}
    while more := {pid for pid, (parent, _) in table.items() if parent in members} - members:
        members |= more
    return members - {leader}


def is_alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    return _row(Path(f"/proc/{pid}/stat")) is not None


def folder_of(pid: int) -> Path | None:
    """A process's working directory, None if it is gone or somebody else's."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return None


def environment_of(pid: int) -> bytes:
    """The environment a process was started with, empty if it is gone or somebody else's."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def end(members: Callable[[], Collection[int]], *, grace_s: float, limit_s: float = 10.0) -> bool:
    """SIGTERM to all members, and after `grace_s` SIGKILL, until none is left.

    `members` is asked again and again, because dying processes may still start others. False if
    some are left after `limit_s` (stuck in the kernel).
    """
    began = time.monotonic()
    _send(members(), signal.SIGTERM)
    while left := members():
        if (waited := time.monotonic() - began) > limit_s:
            return False
        if waited > grace_s:
            _send(left, signal.SIGKILL)
        time.sleep(0.05)
    return True


def _send(pids: Collection[int], signum: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, signum)
        except ProcessLookupError:
            continue


def _table() -> dict[int, tuple[int, int]]:
    """Every living process: its parent and its session. Zombies are dead already."""
    table: dict[int, tuple[int, int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (row := _row(entry / "stat")):
            table[int(entry.name)] = row
    return table


def _row(stat: Path) -> tuple[int, int] | None:
    try:
        text = stat.read_text(errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    if fields[_STATE] in {"Z", "X"}:
        return None
    return int(fields[_PARENT]), int(fields[_SESSION])


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
