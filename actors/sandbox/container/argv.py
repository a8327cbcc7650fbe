"""Argument lists for a container engine: one container per sandbox, and commands run in it.

The container has nothing of the host but the workspace, the shepherd, generated files of /etc and
the named toolchains; no network, no capability, no way to gain one, a read-only system, and limits.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from actors.sandbox.commands.orders import INTERPRETER, PORTER, SHEPHERD
from actors.sandbox.container.engines import Engine, ulimits
from actors.sandbox.local.bubblewrap import ETC_FILES, HOME, UID, checked_toolchains
from actors.sandbox.local.frame import write_etc
from actors.sandbox.network.egress import PORT as PROXY_PORT
from actors.sandbox.protocol import WORKSPACE, SandboxLimits
from actors.sandbox.workspace.store import Record
from orchestration.errors import UsageError

LABEL = "manta.sandbox"
ROOT_LABEL = "manta.root"
"""Of every container: which sandbox it is, and below which directory."""
DOOR = "egress"
"""The proxy's socket in the directory that is shown for it."""
_INSIDE = "/.manta"
_SHEPHERD, _PORTER = f"{_INSIDE}/shepherd.py", f"{_INSIDE}/porter.py"
_SHM = 64 * 1024**2
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_RELABELLED = ",z" if Path("/sys/fs/selinux/enforce").exists() else ""
"""Where SELinux rules, what a container may touch must be labelled so."""


@dataclass(frozen=True, slots=True)
class Box:
    """What holds for every container of one provider."""

    engine: Engine
    image: str
    root: Path
    toolchains: tuple[str, ...]


def name_of(record_id: str) -> str:
    """The container of a sandbox."""
    return f"manta-{record_id}"


def user_of(engine: Engine, record: Record) -> tuple[int, int]:
    """Uid and gid inside. Without privileges the engine maps its root to us, and to nobody else."""
    if engine.rootless:
        return 0, 0
    if record.owner is not None:
        return record.owner, record.owner
    return os.geteuid(), os.getegid()


def shown_toolchains(box: Box, record: Record) -> tuple[str, ...]:
    """Those of the provider and the sandbox.

    Raises:
        UsageError: one cannot be shown.
    """
    wanted = (*box.toolchains, *record.spec.toolchains)
    return checked_toolchains(wanted, hidden=box.root, present=())


def _volume(source: Path | str, target: str, *options: str) -> list[str]:
    if ":" in str(source):
        raise UsageError(f"{source} cannot be shown: it holds a colon", "name it by another path")
    chosen = ",".join(options) + _RELABELLED * ("rw" in options)
    return ["--volume", f"{source}:{target}:{chosen}"]


def _walls(engine: Engine) -> list[str]:
    """What holds for every container of ours."""
    return [
        *("--pull", "never", "--log-driver", "none", "--workdir", "/"),
        *("--network", "none", "--hostname", "sandbox", "--read-only"),
        *("--cap-drop", "all", "--security-opt", "no-new-privileges"),
        *ulimits(),
        *engine.dialect.run,
    ]


def _limits(engine: Engine, limits: SandboxLimits) -> list[str]:
    able = engine.limits
    memory = ("--memory", str(limits.memory), "--memory-swap", str(limits.memory))
    return [
        *(memory if "memory" in able else ()),
        *(("--pids-limit", str(limits.processes)) if "pids" in able else ()),
        *(("--cpus", f"{limits.cpus:g}") if "cpu" in able else ()),
    ]


def _scratch(engine: Engine, path: str, size: int) -> list[str]:
    return ["--tmpfs", f"{path}:rw,mode=1777,size={size},{engine.dialect.scratch}"]


def _emptied(engine: Engine, path: str) -> list[str]:
    """Nothing is there, and nothing can be put there."""
    return ["--tmpfs", f"{path}:ro,mode=555,size=4096,{engine.dialect.scratch}"]


def _etc(box: Box, record: Record) -> list[str]:
    """Generated files of /etc: what the image or the host says there is not shown."""
    uid, gid = user_of(box.engine, record)
    generated = write_etc(box.root)
    known = {name: (generated / name).read_text() for name in ("passwd", "group")}
    agent = f"agent:x:{UID}:"
    own = {
        "passwd": known["passwd"].replace(f"{agent}{UID}", f"agent:x:{uid}:{gid}"),
        "group": known["group"].replace(agent, f"agent:x:{gid}:"),
    }
    argv: list[str] = []
    for name in ETC_FILES:
        path = generated / name
        if name in own:
            path = record.home / name
            path.write_text(own[name])
            path.chmod(0o644)
        argv += _volume(path, f"/etc/{name}", "ro")
    return argv


def keeper_argv(box: Box, record: Record, *, door: Path | None) -> list[str]:
    """Start the container of a sandbox, which waits for commands."""
    engine, limits = box.engine, record.spec.limits
    uid, gid = user_of(engine, record)
    labels = {LABEL: record.id, ROOT_LABEL: str(box.root), **record.spec.labels}
    argv = ["run", "--detach", "--name", name_of(record.id), "--user", f"{uid}:{gid}"]
    for key, value in labels.items():
        argv += ["--label", f"{key}={value}"]
    argv += _walls(engine) + _limits(engine, limits) + _etc(box, record)
    argv += ["--shm-size", str(min(_SHM, limits.tmp))]
    for place in ("/tmp", HOME, "/var/tmp"):  # noqa: S108 - the sandbox's own
        argv += _scratch(engine, place, limits.tmp)
    for place in ("/run", "/sys"):
        argv += _emptied(engine, place)
    argv += _volume(record.workspace, WORKSPACE, "rw")
    argv += _volume(SHEPHERD, _SHEPHERD, "ro") + _volume(PORTER, _PORTER, "ro")
    for path in shown_toolchains(box, record):
        argv += _volume(path, path, "ro")
    if door:
        argv += _volume(door, f"{_INSIDE}/door", "ro")
    relay = (str(PROXY_PORT), f"{_INSIDE}/door/{DOOR}") if door else ("0", "")
    program, *options = INTERPRETER
    return [*argv, "--entrypoint", program, box.image, *options, _PORTER, "first", *relay]


def shepherd_argv(name: str, verb: str) -> list[str]:
    """Let a shepherd do something in a running container."""
    return ["exec", "--interactive", name, *INTERPRETER, _SHEPHERD, verb]


def dial_argv(name: str, port: int) -> list[str]:
    """A connection to a port in a running container, by stdin and stdout."""
    return ["exec", "--interactive", name, *INTERPRETER, _PORTER, "dial", str(port)]


def copy_argv(box: Box, record: Record, place: Path) -> list[str]:
    """Copy a workspace that hostile code may be changing: what it could make the copier follow
    is not there."""
    uid, gid = user_of(box.engine, record)
    return [
        *("run", "--rm", "--user", f"{uid}:{gid}", "--label", f"{ROOT_LABEL}={box.root}"),
        *_walls(box.engine),
        *_volume(record.workspace, "/from", "ro"),
        *_volume(place, "/to", "rw"),
        *(v for path in shown_toolchains(box, record) for v in _volume(path, path, "ro")),
        *("--entrypoint", "cp", box.image, "-a", "--", "/from/.", "/to"),
    ]


def environment(
    image: Sequence[str], toolchains: Sequence[str], *given: Mapping[str, str]
) -> dict[str, str]:
    """The whole environment of a command: the image's own words, ours, and what was given."""
    known = {name: value for name, _, value in (word.partition("=") for word in image)}
    bins = [f"{path}/bin" for path in toolchains]
    path = ":".join([*bins, known.get("PATH", _DEFAULT_PATH)])
    settled = {"PATH": path, "HOME": HOME, "LANG": "C.UTF-8", "TERM": "dumb"}
    return {key: value for words in (known, settled, *given) for key, value in words.items()}
