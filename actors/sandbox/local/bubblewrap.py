"""Argument lists for bubblewrap, in two stages.

The *frame* is made once per sandbox by trusted code: a read-only view of the system that holds
nothing of the host but /usr and the named toolchains, the sandbox's own /tmp, home and
workspace, and an empty network. Every *command* then gets a copy of the frame in namespaces of
its own. As root the frame is made by root, because only root may look into places such as
/root/.pyenv, and the command by the sandbox's own uid: bubblewrap run by root leaves uid 0
inside, which can write /proc/sys.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from actors.sandbox.protocol import WORKSPACE, SandboxLimits
from orchestration.errors import UsageError

HOME = "/home/agent"
UID = 1000
"""What the sandbox's user is called inside, whoever it is outside."""
_SHM = 64 * 1024**2
_TMP = "/tmp"  # noqa: S108 - the sandbox's own, not this machine's
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - the sandbox's own, not this machine's
_SYSTEM_LINKS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_ETC_SHOWN = (
    *("alternatives", "ca-certificates", "ca-certificates.conf", "crypto-policies", "fonts"),
    *("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "mime.types", "pki", "ssl"),
    "python3",
)
ETC_FILES: Mapping[str, str] = {
    "passwd": f"root:x:0:0::/nonexistent:/bin/false\nagent:x:{UID}:{UID}::{HOME}:/bin/bash\n",
    "group": f"root:x:0:\nagent:x:{UID}:\n",
    "hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
    "resolv.conf": "",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "hostname": "sandbox\n",
    "gitconfig": "[user]\n\tname = Manta\n\temail = manta@localhost\n[safe]\n\tdirectory = *\n",
}
_TAKEN = ("/dev", "/proc", "/sys", "/run", "/etc", "/bin", "/sbin", "/lib", "/lib64", "/boot")
_READY = "echo $$; read _"
"""What the frame's holder runs: its pid (the host's numbering), then wait to be let go."""
_JOIN = (
    "ulimit -c 0; ulimit -n 65536 2>/dev/null || ulimit -n $(ulimit -Hn); ulimit -f $1; shift; "
    'n=$1; shift; while [ $n -gt 0 ]; do echo 0 > "$1" || exit 125; shift; n=$((n - 1)); done; '
    'exec "$@"'
)
"""Before anything else: limits, then the control groups, then the rest."""
_FIRST = '(exec "$@"); exit $?'
"""Process 1 of a command: waits for it and reaps orphans; its end is the end of all others.

Bubblewrap's own process 1 outlives the one that we wait for, and then needs a reaper that many
containers lack. The subshell makes `exec` find programs only, never the shell's own words.
"""


@dataclass(frozen=True, slots=True)
class Tools:
    """Where the host's own programs are."""

    bwrap: str
    nsenter: str
    sh: str = "/bin/sh"


@dataclass(frozen=True, slots=True)
class Namespaces:
    """Descriptors of a frame's namespaces, as paths that any process of ours can open."""

    mount: str
    network: str
    user: str | None
    """None when root made the frame: then the command's uid is `owner`."""
    owner: int | None


def checked_toolchains(
    paths: Iterable[str], *, hidden: Path, present: Sequence[str] = ("/usr",)
) -> tuple[str, ...]:
    """Directories to show read-only; those below `present` are there anyway.

    Raises:
        UsageError: not an absolute, existing directory, or one that would show `hidden`.
    """
    kept: list[str] = []
    for path in paths:
        pure = PurePosixPath(path)
        if not pure.is_absolute() or ".." in pure.parts or not Path(path).is_dir():
            raise UsageError(f"toolchain {path!r} is no directory", "name an absolute directory")
        if path.startswith((f"{WORKSPACE}/", f"{HOME}/")) or _within(path, _TAKEN):
            raise UsageError(f"toolchain {path!r} cannot be shown", "keep toolchains elsewhere")
        if hidden.is_relative_to(path) or len(pure.parts) < 2:
            raise UsageError(f"toolchain {path!r} would show the sandboxes", "name it closely")
        if not _within(path, present):
            kept.append(path)
    return tuple(dict.fromkeys(kept))


def _within(path: str, parents: Sequence[str]) -> bool:
    return any(path == parent or path.startswith(f"{parent}/") for parent in parents)


def _system() -> list[str]:
    argv = ["--ro-bind", "/usr", "/usr"]
    for name in _SYSTEM_LINKS:
        path = Path("/", name)
        if path.is_symlink():
            argv += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            argv += ["--ro-bind", str(path), str(path)]
    return argv


def _etc(generated: Path) -> list[str]:
    argv = _folder("/etc") + _folder("/etc/empty")
    for name in _ETC_SHOWN:
        argv += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    for name in ETC_FILES:
        argv += ["--ro-bind", str(generated / name), f"/etc/{name}"]
    return argv


def _folder(path: str) -> list[str]:
    """Readable by all: bubblewrap would make parents that only their maker can enter."""
    return ["--perms", "0755", "--dir", path]


def _scratch(path: str, size: int) -> list[str]:
    return ["--perms", "1777", "--size", str(size), "--tmpfs", path]


def _toolchains(paths: Sequence[str]) -> list[str]:
    argv: list[str] = []
    for path in paths:
        for parent in reversed(PurePosixPath(path).parents):
            if str(parent) not in ("/", _TMP, "/home"):
                argv += _folder(str(parent))
        argv += ["--ro-bind", path, path]
    return argv


def frame_argv(
    tools: Tools, *, workspace: Path, generated: Path, toolchains: Sequence[str],
    limits: SandboxLimits, as_root: bool,
) -> list[str]:  # fmt: skip
    """Start the frame's holder. It prints its pid and waits for a line or the end of stdin."""
    return [
        tools.bwrap,
        *(() if as_root else ("--unshare-user",)),
        "--unshare-net",
        "--die-with-parent",
        *_system(),
        *_etc(generated),
        *("--dev", "/dev"),
        *_scratch(_SHARED_MEMORY, min(_SHM, limits.tmp)),
        *("--remount-ro", "/dev"),
        *("--bind", "/proc", "/proc"),
        *_scratch(_TMP, limits.tmp),
        *_folder("/home"),
        *_scratch(HOME, limits.tmp),
        *_folder("/run"),
        *_folder("/var"),
        *("--symlink", _TMP, f"/var{_TMP}"),
        *_toolchains(toolchains),
        *("--bind", str(workspace), WORKSPACE),
        *("--remount-ro", "/"),
        *("--chdir", "/"),
        *(tools.sh, "-c", _READY),
    ]


def copy_argv(tools: Tools, source: Path, target: Path, owner: int | None) -> list[str]:
    """Copy a workspace that hostile code may be changing: what it could make the copier follow
    is not there."""
    drop = ("setpriv", f"--reuid={owner}", f"--regid={owner}", "--clear-groups", "--no-new-privs")
    return [
        *(tools.bwrap, "--unshare-net", "--unshare-pid", "--unshare-ipc", "--die-with-parent"),
        *(() if owner is not None else ("--unshare-user",)),
        *_system(),
        *("--dev", "/dev", "--ro-bind", str(source), "/from", "--bind", str(target), "/to"),
        *("--remount-ro", "/", "--chdir", "/"),
        *(() if owner is None else drop),
        *("cp", "-a", "--reflink=auto", "--", "/from/.", "/to"),
    ]


def environment(spec_env: Mapping[str, str], toolchains: Sequence[str]) -> dict[str, str]:
    """The whole environment of a command; nothing is inherited."""
    bins = [f"{path}/bin" for path in toolchains]
    return {
        "PATH": ":".join([*bins, "/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"]),
        "HOME": HOME,
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        **spec_env,
    }


@dataclass(frozen=True, slots=True)
class Confinement:
    """What holds for every command of one sandbox. `doors` are control groups to join."""

    tools: Tools
    namespaces: Namespaces
    limits: SandboxLimits
    doors: Sequence[str]


def command_argv(
    inside: Confinement, command: Sequence[str], *, cwd: str, env: Mapping[str, str],
    status_fd: int, seccomp_fd: int | None,
) -> list[str]:  # fmt: skip
    """Run one command in its own copy of the frame."""
    tools, namespaces, limits, doors = inside.tools, inside.namespaces, inside.limits, inside.doors
    settings = [part for key, value in env.items() for part in ("--setenv", key, value)]
    return [
        *(tools.sh, "-c", _JOIN, "sh", str(limits.file // 512), str(len(doors)), *doors),
        *(tools.nsenter, f"--mount={namespaces.mount}", f"--net={namespaces.network}"),
        *_identity(namespaces),
        tools.bwrap,
        *("--unshare-user", "--uid", str(UID), "--gid", str(UID)),
        *("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--hostname", "sandbox"),
        *("--unshare-cgroup-try", "--die-with-parent", "--new-session", "--cap-drop", "ALL"),
        "--as-pid-1",
        *("--dev-bind", "/", "/", "--proc", "/proc"),
        # Process 1 tells the exit status: nobody inside may open its memory.
        *("--ro-bind", "/etc/empty", "/proc/1"),
        *settings,
        *("--chdir", str(PurePosixPath(WORKSPACE, cwd))),
        *("--json-status-fd", str(status_fd)),
        *(() if seccomp_fd is None else ("--seccomp", str(seccomp_fd))),
        *("--", tools.sh, "-c", _FIRST, "sh"),
        *(() if doors else ("prlimit", f"--nproc={limits.processes}", "--")),
        *command,
    ]


def _identity(namespaces: Namespaces) -> list[str]:
    if namespaces.user is None:
        return ["-S", str(namespaces.owner), "-G", str(namespaces.owner)]
    return [f"--user={namespaces.user}", "--preserve-credentials"]
