"""Control groups of a sandbox: memory, processes and CPU, on either version.

Groups are made below this process' own (version 1), so that limits set on us hold for them too,
or beside it (version 2, where a group with processes may have no children with controllers).
Where nothing can be made the caller gets an empty `Groups` and says so in its capabilities.
"""

import contextlib
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from actors.sandbox.protocol import SandboxLimits

_PERIOD_US = 100_000
_PREFIX = "manta-"
_MOUNTS = Path("/proc/self/mountinfo")
_OWN = Path("/proc/self/cgroup")


@dataclass(frozen=True, slots=True)
class Groups:
    """The groups of one sandbox, as directories."""

    paths: tuple[Path, ...] = ()
    memory: Path | None = None
    processes: Path | None = None

    @property
    def doors(self) -> list[str]:
        """Files that a process writes `0` to in order to join."""
        return [str(path / "cgroup.procs") for path in self.paths]

    def oom_kills(self) -> int:
        """Processes that the kernel has killed here for want of memory."""
        for name in ("memory.events", "memory.oom_control"):
            for line in _lines(self.memory / name) if self.memory else ():
                key, _, value = line.partition(" ")
                if key == "oom_kill":
                    return int(value)
        return 0

    def pids(self) -> set[int]:
        """Processes inside now."""
        return {int(line) for path in self.paths for line in _lines(path / "cgroup.procs")}

    def end(self, patience_s: float = 3.0) -> None:
        """End every process inside and give the groups back; blocking, usually a millisecond.

        A group whose last process is still on its way out cannot be removed yet: it is tried
        again until `patience_s` is over.
        """
        deadline = time.monotonic() + patience_s
        while not self._removed() and time.monotonic() < deadline:
            for pid in self.pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.001)

    def _removed(self) -> bool:
        left = [path for path in self.paths if path.exists()]
        for path in left:
            with contextlib.suppress(OSError):
                path.rmdir()
        return not any(path.exists() for path in left)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def parents(mounts: Sequence[str], groups: Sequence[str]) -> dict[str, Path]:
    """Where groups can be made, controller by controller.

    `mounts` are lines of /proc/self/mountinfo, `groups` of /proc/self/cgroup.
    """
    own = {line.split(":", 2)[1]: line.split(":", 2)[2] for line in groups}
    found: dict[str, Path] = {}
    for line in mounts:
        left, _, right = line.partition(" - ")
        root, point = left.split()[3:5]
        kind, _, options = right.split(" ", 2)
        if kind == "cgroup":
            mounted = set(options.replace(" ", ",").split(","))
            names = next((key for key in own if key and set(key.split(",")) <= mounted), "")
            for name in {"memory", "pids", "cpu"} & set(names.split(",")):
                found[name] = _below(point, root, own[names])
        elif kind == "cgroup2" and "" in own:
            beside = _below(point, root, own[""]).parent
            for name in " ".join(_lines(beside / "cgroup.subtree_control")).split():
                found.setdefault(name, beside)
    return found


def _parents() -> dict[str, Path]:
    return parents(_lines(_MOUNTS), _lines(_OWN))


def _below(point: str, root: str, own: str) -> Path:
    relative = own.removeprefix(root) if root != "/" else own
    return Path(point) / relative.lstrip("/")


def _settings(limits: SandboxLimits) -> dict[str, tuple[tuple[str, str], ...]]:
    """Files to write per controller, both versions; absent ones are skipped."""
    memory, quota = str(limits.memory), str(int(limits.cpus * _PERIOD_US))
    return {
        "memory": (
            ("memory.limit_in_bytes", memory),
            ("memory.memsw.limit_in_bytes", memory),
            ("memory.max", memory),
            ("memory.swap.max", "0"),
            ("memory.oom.group", "0"),
        ),
        "pids": (("pids.max", str(limits.processes)),),
        "cpu": (
            ("cpu.cfs_period_us", str(_PERIOD_US)),
            ("cpu.cfs_quota_us", quota),
            ("cpu.max", f"{quota} {_PERIOD_US}"),
        ),
    }


def memory_group(pid: int) -> Groups:
    """The group that counts a process' memory, whoever made it, where it can be seen."""
    lines = _lines(Path(f"/proc/{pid}/cgroup"))
    own = {line.split(":", 2)[1]: line.split(":", 2)[2] for line in lines}
    for line in _lines(_MOUNTS):
        left, _, right = line.partition(" - ")
        root, point = left.split()[3:5]
        kind, _, options = right.split(" ", 2)
        mounted = options.replace(" ", ",").split(",")
        for names, path in own.items():
            ours = "memory" in names.split(",") and "memory" in mounted
            place = _below(point, root, path)
            if (ours or (kind == "cgroup2" and not names)) and _counts_memory(place):
                return Groups((), place)
    return Groups()


def _counts_memory(place: Path) -> bool:
    return any((place / name).exists() for name in ("memory.events", "memory.oom_control"))


def existing(name: str) -> Groups:
    """The groups that a sandbox of this name has now, whoever made them."""
    parents = _parents()
    made = {key: parent / f"{_PREFIX}{name}" for key, parent in parents.items()}
    present = {key: path for key, path in made.items() if path.is_dir()}
    paths = tuple(dict.fromkeys(present[key] for key in sorted(present)))
    return Groups(paths, present.get("memory"), present.get("pids"))


def make(name: str, limits: SandboxLimits) -> Groups:
    """Make (or find) the groups of a sandbox and set its limits. Blocking, under a millisecond."""
    settings = _settings(limits)
    for controller, parent in _parents().items():
        if controller not in settings:
            continue
        path = parent / f"{_PREFIX}{name}"
        try:
            path.mkdir(exist_ok=True)
            _apply(path, settings[controller])
        except OSError:
            with contextlib.suppress(OSError):
                path.rmdir()
    return existing(name)


def _apply(path: Path, values: tuple[tuple[str, str], ...]) -> None:
    written = 0
    for file, value in values:
        if (path / file).exists():
            (path / file).write_text(value)
            written += 1
    if not written:
        raise FileNotFoundError(path)


def available() -> Groups:
    """What can be made and joined here, tried once and given back; blocking, a few ms."""
    groups = make(f"probe-{os.getpid()}-{secrets.token_hex(4)}", SandboxLimits())
    joined = all(_joins(door) for door in groups.doors)
    groups.end()
    return groups if joined else Groups()


def _joins(door: str) -> bool:
    argv = ["/bin/sh", "-c", 'echo 0 > "$1"', "sh", door]
    return subprocess.run(argv, check=False, capture_output=True, env={}).returncode == 0
