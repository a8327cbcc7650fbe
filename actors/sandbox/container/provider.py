"""The level `container`: one container of podman or docker per sandbox. It shares a kernel with
its host (this machine's, or that of the virtual machine in which engines run on macOS).

The workspace is a directory of this machine, as on the level `local`, and the files of it are
reached in the same way. Commands are run by a shepherd inside, spoken to through the engine.
"""

import asyncio
import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from actors.sandbox.commands.orders import Order, ShepherdWire
from actors.sandbox.commands.process import Child, Launch, Verdict
from actors.sandbox.container.argv import (
    Box,
    dial_argv,
    environment,
    name_of,
    shepherd_argv,
    shown_toolchains,
)
from actors.sandbox.container.containers import Containers, open_door
from actors.sandbox.container.doctor import examine
from actors.sandbox.container.engines import Engine, find_engine, understood
from actors.sandbox.container.engines import environment as engine_environment
from actors.sandbox.local.cgroups import Groups
from actors.sandbox.local.directory import DirectoryProvider
from actors.sandbox.local.enclosure import Command
from actors.sandbox.network.egress import Dial, Proxy, dial_public, proxy_environment
from actors.sandbox.network.relay import Streams
from actors.sandbox.protocol import (
    WORKSPACE,
    Capabilities,
    Check,
    Level,
    Sandbox,
    SandboxError,
    SandboxProvider,
    SandboxRef,
    SandboxUnavailableError,
    UnsupportedError,
)
from actors.sandbox.workspace.store import Record, lost
from orchestration.clock import Clock

DEFAULT_IMAGE = "manta-sandbox"
"""Built from cluster/docker/sandbox.Dockerfile."""
_DIES_WITHIN_S = 10.0
_KILLED = (-9, 137)
_CROWDED = ("temporarily unavailable", "annot fork", "cannot allocate memory")


class HerdedTree:
    """All that one command started, ended by its shepherd; and if need be with all else inside."""

    def __init__(self, enclosure: "ContainerEnclosure", wire: ShepherdWire, groups: Groups) -> None:
        self._enclosure = enclosure
        self._wire = wire
        self._groups = groups
        self._oom_before = groups.oom_kills()
        self._end: Verdict | SandboxError | None = None

    async def end(self, child: Child) -> None:
        child.hang_up()
        await self._enclosure.let_shepherd_work(child)
        await _within(child, _DIES_WITHIN_S)
        if child.exited.done():
            child.drain()
            self._end = self._wire.verdict()
        if self._end is None:
            self._end = await self._explained(child)
        child.send_kill()
        await asyncio.shield(child.exited)

    async def _explained(self, child: Child) -> Verdict | SandboxError:
        """The shepherd said nothing: it never ran, or was shot, and its flock is loose."""
        code = child.exited.result() if child.exited.done() else _KILLED[0]
        if not self._wire.begun and code == 0:
            return Verdict("cancelled")
        if not self._wire.begun and code not in _KILLED:
            words = self._wire.preface.decode(errors="replace")
            if any(sign in words.lower() for sign in _CROWDED):
                return Verdict("exited", 126, said=f"{words.strip()}\n".encode())
            return understood(self._enclosure.engine.name, words)
        try:
            await self._enclosure.purge()
        except SandboxError as error:
            return error
        return Verdict("signaled", None, 9)

    def verdict(self, child: Child) -> Verdict:
        del child
        if isinstance(self._end, SandboxError):
            raise self._end
        assert self._end
        killed = self._end.signal is not None or self._end.exit_code
        if killed and self._groups.oom_kills() > self._oom_before:
            return Verdict("oom")
        return self._end


async def _within(child: Child, seconds: float) -> None:
    await asyncio.wait({child.exited}, timeout=seconds)


class ContainerEnclosure:
    """The container of one sandbox."""

    def __init__(self, record: Record, containers: Containers, dial: Dial) -> None:
        self._record = record
        self._containers = containers
        self.engine = containers.box.engine
        self._name = name_of(record.id)
        self._proxy = Proxy(record.spec.egress, record.home / "egress.jsonl", dial)
        self._opening: asyncio.Task[Groups] | None = None
        self._groups: Groups | None = None
        self._environment: Mapping[str, str] = {}
        self._shown = shown_toolchains(containers.box, record)
        self._thawing = asyncio.Lock()

    def warm(self) -> None:
        """A container costs more than it saves where only files are touched."""

    async def _opened(self) -> Groups:
        """The container, made once: whoever is cancelled meanwhile does not stop it for others."""
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            return await asyncio.shield(self._opening)
        except SandboxError:
            self._opening = None
            raise

    async def _open(self) -> Groups:
        words = await asyncio.to_thread(lambda: self._containers.image_words)
        proxied = proxy_environment() if self._record.spec.egress else {}
        self._environment = environment(words, self._shown, proxied, self._record.spec.env)
        if self._record.spec.egress:
            await self._proxy.serve(await asyncio.to_thread(open_door, self._record))
        self._groups = await asyncio.to_thread(self._containers.start, self._record)
        return self._groups

    async def start(self, command: Command) -> Child:
        groups = self._groups or await self._opened()
        wire = ShepherdWire()
        argv = self.engine.argv(*shepherd_argv(self._name, "run"))
        launch = Launch(argv, engine_environment())
        tree = HerdedTree(self, wire, groups)
        child = Child(launch, tree, command.caps, command.on_output, wire)
        child.feed(
            wire.order(
                Order(
                    argv=command.argv,
                    cwd=str(PurePosixPath(WORKSPACE, command.cwd)),
                    env={**self._environment, **command.env},
                    limits=self._record.spec.limits,
                    tasks=self._containers.tasks_allowed(self._record),
                )
            )
        )
        return child

    async def let_shepherd_work(self, child: Child) -> None:
        """A shepherd in a container that stands still can end nobody: let it, for a moment."""
        async with self._thawing:
            if self._record.pause_mark.exists():
                await self.thaw()
                await _within(child, _DIES_WITHIN_S)
                if self._record.pause_mark.exists():
                    await self.freeze()

    async def purge(self) -> None:
        """End every process inside.

        Raises:
            SandboxLostError: the container had ended, or had to be.
        """
        try:
            await asyncio.to_thread(self.engine.ask, *shepherd_argv(self._name, "purge"))
        except SandboxError:
            await self.destroy()
            raise lost(self._record.id) from None

    async def dial(self, port: int) -> Streams:
        await self._opened()
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *self.engine.argv(*dial_argv(self._name, port)),
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.DEVNULL,
                env=engine_environment(),
            )
        reader, writer = await asyncio.open_connection(sock=ours)
        if await reader.read(1) != b"+":
            writer.close()
            await process.wait()
            raise SandboxUnavailableError(
                f"cannot connect at port {port} inside the sandbox: nobody listens there",
                "start the server first",
            )
        return reader, writer

    async def copy_to(self, place: Path) -> None:
        await asyncio.to_thread(self._containers.copy, self._record, place)

    async def freeze(self) -> None:
        if not self.engine.pauses:
            raise UnsupportedError(
                "without privileges, containers pause with control groups version 2 only",
                "leave it idle, or boot with systemd.unified_cgroup_hierarchy=1",
            )
        await self._opened()
        await asyncio.to_thread(self.engine.ask, "pause", self._name)

    async def thaw(self) -> None:
        await asyncio.to_thread(self._containers.thaw, self._record)

    async def destroy(self) -> None:
        if self._opening:
            await asyncio.wait({self._opening})
        await asyncio.to_thread(self._containers.remove, self._record)

    def close(self) -> None:
        self._proxy.close()


class ContainerWalls:
    """The level `container`."""

    level: Level = "container"

    def __init__(self, box: Box, dial: Dial) -> None:
        self.containers = Containers(box)
        self._dial = dial
        engine = box.engine
        self.separate_owner = os.geteuid() == 0 and not engine.rootless
        self.capabilities = Capabilities(
            egress_off=True,
            egress_allowlist=engine.same_kernel,
            tree_kill=True,
            hard_memory="memory" in engine.limits,
            pause_memory=engine.pauses,
            pause_disk=engine.pauses,
            snapshot=True,
            fork=True,
            expose=True,
        )

    def enclosure(self, record: Record) -> ContainerEnclosure:
        return ContainerEnclosure(record, self.containers, self._dial)

    async def doctor(self, provider: SandboxProvider) -> list[Check]:
        return await examine(provider, self.containers)


class ContainerProvider(DirectoryProvider):
    """Containers made from `image`, their workspaces below `root`.

    Toolchains are for images that lack them and are built on the same C library as this machine.

    Raises:
        SandboxUnavailableError: no engine answers.
    """

    def __init__(
        self,
        root: Path,
        *,
        image: str = DEFAULT_IMAGE,
        toolchains: Sequence[str] = (),
        clock: Clock | None = None,
        dial: Dial | None = None,
        engine: Engine | None = None,
    ) -> None:
        self.engine = engine or find_engine(image)
        box = Box(self.engine, image, root.absolute(), tuple(toolchains))
        walls = ContainerWalls(box, dial or dial_public())
        self._containers = walls.containers
        super().__init__(root, walls, clock)

    async def connect(self, ref: SandboxRef) -> Sandbox:
        record = self._store.load(ref.id)
        if not await asyncio.to_thread(self._containers.stands, record):
            await self._end(record)
            raise lost(ref.id)
        return await super().connect(ref)

    async def sweep(
        self, labels: Mapping[str, str], *, keep: Sequence[str] = ()
    ) -> list[SandboxRef]:
        ended = await super().sweep(labels, keep=keep)
        known = {record.id for record in self._store.all()}
        await asyncio.to_thread(self._containers.remove_strays, known)
        return ended
