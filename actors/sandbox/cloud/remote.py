"""Sandboxes at a vendor: the whole protocol, from a shell line, an upload and a life cycle.

Commands and files are the guest's (`guest/call.py`), commits and trees travel by them as on every
level; the plug of a vendor (`vendor.py`) adds nothing but its own words. A sandbox that nobody
uses ends by itself: what it held was exported after each step, and can be rebuilt elsewhere.
"""

import asyncio
import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress

from actors.sandbox.cloud.command import RemoteCommand, RemoteProcess
from actors.sandbox.cloud.guest_call import Guest, waiting
from actors.sandbox.cloud.vendor import IDLE_S, Machine, Vendor, patient
from actors.sandbox.commands.orders import walls
from actors.sandbox.guest.wire import PIECE
from actors.sandbox.protocol import (
    Check,
    Endpoint,
    ExecResult,
    FileStat,
    Level,
    OnOutput,
    Process,
    QuotaExceededError,
    Sandbox,
    SandboxError,
    SandboxRef,
    SandboxSpec,
    SandboxUnavailableError,
    UnsupportedError,
)
from actors.sandbox.workspace.carrying import Carrying
from actors.sandbox.workspace.files import relative
from actors.sandbox.workspace.store import lost
from orchestration.clock import Clock, SystemClock
from orchestration.errors import UsageError

OURS = "manta-sandbox"
"""The label that every sandbox of ours has: an account may hold others."""
_KEY = "manta-key"
"""Finds what a request made whose answer was lost."""
_FIXED = "manta-ttl"
"""Its end is set: being used does not put it off."""
_PROGRAMS = ("bash", "git", "tar")
_TRIES = 4
_MOMENT_S, _READY_S = 60.0, 180.0
"""What a small question may take, and what bringing up a machine may."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")


class RemoteSandbox(Carrying):
    """One sandbox; see the protocol for every verb."""

    def __init__(self, machine: Machine, ref: SandboxRef, provider: "RemoteProvider") -> None:
        self.ref = ref
        self._machine = machine
        self._provider = provider
        self._guest = Guest(machine, provider.clock)
        self._gone = self._paused = False
        self._keeps = _FIXED not in machine.labels
        self._kept_at = -float(IDLE_S)

    async def prepare(self, spec: SandboxSpec) -> None:
        """Make a new machine a sandbox.

        Raises:
            SandboxError: its image lacks what we need.
        """
        self._kept_at = asyncio.get_running_loop().time()
        limits = {"file": spec.limits.file, "output": spec.limits.output}
        held = walls(spec.limits.file, spec.limits.processes)
        wanted = {"env": dict(spec.env), "limits": limits, "walls": held}
        answer, _ = await self._guest.ask("prepare", spec=wanted, programs=_PROGRAMS)
        if answer["missing"]:
            raise SandboxError(
                f"the image of {self.ref.level} sandboxes lacks {', '.join(answer['missing'])}",
                "choose an image (MANTA_SANDBOX_IMAGE) with bash, git, tar and python3",
            )

    async def _alive(self) -> Guest:
        """The guest, if it may be asked now; being asked keeps the sandbox."""
        if self._gone:
            raise lost(self.ref.id)
        if self._paused:
            raise SandboxUnavailableError(f"sandbox {self.ref.id} is paused", "resume it first")
        now = asyncio.get_running_loop().time()
        if self._keeps and now - self._kept_at > IDLE_S / 6:
            with suppress(SandboxUnavailableError):
                await patient(self._machine.keep(), _MOMENT_S, self.ref.id)
                self._kept_at = now
        return self._guest

    async def exec(
        self,
        command: str | Sequence[str],
        *,
        timeout_s: float,
        cwd: str = ".",
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        max_output: int = 1_000_000,
        on_output: OnOutput | None = None,
    ) -> ExecResult:
        order = RemoteCommand(command, cwd, env or {}, max_output)
        guest = await self._alive()
        return await order.run(guest, stdin or b"", timeout_s, on_output)

    async def spawn(
        self,
        command: str | Sequence[str],
        *,
        cwd: str = ".",
        env: Mapping[str, str] | None = None,
        max_output: int = 1_000_000,
    ) -> Process:
        order = RemoteCommand(command, cwd, env or {}, max_output)
        await order.start(await self._alive())
        return RemoteProcess(order, self._alive)

    async def read_file(self, path: str, *, offset: int = 0, limit: int = 50_000_000) -> bytes:
        name, found = relative(path), bytearray()
        while True:
            guest = await self._alive()
            rest = min(PIECE, limit - len(found))
            here = offset + len(found)
            _, part = await guest.ask("read", path=name, offset=here, limit=rest)
            found += part
            if len(part) < PIECE or len(found) >= limit:
                return bytes(found)

    async def write_file(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        guest = await self._alive()
        await guest.ask("write", data, path=relative(path), mode=mode)

    async def stat(self, path: str) -> FileStat:
        guest = await self._alive()
        answer, _ = await guest.ask("look", path=relative(path))
        return FileStat(*answer["found"])

    async def list_files(
        self, path: str = ".", *, depth: int = 1, limit: int = 10_000
    ) -> list[FileStat]:
        guest = await self._alive()
        answer, _ = await guest.ask("entries", path=relative(path), depth=depth, limit=limit)
        return [FileStat(*each) for each in answer["found"]]

    async def remove(self, path: str) -> None:
        guest = await self._alive()
        await guest.ask("remove", path=relative(path))

    async def set_ttl(self, seconds: float | None) -> None:
        if self._gone:
            raise lost(self.ref.id)
        await patient(self._machine.set_ttl(seconds), _MOMENT_S, self.ref.id)
        self._keeps = seconds is None

    async def snapshot(self) -> str:
        raise UnsupportedError(
            f"the level {self.ref.level} keeps no snapshots", "prepare an image instead"
        )

    async def expose(self, port: int, *, ttl_s: float = 3600) -> Endpoint:
        await self._alive()
        if not 0 < port < 65_536:
            raise UsageError(f"{port} is no port", "name one from 1 to 65535")
        return await patient(self._machine.expose(port, ttl_s), _MOMENT_S, self.ref.id)

    async def pause(self) -> None:
        if self._gone:
            raise lost(self.ref.id)
        if not self._paused:
            await patient(self._machine.pause(), _READY_S, self.ref.id)
            self._paused = True

    async def resume(self) -> None:
        if self._gone:
            raise lost(self.ref.id)
        if self._paused:
            await patient(self._machine.resume(), _READY_S, self.ref.id)
            self._paused = False

    def resumed(self) -> None:
        """Somebody resumed it."""
        self._paused = False

    async def terminate(self) -> None:
        self.close()
        await self._provider.end(self.ref.id)

    def close(self) -> None:
        """Let go of it without ending it."""
        self._gone = True


class RemoteProvider:
    """The sandboxes of ours in one account at a vendor."""

    def __init__(self, vendor: Vendor, clock: Clock | None = None) -> None:
        self.level: Level = vendor.level
        self.capabilities = vendor.capabilities
        self.clock = clock or SystemClock()
        self._vendor = vendor
        self._open: dict[str, RemoteSandbox] = {}

    async def doctor(self) -> list[Check]:
        return await self._vendor.doctor()

    async def create(self, spec: SandboxSpec) -> Sandbox:
        if spec.egress or spec.snapshot:
            raise UnsupportedError(
                f"the level {self.level} can neither open single hosts nor keep snapshots",
                "leave `egress` and `snapshot` empty; put what is needed into the image",
            )
        machine = await self._made(spec)
        sandbox = self._handle(machine, SandboxRef(self.level, machine.id, dict(spec.labels)))
        try:
            await sandbox.prepare(spec)
        except BaseException:
            await asyncio.shield(sandbox.terminate())
            raise
        return sandbox

    async def _made(self, spec: SandboxSpec) -> Machine:
        """A new machine: exactly one, though the answer to the first request may be lost."""
        key = secrets.token_hex(16)
        labels = {**spec.labels, OURS: "1", _KEY: key}
        if spec.ttl_s is not None:
            labels[_FIXED] = "1"
        for left in reversed(range(_TRIES)):
            try:
                making = self._vendor.create(spec, labels, key)
                return await patient(making, _READY_S, "to be made")
            except QuotaExceededError:
                raise
            except SandboxUnavailableError as error:
                if not left:
                    raise
                await self.clock.sleep(max(_TRIES - left, waiting(error)))
            for found in await patient(self._vendor.find({_KEY: key}), _MOMENT_S, "list"):
                return await self._connected(found.id)
        raise AssertionError("the last try returns or raises")

    def _handle(self, machine: Machine, ref: SandboxRef) -> RemoteSandbox:
        self._open[ref.id] = RemoteSandbox(machine, ref, self)
        return self._open[ref.id]

    async def connect(self, ref: SandboxRef) -> Sandbox:
        if not _NAME.fullmatch(ref.id):
            raise lost(ref.id)
        machine = await self._connected(ref.id)
        if opened := self._open.get(ref.id):
            opened.resumed()
            return opened
        return self._handle(machine, SandboxRef(self.level, ref.id, _theirs(machine.labels)))

    async def _connected(self, name: str) -> Machine:
        return await patient(self._vendor.connect(name), _READY_S, name)

    async def find(self, labels: Mapping[str, str]) -> list[SandboxRef]:
        wanted = {**labels, OURS: "1"}
        found = await patient(self._vendor.find(wanted), _MOMENT_S, "list")
        return [SandboxRef(self.level, each.id, _theirs(each.labels)) for each in found]

    async def sweep(
        self, labels: Mapping[str, str], *, keep: Sequence[str] = ()
    ) -> list[SandboxRef]:
        doomed = [ref for ref in await self.find(labels) if ref.id not in keep]
        async with asyncio.TaskGroup() as group:
            for ref in doomed:
                group.create_task(self.end(ref.id))
        return doomed

    async def end(self, name: str) -> None:
        """End one by its id; fine if it is gone already."""
        if opened := self._open.pop(name, None):
            opened.close()
        await patient(self._vendor.end(name), _MOMENT_S, name)

    async def close(self) -> None:
        for sandbox in tuple(self._open.values()):
            sandbox.close()
        self._open.clear()
        await self._vendor.close()


def _theirs(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels that were asked for, without ours."""
    return {name: value for name, value in labels.items() if name not in (OURS, _KEY, _FIXED)}
