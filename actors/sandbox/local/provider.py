"""The local level: bubblewrap per command on Linux. It shares the host's kernel, and says so."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from actors.sandbox.commands import seccomp
from actors.sandbox.commands.process import Child, Launch, Verdict, from_status, readable
from actors.sandbox.local import cgroups
from actors.sandbox.local.bubblewrap import (
    Confinement,
    Tools,
    checked_toolchains,
    command_argv,
    environment,
)
from actors.sandbox.local.caches import cache_variables
from actors.sandbox.local.directory import DirectoryProvider
from actors.sandbox.local.doctor import examine
from actors.sandbox.local.enclosure import Command
from actors.sandbox.local.frame import Frame, copy_behind_walls, diagnosed, find_tools, open_frame
from actors.sandbox.local.inmates import Inmates
from actors.sandbox.local.netdoor import open_inside
from actors.sandbox.network.egress import PORT as PROXY_PORT
from actors.sandbox.network.egress import Dial, Proxy, dial_public, proxy_environment
from actors.sandbox.network.relay import Streams
from actors.sandbox.protocol import (
    Capabilities,
    Check,
    Level,
    SandboxError,
    SandboxProvider,
    SandboxUnavailableError,
)
from actors.sandbox.workspace.store import Record, lost
from orchestration.clock import Clock

_DIES_WITHIN_S = 5.0
_STARTS_WITHIN_S = 2.0
_NOT_RUNNABLE = 126


class BubbleTree:
    """One bubblewrap and all below its process 1, whose death the kernel makes everyone's."""

    def __init__(self, status_fd: int, groups: cgroups.Groups) -> None:
        self._fd = status_fd
        self._groups = groups
        self._oom_before = groups.oom_kills()
        self._said = b""
        self._status: dict[str, int] = {}

    async def end(self, child: Child) -> None:
        if not child.exited.done():
            while not self._read_status() and await readable(self._fd, _STARTS_WITHIN_S):
                pass
            _kill_first(self._status.get("child-pid"))
            child.go_on()
            await asyncio.wait({child.exited}, timeout=_DIES_WITHIN_S)
        if not child.exited.done():
            child.send_kill()
        await asyncio.shield(child.exited)
        self._read_status()
        os.close(self._fd)

    def _read_status(self) -> bool:
        """Take what bubblewrap has reported; True once there is no use in waiting for more."""
        try:
            data = os.read(self._fd, 4096)
        except BlockingIOError:
            return "child-pid" in self._status
        self._said += data
        for line in self._said.split(b"\n")[:-1]:
            self._status |= json.loads(line)
        return not data or "child-pid" in self._status

    def verdict(self, child: Child) -> Verdict:
        code = self._status.get("exit-code")
        if self._groups.oom_kills() > self._oom_before and code != 0:
            return Verdict("oom")
        if code is not None:
            return from_status(code)
        return _never_ran(child.stderr.value(), child.exited.result())


def _never_ran(stderr: bytes, code: int) -> Verdict:
    """The command was not reached: its own fault is an answer, ours an error."""
    said = stderr.decode(errors="replace")
    line = said.strip().rpartition("\n")[2].removeprefix("bwrap: ")
    if any(sign in line for sign in ("Can't chdir", "temporarily unavailable", "annot fork")):
        return Verdict("exited", _NOT_RUNNABLE, said=f"{line}\n".encode())
    if code < 0:
        return Verdict("lost", None, -code)
    raise diagnosed(said)


def _kill_first(pid: int | None) -> None:
    """Kill process 1 of the namespace, which the kernel lets die only after all others."""
    if pid is None:
        return
    with suppress(OSError):
        fd = os.pidfd_open(pid)
        try:
            if _is_first(pid):
                signal.pidfd_send_signal(fd, signal.SIGKILL)
        finally:
            os.close(fd)


def _is_first(pid: int) -> bool:
    """Whether it is process 1 of a namespace below ours: the number may have been given anew."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return any(line.startswith("NSpid:") and line.split()[2:3] == ["1"] for line in lines)


@dataclass(frozen=True, slots=True)
class Ground:
    """What all sandboxes of one provider stand on."""

    root: Path
    tools: Tools
    toolchains: tuple[str, ...]
    dial: Dial
    grouped: bool
    """Whether control groups can be made and joined here."""


class LocalEnclosure:
    """Bubblewrap around one sandbox."""

    def __init__(self, record: Record, ground: Ground) -> None:
        self._record = record
        self._root = ground.root
        self._tools = ground.tools
        self._grouped = ground.grouped
        wanted = (*ground.toolchains, *record.spec.toolchains)
        self._toolchains = checked_toolchains(wanted, hidden=ground.root)
        self._proxy = Proxy(record.spec.egress, record.egress_log, ground.dial)
        known = proxy_environment() if record.spec.egress else cache_variables(wanted)
        self._environment = environment({**known, **record.spec.env}, wanted)
        self._opening: asyncio.Task[Frame] | None = None
        self._frame: Frame | None = None
        self._closed = False
        self._groups = cgroups.Groups()
        self._filter = seccomp.program()
        self._inmates = Inmates(record.id)

    def warm(self) -> None:
        self._begin()

    def _begin(self) -> "asyncio.Task[Frame]":
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._opening

    async def _opened(self) -> Frame:
        """The frame, made once: whoever is cancelled meanwhile does not stop it for others."""
        try:
            return await asyncio.shield(self._begin())
        except SandboxError:
            self._opening = None
            raise

    async def _open(self) -> Frame:
        if self._grouped:
            self._groups = cgroups.make(self._record.id, self._record.spec.limits)
        frame = await asyncio.to_thread(
            open_frame, self._tools, self._record, self._root, self._toolchains
        )
        try:
            if self._closed:
                raise lost(self._record.id)
            await self._open_network(frame)
        except BaseException:
            frame.close()
            raise
        self._frame = frame
        return frame

    async def _open_network(self, frame: Frame) -> None:
        if self._record.spec.egress:
            listener = await asyncio.to_thread(
                open_inside, self._tools, frame.namespaces, "listen", PROXY_PORT
            )
            await self._proxy.serve(listener)

    async def start(self, command: Command) -> Child:
        frame = self._frame or await self._opened()
        status_read, status_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        filter_fd = _as_file(self._filter) if self._filter else None
        limits, doors = self._record.spec.limits, self._groups.doors
        argv = command_argv(
            Confinement(self._tools, frame.namespaces, limits, doors),
            command.argv,
            cwd=command.cwd,
            env={**self._environment, **command.env},
            status_fd=status_write,
            seccomp_fd=filter_fd,
        )
        fds = (status_write,) if filter_fd is None else (status_write, filter_fd)
        try:
            tree = BubbleTree(status_read, self._groups)
            return Child(Launch(argv, {}, "/", fds), tree, command.caps, command.on_output)
        except BaseException:
            os.close(status_read)
            raise

    async def dial(self, port: int) -> Streams:
        frame = self._frame or await self._opened()
        inside = await asyncio.to_thread(
            open_inside, self._tools, frame.namespaces, "connect", port
        )
        return await asyncio.open_connection(sock=inside)

    async def copy_to(self, place: Path) -> None:
        await asyncio.to_thread(copy_behind_walls, self._tools, self._record, place)

    async def destroy(self) -> None:
        self._closed = True
        if self._opening:
            await asyncio.wait({self._opening})
        groups = cgroups.existing(self._record.id)
        await asyncio.to_thread(groups.end)
        if not groups.paths:
            await asyncio.to_thread(self._inmates.end)

    async def freeze(self) -> None:
        await asyncio.to_thread(self._inmates.stop)

    async def thaw(self) -> None:
        await asyncio.to_thread(self._inmates.go_on)

    def close(self) -> None:
        self._closed = True
        self._proxy.close()
        if self._frame:
            self._frame.close()
            self._frame = None


def _as_file(program: bytes) -> int:
    """A fresh descriptor per command: bubblewrap reads from the current offset."""
    fd = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    os.write(fd, program)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


class LocalWalls:
    """The level `local`."""

    level: Level = "local"

    def __init__(self, root: Path, toolchains: Sequence[str], dial: Dial) -> None:
        if not sys.platform.startswith("linux"):
            raise SandboxUnavailableError(
                f"the level 'local' needs Linux, and this is {sys.platform}",
                "choose the level `container`: podman machine, colima or Docker Desktop run it in "
                "a small Linux machine (MANTA_SANDBOX=container); nothing weaker is chosen for you",
            )
        groups = cgroups.available()
        place = root.absolute()
        self._ground = Ground(place, find_tools(), tuple(toolchains), dial, bool(groups.paths))
        self.separate_owner = os.geteuid() == 0
        self.capabilities = Capabilities(
            egress_off=True,
            egress_allowlist=True,
            tree_kill=True,
            hard_memory=groups.memory is not None,
            pause_memory=True,
            pause_disk=True,
            snapshot=True,
            fork=True,
            expose=True,
        )

    def enclosure(self, record: Record) -> LocalEnclosure:
        return LocalEnclosure(record, self._ground)

    async def doctor(self, provider: SandboxProvider) -> list[Check]:
        return await examine(provider)


class LocalProvider(DirectoryProvider):
    """Bubblewrap sandboxes below `root`. `dial` makes the connections that `egress` allows.

    Raises:
        SandboxUnavailableError: a program it needs is missing.
    """

    def __init__(
        self,
        root: Path,
        *,
        toolchains: Sequence[str] = (),
        clock: Clock | None = None,
        dial: Dial | None = None,
    ) -> None:
        super().__init__(root, LocalWalls(root, toolchains, dial or dial_public()), clock)
