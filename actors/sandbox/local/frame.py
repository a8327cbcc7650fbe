"""The frame of one local sandbox: its namespaces, held open by descriptors and nothing else."""

import fcntl
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from actors.sandbox.local.bubblewrap import ETC_FILES, Namespaces, Tools, copy_argv, frame_argv
from actors.sandbox.protocol import SandboxUnavailableError
from actors.sandbox.workspace.store import Record

_NS_GET_USERNS = 0xB701
_OPENS_WITHIN_S = 30.0


@dataclass(slots=True)
class Frame:
    """Open namespaces. They end with their descriptors, so also with this process."""

    descriptors: tuple[int, ...]
    namespaces: Namespaces

    def close(self) -> None:
        for fd in self.descriptors:
            os.close(fd)
        self.descriptors = ()


def find_tools(path: str = "/usr/bin:/bin:/usr/local/bin") -> Tools:
    """Where bubblewrap and nsenter are.

    Raises:
        SandboxUnavailableError: one is missing.
    """
    found = {name: shutil.which(name, path=path) for name in _PACKAGES}
    for name, place in found.items():
        if place is None:
            package = _PACKAGES[name]
            raise SandboxUnavailableError(
                f"{name} is not installed", f"apt-get install {package} (or dnf, apk, pacman)"
            )
    return Tools(str(found["bwrap"]), str(found["nsenter"]))


_PACKAGES = {"bwrap": "bubblewrap", "nsenter": "util-linux"}


def write_etc(root: Path) -> Path:
    """The generated files of /etc, the same for every sandbox."""
    folder = root / ".etc"
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    for name, text in ETC_FILES.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            path.chmod(0o644)
    return folder


def open_frame(tools: Tools, record: Record, root: Path, toolchains: tuple[str, ...]) -> Frame:
    """Make the namespaces of one sandbox; blocking, about 10 ms.

    Raises:
        SandboxUnavailableError: the kernel or its policy refuses; says what to do.
    """
    argv = frame_argv(
        tools,
        workspace=record.workspace,
        generated=write_etc(root),
        toolchains=toolchains,
        limits=record.spec.limits,
        as_root=record.owner is not None,
    )
    holder = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={}
    )
    with holder:
        assert holder.stdin
        assert holder.stdout
        assert holder.stderr
        said = holder.stdout.readline().strip()
        try:
            if not said.isdigit():
                raise diagnosed(holder.stderr.read().decode(errors="replace"))
            return _held(int(said), record.owner)
        finally:
            holder.stdin.close()
            holder.wait(_OPENS_WITHIN_S)


def copy_behind_walls(tools: Tools, record: Record, place: Path) -> None:
    """Copy a workspace into an empty directory of the same owner; blocking.

    Raises:
        SandboxUnavailableError: it could not be copied whole.
    """
    argv = copy_argv(tools, record.workspace, place, record.owner)
    done = subprocess.run(argv, check=False, capture_output=True, env={"PATH": os.defpath})
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip()[-300:]
        raise SandboxUnavailableError(f"the workspace cannot be copied: {words}", "free disk space")


def _held(pid: int, owner: int | None) -> Frame:
    here = f"/proc/{os.getpid()}/fd"
    mount = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    network = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    if owner is not None:
        names = Namespaces(f"{here}/{mount}", f"{here}/{network}", None, owner)
        return Frame((mount, network), names)
    user = fcntl.ioctl(network, _NS_GET_USERNS)
    os.set_inheritable(user, False)
    names = Namespaces(f"{here}/{mount}", f"{here}/{network}", f"{here}/{user}", None)
    return Frame((mount, network, user), names)


APPARMOR_PROFILE = """\
abi <abi/4.0>,
include <tunables/global>
profile bwrap /usr/bin/bwrap flags=(unconfined) {
  userns,
  include if exists <local/bwrap>
}
"""
"""Lets bubblewrap, and nothing else, make user namespaces (Ubuntu 24.04 and later)."""
_CAUSES = (
    (
        ("setting up uid map: Permission denied", "loopback: Failed RTM_NEWADDR"),
        "AppArmor forbids user namespaces. Put these lines into /etc/apparmor.d/bwrap and run "
        f"`apparmor_parser -r /etc/apparmor.d/bwrap`:\n{APPARMOR_PROFILE}",
    ),
    (
        ("No permissions to create", "Creating new namespace failed: Operation not permitted"),
        "user namespaces are off: set kernel.unprivileged_userns_clone=1 and "
        "user.max_user_namespaces above 0; in Docker add --security-opt seccomp=unconfined "
        "--security-opt apparmor=unconfined, or run the level `container` or `e2b`",
    ),
    (
        ("mount proc", "Can't mount proc"),
        "/proc is masked by the container engine: run it with "
        "--security-opt systempaths=unconfined (Kubernetes: procMount: Unmasked)",
    ),
)


def diagnosed(said: str) -> SandboxUnavailableError:
    """Turn bubblewrap's last words into an error that names the fix."""
    words = said.strip()[-500:] or "bubblewrap ended without a word"
    fix = next((fix for signs, fix in _CAUSES if any(sign in said for sign in signs)), "")
    return SandboxUnavailableError(
        f"the local sandbox cannot be opened: {words}", fix or "run `manta doctor`"
    )
