"""Container engines, as they are installed here: podman or docker, found, asked and understood.

All that differs between the two is in `DIALECTS`. An engine is spoken to by its command line:
no socket of it is opened here, and none is ever shown to a sandbox.
"""

import functools
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.sandbox.protocol import (
    NoSpaceError,
    SandboxError,
    SandboxLostError,
    SandboxUnavailableError,
)

_ANSWERS_WITHIN_S = 20.0
_MEANT_FOR_ENGINES = (
    *("PATH", "HOME", "USER", "LANG", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"),
    *("XDG_DATA_HOME", "DBUS_SESSION_BUS_ADDRESS"),
    *("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"),
    *("CONTAINER_HOST", "CONTAINERS_CONF", "CONTAINERS_STORAGE_CONF", "STORAGE_DRIVER"),
)
Facts = Mapping[str, Any]  # Any: what an engine says of itself, as JSON


@dataclass(frozen=True, slots=True)
class Engine:
    """One that answered. `limits` are those it can enforce: of memory, pids, cpu."""

    name: str
    version: str
    command: tuple[str, ...]
    rootless: bool
    same_kernel: bool
    """Its containers run on this machine's own kernel, not in a virtual machine or elsewhere."""
    old_groups: bool
    """Version 1 of control groups."""
    limits: frozenset[str]

    @property
    def dialect(self) -> "Dialect":
        return DIALECTS[self.name]

    @property
    def pauses(self) -> bool:
        return not (self.rootless and self.old_groups)

    def argv(self, *words: str) -> list[str]:
        return [*self.command, *words]

    def ask(self, *words: str, timeout_s: float = 120.0, cwd: Path | None = None) -> str:
        """Run one of its commands to the end; blocking. `cwd`: its working directory, or ours.

        Raises:
            SandboxError: it refused, or did not answer in time; says what to do.
        """
        try:
            done = subprocess.run(
                self.argv(*words),
                check=False,
                capture_output=True,
                stdin=subprocess.DEVNULL,
                env=environment(),
                cwd=cwd,
                timeout=timeout_s,
            )
        except subprocess.TimeoutExpired:
            raise SandboxUnavailableError(
                f"{self.name} {words[0]} gave no answer in {timeout_s:.0f} s",
                f"look at the engine: {self.name} info",
            ) from None
        if done.returncode:
            raise understood(self.name, done.stderr.decode(errors="replace"))
        return done.stdout.decode(errors="replace").strip()


def _podman(program: str, facts: Facts) -> Engine:
    host: Facts = facts["host"]
    old = host.get("cgroupVersion") == "v1"
    command = [program]
    if old and host["ociRuntime"]["name"] == "crun" and shutil.which("runc"):
        command += ["--runtime", "runc"]  # crun refuses version 1 beside an empty version 2
    rootless = bool(host["security"]["rootless"])
    return Engine(
        name="podman",
        version=str(facts["version"]["Version"]),
        command=tuple(command),
        rootless=rootless,
        same_kernel=sys.platform.startswith("linux") and not host.get("serviceIsRemote"),
        old_groups=old,
        limits=frozenset(() if rootless and old else host.get("cgroupControllers") or ()),
    )


def _docker(program: str, facts: Facts) -> Engine:
    able = {"memory": "MemoryLimit", "pids": "PidsLimit", "cpu": "CpuCfsQuota"}
    system = str(facts.get("OperatingSystem", ""))
    remote = os.environ.get("DOCKER_HOST", "unix://")
    return Engine(
        name="docker",
        version=str(facts["ServerVersion"]),
        command=(program,),
        rootless=any("rootless" in option for option in facts.get("SecurityOptions") or ()),
        same_kernel=sys.platform.startswith("linux")
        and "Desktop" not in system
        and remote.startswith("unix://"),
        old_groups=str(facts.get("CgroupVersion", "1")) == "1",
        limits=frozenset(name for name, fact in able.items() if facts.get(fact)),
    )


@dataclass(frozen=True, slots=True)
class Dialect:
    """What one engine says otherwise than the other."""

    facts: tuple[str, ...]
    """Its command that tells about itself as JSON."""
    read: Callable[[str, Facts], Engine]
    run: tuple[str, ...]
    """Options of `run` against habits of this engine's own."""
    scratch: str
    """Options of a file system in memory."""
    remove: tuple[str, ...]
    """End a container, whatever it does."""
    start: str
    """How to start what answers its command line."""


DIALECTS = {
    "podman": Dialect(
        facts=("info", "--format", "json"),
        read=_podman,
        # It would hand on proxies with their passwords, look for systemd, and add file systems.
        run=("--http-proxy=false", "--systemd=false", "--read-only-tmpfs=false"),
        scratch="nosuid,nodev,notmpcopyup",
        remove=("rm", "--force", "--time", "0"),
        start="on macOS: podman machine init && podman machine start",
    ),
    "docker": Dialect(
        facts=("info", "--format", "{{json .}}"),
        read=_docker,
        run=(),
        scratch="nosuid,nodev,exec",
        remove=("rm", "--force", "--volumes"),
        start="systemctl start docker (macOS: start Docker Desktop or colima)",
    ),
}
"""In the order in which they are looked for: podman needs neither a daemon nor root."""


def environment() -> dict[str, str]:
    """What engines may know of ours; containers get nothing of it."""
    return {name: os.environ[name] for name in _MEANT_FOR_ENGINES if name in os.environ}


@functools.cache
def find_engine(image: str = "", names: Sequence[str] = tuple(DIALECTS)) -> Engine:
    """The first engine that answers and has the image; else the first that answers. Blocking, some
    400 ms the first time.

    Raises:
        SandboxUnavailableError: none is installed, or none of those answers.
    """
    said: list[str] = []
    fixes: list[str] = []
    answering: list[Engine] = []
    for name in names:
        program = shutil.which(name)
        if not program:
            continue
        try:
            engine = DIALECTS[name].read(program, _facts(name, program))
            answering.append(engine)
            if image:
                engine.ask("image", "inspect", image)
            return engine
        except SandboxError as error:
            said.append(f"{name}: {error.what}")
            fixes.append(error.fix or DIALECTS[name].start)
    if answering:
        return answering[0]
    raise SandboxUnavailableError(
        "; ".join(said) or "no container engine is installed",
        "; ".join(fixes) or "apt-get install podman (or dnf, brew), or install Docker",
    )


def _facts(name: str, program: str) -> Facts:
    dialect = DIALECTS[name]
    try:
        done = subprocess.run(
            [program, *dialect.facts],
            check=False,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env=environment(),
            timeout=_ANSWERS_WITHIN_S,
        )
        facts: Facts = json.loads(done.stdout or b"{}")
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise SandboxUnavailableError(f"it does not answer: {error}", dialect.start) from None
    if done.returncode or facts.get("ServerErrors"):
        words = done.stderr.decode(errors="replace") or "\n".join(facts["ServerErrors"])
        raise understood(name, words)
    return facts


def ulimits() -> list[str]:
    """Options that lower limits to what this process may ask for: podman asks for more by itself,
    and an engine without privileges is refused it."""
    options = ["--ulimit", "core=0:0"]
    kinds = (("nofile", resource.RLIMIT_NOFILE, 65_536), ("nproc", resource.RLIMIT_NPROC, 32_768))
    for name, kind, wanted in kinds:
        hard = resource.getrlimit(kind)[1]
        most = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        options += ["--ulimit", f"{name}={most}:{most}"]
    return options


_CAUSES: tuple[tuple[tuple[str, ...], type[SandboxError], str], ...] = (
    (
        (
            "no such container",
            "no such object",
            "no container with",
            "is not running",
            "state improper",
        ),
        SandboxLostError,
        "make a new one",
    ),
    (
        ("image not known", "no such image", "unable to find image", "not found locally"),
        SandboxUnavailableError,
        "build it: {name} build -f cluster/docker/sandbox.Dockerfile -t manta-sandbox .",
    ),
    (
        ("permission denied while trying to connect", "dial unix /var/run/docker.sock: connect: p"),
        SandboxUnavailableError,
        "use rootless podman or rootless Docker (membership of the group docker is root's power)",
    ),
    (
        ("cannot connect to the docker daemon", "connection refused", "podman machine start"),
        SandboxUnavailableError,
        "start the engine: {start}",
    ),
    (
        ("cgroups in hybrid mode not supported",),
        SandboxUnavailableError,
        "apt-get install runc: crun cannot use this machine's control groups",
    ),
    (
        ("newuidmap", "cannot find mappings", "no subuid ranges"),
        SandboxUnavailableError,
        "apt-get install uidmap, and give your user a range: usermod --add-subuids "
        "100000-165535 --add-subgids 100000-165535 $USER; then: podman system migrate",
    ),
    (
        ("executable file not found", "no such file or directory: oci"),
        SandboxUnavailableError,
        "the image needs python3, bash, git and tar: build ours, or add them to yours",
    ),
    (("no space left on device",), NoSpaceError, "free disk space: {name} system prune"),
)


def understood(name: str, said: str) -> SandboxError:
    """An engine's words as an error of ours, with what to do."""
    words = said.strip()[-500:] or "it ended without a word"
    for signs, kind, fix in _CAUSES:
        if any(sign in said.lower() for sign in signs):
            return kind(f"{name}: {words}", fix.format(name=name, start=DIALECTS[name].start))
    return SandboxUnavailableError(f"{name}: {words}", f"look at the engine: {name} info")
