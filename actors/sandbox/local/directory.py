"""Sandboxes whose workspace is a directory of this machine: the levels `local` and `none`."""

import asyncio
import errno
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from actors.sandbox.commands.background import BackgroundProcess, Inbox
from actors.sandbox.commands.command_line import argv_of
from actors.sandbox.commands.process import Caps, Child
from actors.sandbox.local.enclosure import Command, Enclosure, Walls
from actors.sandbox.network.expose import Exposed
from actors.sandbox.network.relay import Streams
from actors.sandbox.protocol import (
    Check,
    Endpoint,
    ExecResult,
    FileStat,
    Level,
    OnOutput,
    Process,
    Sandbox,
    SandboxRef,
    SandboxSpec,
    SandboxUnavailableError,
    UnsupportedError,
)
from actors.sandbox.workspace.carrying import Carrying
from actors.sandbox.workspace.disk import DiskWatch, host_full, kept
from actors.sandbox.workspace.files import WorkspaceFiles
from actors.sandbox.workspace.snapshots import Snapshots
from actors.sandbox.workspace.store import DirectoryStore, Record, lost
from orchestration.clock import Clock, SystemClock
from orchestration.errors import UsageError

_QUICK_READ = 262_144
"""Bytes that are read on the event loop: less than a thread's hand-over costs."""
_STOCK_LATER_S = 0.5


class DirectorySandbox(Carrying):
    """One sandbox; see the protocol for every verb."""

    def __init__(
        self,
        record: Record,
        store: DirectoryStore,
        snapshots: Snapshots,
        enclosure: Enclosure,
        forget: Callable[[str], object],
        clock: Clock,
        *,
        exposes: bool,
    ) -> None:
        self._record = record
        self._clock = clock
        self._exposes = exposes
        self._doors: list[Exposed] = []
        self._forget = forget
        self._store = store
        self._snapshots = snapshots
        self._enclosure = enclosure
        self._running: set[Child] = set()
        self._disk = DiskWatch(record.workspace, record.spec.limits.disk, self._disk_full)
        self._gone = False
        largest = record.spec.limits.file
        self._files = WorkspaceFiles(record.workspace, owner=record.owner, largest=largest)

    @property
    def ref(self) -> SandboxRef:
        return self._record.ref

    def warm(self) -> None:
        """Somebody is about to use it."""
        self._enclosure.warm()

    def _alive(self) -> None:
        self._present()
        if self._record.pause_mark.exists():
            raise SandboxUnavailableError(f"sandbox {self._record.id} is paused", "resume it first")

    def _present(self) -> None:
        record = self._record
        if self._gone or not record.workspace.exists() or record.end_mark.exists():
            raise lost(record.id)

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
        child = await self._start(command, cwd, env, max_output, on_output)
        if isinstance(child, ExecResult):
            return child
        child.feed(stdin or b"")
        child.end_input()
        try:
            result = await child.finish(timeout_s)
        finally:
            self._ended(child)
        if self._disk.at_reserve and result.signal == signal.SIGXFSZ:
            raise host_full()
        if result.ended in ("lost", "signaled"):
            self._present()
        return result

    def _ended(self, child: Child) -> None:
        self._running.discard(child)
        self._disk.release()

    def _disk_full(self) -> None:
        """End what runs; reported as the signal for a file that grew too large."""
        for child in tuple(self._running):
            child.stop("signaled", signal.SIGXFSZ)

    async def spawn(
        self,
        command: str | Sequence[str],
        *,
        cwd: str = ".",
        env: Mapping[str, str] | None = None,
        max_output: int = 1_000_000,
    ) -> Process:
        inbox = Inbox(max_output)
        child = await self._start(command, cwd, env, max_output, inbox.take)
        if isinstance(child, ExecResult):
            raise UsageError("the command line is too long", "put it into a file")
        return BackgroundProcess(child, inbox, self._ended)

    async def _start(
        self,
        command: str | Sequence[str],
        cwd: str,
        env: Mapping[str, str] | None,
        kept: int,
        on_output: OnOutput | None,
    ) -> Child | ExecResult:
        """Start a child, or the answer a shell would give to a line that is too long."""
        self._alive()
        argv = argv_of(command, env or {})
        if "\0" in cwd:
            raise UsageError("a directory's name cannot hold NUL", "leave it out")
        caps = Caps(kept, self._record.spec.limits.output)
        self._disk.hold()
        try:
            child = await self._enclosure.start(Command(argv, caps, cwd, env or {}, on_output))
        except OSError as error:
            self._disk.release()
            if error.errno == errno.E2BIG:
                said = b"the command line is too long\n"
                return ExecResult(126, "exited", b"", said, 0.0, stderr_total=len(said))
            raise SandboxUnavailableError(
                f"no process can be started: {error}", "free processes, files or memory"
            ) from None
        except BaseException:
            self._disk.release()
            raise
        self._running.add(child)
        if self._record.pause_mark.exists():
            await child.kill()
            self._ended(child)
            self._alive()
        return child

    async def read_file(self, path: str, *, offset: int = 0, limit: int = 50_000_000) -> bytes:
        self._alive()
        if min(limit, self._files.size(path)) <= _QUICK_READ:
            return self._files.read(path, offset, min(limit, _QUICK_READ))
        return await asyncio.to_thread(self._files.read, path, offset, limit)

    async def write_file(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        self._alive()
        if len(data) <= _QUICK_READ:
            self._files.write(path, data, mode)
        else:
            await asyncio.to_thread(self._files.write, path, data, mode)

    async def stat(self, path: str) -> FileStat:
        self._alive()
        return self._files.stat(path)

    async def list_files(
        self, path: str = ".", *, depth: int = 1, limit: int = 10_000
    ) -> list[FileStat]:
        self._alive()
        return await asyncio.to_thread(self._files.list, path, depth, limit)

    async def remove(self, path: str) -> None:
        self._alive()
        await asyncio.to_thread(self._files.remove, path)

    async def set_ttl(self, seconds: float | None) -> None:
        self._present()
        expires = None if seconds is None else self._clock.now() + seconds
        with kept():
            self._record = self._store.renew(self._record, expires)

    async def snapshot(self) -> str:
        self._alive()
        place = await asyncio.to_thread(self._snapshots.place, self._record)
        await self._enclosure.copy_to(place)
        return place.parent.name

    async def expose(self, port: int, *, ttl_s: float = 3600) -> Endpoint:
        self._alive()
        if not 0 < port < 65_536:
            raise UsageError(f"{port} is no port", "name one from 1 to 65535")
        if not self._exposes:
            raise UnsupportedError("this level has no network of its own", "connect to the port")
        door = Exposed(partial(self._dial, port), self._clock, ttl_s)
        self._doors.append(door)
        return await door.open()

    async def _dial(self, port: int) -> Streams:
        self._alive()
        return await self._enclosure.dial(port)

    async def pause(self) -> None:
        self._present()
        if self._record.pause_mark.exists():
            return
        with kept():
            self._record.pause_mark.touch()
        try:
            await self._enclosure.freeze()
        except BaseException:
            self._record.pause_mark.unlink(missing_ok=True)
            raise

    async def resume(self) -> None:
        self._present()
        if self._record.pause_mark.exists():
            await self._enclosure.thaw()
            self._record.pause_mark.unlink(missing_ok=True)

    async def terminate(self) -> None:
        self._gone = True
        with suppress(OSError):
            self._record.end_mark.touch()
        for child in tuple(self._running):
            await child.kill()
        await self._enclosure.destroy()
        self.close()
        self._forget(self._record.id)
        await asyncio.to_thread(self._store.remove, self._record)

    def close(self) -> None:
        """Let go of it without ending it: somebody else may connect. This handle is done."""
        self._gone = True
        for door in self._doors:
            door.close()
        self._files.close()
        self._enclosure.close()


class DirectoryProvider:
    """Sandboxes of one level below one directory of this machine."""

    def __init__(self, root: Path, walls: Walls, clock: Clock | None = None) -> None:
        self.level: Level = walls.level
        self.capabilities = walls.capabilities
        self._walls = walls
        self._clock = clock or SystemClock()
        self._store = DirectoryStore(root, walls.level, separate_owner=walls.separate_owner)
        self._snapshots = Snapshots(self._store, separate_owner=walls.separate_owner)
        self._stocking: set[asyncio.Task[None]] = set()
        self._settling = asyncio.Event()
        self._open: dict[str, DirectorySandbox] = {}

    async def doctor(self) -> list[Check]:
        return await self._walls.doctor(self)

    def _handle(self, record: Record) -> DirectorySandbox:
        sandbox = DirectorySandbox(
            record,
            self._store,
            self._snapshots,
            self._walls.enclosure(record),
            self._forget,
            self._clock,
            exposes=self.capabilities.expose,
        )
        self._open[record.id] = sandbox
        return sandbox

    def _forget(self, name: str) -> None:
        self._open.pop(name, None)

    async def create(self, spec: SandboxSpec) -> Sandbox:
        if spec.egress and not self.capabilities.egress_allowlist:
            raise UnsupportedError(
                f"the level {self.level} cannot open the network to {', '.join(spec.egress)}",
                "leave `egress` empty, or choose a level that can",
            )
        record = self._store.create(spec, self._clock.now())
        if spec.snapshot:
            record = await self._filled(record)
        sandbox = self._handle(record)
        sandbox.warm()
        return sandbox

    async def _filled(self, record: Record) -> Record:
        """With its snapshot's files; what was taken from the stock is made good meanwhile."""
        snapshot = record.spec.snapshot
        try:
            filled = await asyncio.to_thread(self._snapshots.fill, record, snapshot)
        except BaseException:
            self._store.remove(record)
            raise
        stocking = asyncio.create_task(self._restock(snapshot))
        self._stocking.add(stocking)
        stocking.add_done_callback(self._stocking.discard)
        return filled

    async def _restock(self, snapshot: str) -> None:
        """Once whoever just began has had the machine for a moment."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOCK_LATER_S):
                await self._settling.wait()
        await asyncio.to_thread(self._snapshots.stock, snapshot)

    async def settled(self) -> None:
        """Make the copies for the stock now, and wait for them."""
        self._settling.set()
        if self._stocking:
            await asyncio.wait(self._stocking)
        self._settling.clear()

    async def connect(self, ref: SandboxRef) -> Sandbox:
        record = self._store.load(ref.id)
        if self._expired(record):
            await self._end(record)
            raise lost(ref.id)
        sandbox = self._open.get(ref.id) or self._handle(record)
        await sandbox.resume()
        return sandbox

    def _expired(self, record: Record) -> bool:
        return record.expires is not None and record.expires <= self._clock.now()

    async def find(self, labels: Mapping[str, str]) -> list[SandboxRef]:
        return [record.ref for record in self._store.find(labels) if not self._expired(record)]

    async def sweep(
        self, labels: Mapping[str, str], *, keep: Sequence[str] = ()
    ) -> list[SandboxRef]:
        ended: list[SandboxRef] = []
        for record in self._store.find({}):
            meant = labels.items() <= record.spec.labels.items() and record.id not in keep
            if meant or self._expired(record):
                await self._end(record)
                ended.append(record.ref)
        await self.settled()
        await asyncio.to_thread(self._snapshots.sweep, labels, keep)
        await asyncio.to_thread(self._store.bury)
        return ended

    async def _end(self, record: Record) -> None:
        sandbox = self._open.get(record.id) or self._handle(record)
        await sandbox.terminate()

    async def close(self) -> None:
        await self.settled()
        for sandbox in tuple(self._open.values()):
            sandbox.close()
        self._open.clear()
