"""Why the local level may not work on a machine, read from its settings: the doctor's second look.

The self-test tries; this explains what it met. Nothing is changed here.
"""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from actors.sandbox.local.frame import APPARMOR_PROFILE
from actors.sandbox.protocol import Check

PROFILE_PLACE = "/etc/apparmor.d/bwrap"
_PACKAGES: Mapping[str, str] = {
    "bwrap": "bubblewrap",
    "nsenter": "util-linux",
    "prlimit": "util-linux",
    "setpriv": "util-linux",
    "git": "git",
}
_NAMESPACES = (
    ("kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"),
    ("user/max_net_namespaces", "0", "sysctl -w user.max_net_namespaces=15000"),
)
_IN_A_CONTAINER = (
    "in Docker add --security-opt systempaths=unconfined --security-opt apparmor=unconfined and a "
    "seccomp profile that allows user namespaces (docs/sandboxes.md)"
)
Find = Callable[[str], str | None]


def obstacles(root: Path = Path("/"), find: Find = shutil.which) -> list[Check]:
    """Every known reason, fine or not. `root` is where /proc, /sys and /etc are looked for."""
    return [_programs(find), _namespaces(root), _apparmor(root), _container(root)]


def _programs(find: Find) -> Check:
    missing = [name for name in _PACKAGES if find(name) is None]
    packages = " ".join(dict.fromkeys(_PACKAGES[name] for name in missing))
    return Check(
        "sandbox programs",
        not missing,
        f"missing: {', '.join(missing)}" if missing else "all there",
        f"apt-get install {packages} (or dnf, apk, pacman)" if missing else "",
    )


def _namespaces(root: Path) -> Check:
    off = [(name, fix) for name, bad, fix in _NAMESPACES if _read(root / "proc/sys" / name) == bad]
    return Check(
        "user namespaces",
        not off,
        f"switched off by {', '.join(name.replace('/', '.') for name, _ in off)}"
        if off
        else "allowed",
        "; ".join(fix for _, fix in off),
    )


def _apparmor(root: Path) -> Check:
    restricted = _read(root / "proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1"
    loaded = _read(root / "sys/kernel/security/apparmor/profiles")
    allowed = any(line.split(" ")[0] == "bwrap" for line in loaded.splitlines())
    if not restricted or allowed or (root / PROFILE_PLACE.lstrip("/")).exists():
        detail = "has a profile for bubblewrap" if restricted else "does not restrict namespaces"
        return Check("AppArmor", True, detail)
    return Check(
        "AppArmor",
        False,
        "forbids user namespaces to programs without a profile (Ubuntu 24.04 and later)",
        f"manta doctor --apparmor | sudo tee {PROFILE_PLACE} && "
        f"sudo apparmor_parser -r {PROFILE_PLACE}",
    )


def _container(root: Path) -> Check:
    inside = (root / ".dockerenv").exists() or (root / "run/.containerenv").exists()
    inside = inside or "kubepods" in _read(root / "proc/self/cgroup")
    masked = any(
        line.split()[4:5] == ["/proc/sys"]
        for line in _read(root / "proc/self/mountinfo").splitlines()
    )
    if not masked:
        return Check("/proc", True, "unmasked" + (", in a container" if inside else ""))
    return Check(
        "/proc",
        False,
        "masked by the container engine: no sandbox can mount a /proc of its own",
        f"{_IN_A_CONTAINER}; in Kubernetes procMount: Unmasked with hostUsers: false",
    )


def apparmor_profile() -> str:
    """What lets bubblewrap, and nothing else, make user namespaces."""
    return APPARMOR_PROFILE


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
