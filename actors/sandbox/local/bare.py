"""The level `none`: a bare process in a directory. It protects nothing, and must be asked for.

Whatever runs here can read and change everything its user can. It exists for machines where the
code is trusted or the whole machine is the sandbox, and as the measure for the attack suite.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from actors.sandbox.commands.process import Child, Launch, Verdict, from_status
from actors.sandbox.local.bubblewrap import environment
from actors.sandbox.local.caches import cache_variables
from actors.sandbox.local.directory import DirectoryProvider
from actors.sandbox.local.enclosure import Command
from actors.sandbox.network.relay import Streams
from actors.sandbox.protocol import (
    WORKSPACE,
    Capabilities,
    Check,
    Level,
    SandboxProvider,
    UnsupportedError,
)
from actors.sandbox.workspace.files import copy_tree
from actors.sandbox.workspace.store import Record
from orchestration.clock import Clock

_MARK = "MANTA_SANDBOX"
_ROUNDS = 50
_NOT_FOUND = 127


def _marked(mark: bytes) -> list[int]:
    """Processes that carry the sandbox's name in their environment."""
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in path.read_bytes():
                found.append(int(path.parent.name))
    return found


def _end_all(mark: bytes) -> None:
    for _ in range(_ROUNDS):
        pids = _marked(mark)
        if not pids:
            return
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


class BareTree:
    """A process group, and whoever left it but kept the sandbox's mark. No more than an effort:
    code that means to survive will."""

    def __init__(self, mark: str) -> None:
        self._mark = f"{_MARK}={mark}".encode()

    async def end(self, child: Child) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        await asyncio.shield(child.exited)
        await asyncio.to_thread(_end_all, self._mark)

    def verdict(self, child: Child) -> Verdict:
        return from_status(child.exited.result())


class BareEnclosure:
    """No walls: a directory, an environment of its own, and a mark."""

    def __init__(self, record: Record, toolchains: Sequence[str]) -> None:
        self._record = record
        wanted = (*toolchains, *record.spec.toolchains)
        self._environment = environment({**cache_variables(wanted), **record.spec.env}, wanted)
        self._count = 0

    def warm(self) -> None:
        return

    async def start(self, command: Command) -> Child:
        self._count += 1
        mark = f"{self._record.id}.{os.getpid()}.{self._count}."
        home = self._record.home / "home"
        home.mkdir(exist_ok=True)
        env = {**self._environment, "HOME": str(home), **command.env, _MARK: mark}
        cwd = self._directory(command.cwd)
        program = env["PATH"] if "/" not in command.argv[0] else None
        missing = _missing(command.argv[0], program, cwd)
        argv = list(command.argv)
        if missing:
            argv = ["/bin/sh", "-c", 'echo "$1" >&2; exit "$2"', "sh", missing, str(_NOT_FOUND)]
            cwd = self._record.workspace
        launch = Launch(argv, env, str(cwd))
        return Child(launch, BareTree(mark), command.caps, command.on_output)

    def _directory(self, cwd: str) -> Path:
        inside = PurePosixPath(WORKSPACE, cwd)
        if inside.is_relative_to(WORKSPACE):
            return self._record.workspace / inside.relative_to(WORKSPACE)
        return Path(cwd)

    async def dial(self, port: int) -> Streams:
        raise UnsupportedError(f"port {port} is on this machine itself", "connect to it directly")

    async def copy_to(self, place: Path) -> None:
        await asyncio.to_thread(copy_tree, self._record.workspace, place)

    async def freeze(self) -> None:
        raise UnsupportedError("a bare process cannot be held", "leave it idle: it is free")

    async def thaw(self) -> None:
        return

    async def destroy(self) -> None:
        await asyncio.to_thread(_end_all, f"{_MARK}={self._record.id}.".encode())

    def close(self) -> None:
        return


def _missing(program: str, path: str | None, cwd: Path) -> str:
    """Why a program cannot be started, as a shell would say it; empty if it can."""
    if not cwd.is_dir():
        return f"Can't chdir to {cwd.name}: No such file or directory"
    places = [cwd] if path is None else [Path(place) for place in path.split(":")]
    if any(os.access(place / program, os.X_OK) for place in places):
        return ""
    return f"{program}: No such file or directory"


class BareWalls:
    """The level `none`."""

    level: Level = "none"
    separate_owner = False
    capabilities = Capabilities(snapshot=True, fork=True)

    def __init__(self, toolchains: Sequence[str]) -> None:
        self._toolchains = tuple(toolchains)

    def enclosure(self, record: Record) -> BareEnclosure:
        return BareEnclosure(record, self._toolchains)

    async def doctor(self, provider: SandboxProvider) -> list[Check]:
        del provider
        return [
            Check(
                "level none",
                sys.platform.startswith("linux"),
                "a bare process: code runs as you, sees your files and your network",
                "choose the level `local`, `container`, `e2b` or `daytona`",
            )
        ]


class BareProvider(DirectoryProvider):
    """Directories with bare processes in them, below `root`."""

    def __init__(
        self, root: Path, *, toolchains: Sequence[str] = (), clock: Clock | None = None
    ) -> None:
        super().__init__(root, BareWalls(toolchains), clock)
