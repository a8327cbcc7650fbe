"""The composition root of a door: settings in, a running house out."""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from actors.handles import GatewayHandle, JournalHandle, ResidentHandle
from actors.journal.opening import open_journal
from actors.models.gateway import Role
from actors.spawn import ResidentSpec, start_resident, start_supervisor
from cluster import keys
from cluster.brain import Brain
from cluster.build import build_id
from cluster.connection import connect
from cluster.local_cluster import cluster_in_use, cluster_status
from cluster.papers import ClusterAddress
from cluster.settings import Settings
from cluster.worker import WorkerSetup
from orchestration.delivery import request_of
from orchestration.ids import RunId, StepKey, new_run_id
from orchestration.messages import FeatureRequest
from orchestration.workflow.forking import fork
from orchestration.workflow.journal import Journal

ROLES: tuple[Role, ...] = ("architect", "coder", "reviewer", "security")
DOOR = "cluster.residents"


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncGenerator[Journal]:
    """The runs as they are: through the running cluster, or in this process when there is none."""
    async with AsyncExitStack() as stack:
        running = settings.address or cluster_status(settings.state_dir)
        if running:
            await _join(settings, stack)
        journal = await _journal(settings, through_cluster=bool(running))
        stack.push_async_callback(journal.close)
        yield journal


@asynccontextmanager
async def open_house(settings: Settings) -> AsyncGenerator["House"]:
    """A house on a cluster; the local cluster is started when there is none."""
    async with AsyncExitStack() as stack:
        address = await _join(settings, stack)
        journal = await _journal(settings, through_cluster=True)
        stack.push_async_callback(journal.close)
        yield House(settings, address, journal)


class House:
    """What a door can do on a cluster."""

    def __init__(self, settings: Settings, address: ClusterAddress, journal: Journal) -> None:
        self.settings, self.address, self.journal = settings, address, journal

    async def start(self, request: FeatureRequest) -> None:
        """Begin a run, or attach to the one of the same id. Returns once it is being driven.

        Raises:
            ModelError: a model is unknown or its key is missing; nothing was begun.
        """
        setup = await self._setup(request)
        await start_supervisor(request.run_id, setup).start(request)

    async def resume(self, run_id: RunId, *, take_over: bool = False) -> None:
        """Go on with a run that is suspended, was left behind, or failed on its ground.

        Raises:
            RunOwnedError: somebody drives it already.
        """
        request = await request_of(self.journal, run_id)
        setup = await self._setup(request)
        await start_supervisor(run_id, setup).start(None, take_over=take_over)

    async def fork(self, run_id: RunId, at: StepKey, into: RunId | None) -> FeatureRequest:
        """Begin a run with another's past up to a step, and drive it. Returns what it is asked.

        Raises:
            NotFoundError: there is no such run, or no such step began in it.
            ConflictError: the new id is taken.
        """
        origin = await request_of(self.journal, run_id)
        into = into or new_run_id(origin.text)
        setup = await self._setup(origin)
        await fork(self.journal, run_id, at=at, into=into)
        await start_supervisor(into, setup).start(None)
        return await request_of(self.journal, into)

    async def _setup(self, request: FeatureRequest) -> WorkerSetup:
        """Residents started and checked, and where a worker finds them."""
        settings = self.settings
        brain = Brain.model_validate_json(request.brain)
        gateway, memory = self._gateway(brain), self._memory()
        handle = GatewayHandle(start_resident(gateway), gateway.name)
        await ResidentHandle(start_resident(memory), memory.name).ready()
        for role in ROLES:
            await handle.check(role)
        return WorkerSetup(
            state_dir=str(settings.state_dir),
            checkpoints="" if settings.store_url else checkpoints(settings).name,
            gateway=gateway.name,
            memory=memory.name,
            repository=request.repository,
            level=settings.sandbox,
            toolchains=tuple(str(path) for path in settings.toolchains),
            coders=request.limits.parallel_tasks,
        )

    def _gateway(self, brain: Brain) -> ResidentSpec:
        if brain.replay:
            entry, arguments = f"{DOOR}.recorded:open_recorded", (brain.replay,)
        else:
            kept = keys.leave(self.address, "model", keys.select(os.environ, "model"))
            kept = kept or keys.latest(self.settings.state_dir, "model")
            entry = f"{DOOR}.gateway:open_gateway"
            arguments = (
                brain.routes.model_dump_json() if brain.routes else "",
                str(kept or ""),
                brain.record,
            )
        return ResidentSpec("models", entry, arguments, build_id())

    def _memory(self) -> ResidentSpec:
        where = (self.settings.memory_location, self.settings.recall_timeout_s)
        return ResidentSpec("memory", f"{DOOR}.memory:open_memory", where, build_id())


def checkpoints(settings: Settings) -> ResidentSpec:
    """The checkpoint store of a state directory."""
    place = (str(settings.state_dir / "runs"),)
    return ResidentSpec("checkpoints", f"{DOOR}.checkpoints:open_checkpoints", place, build_id())


async def _join(settings: Settings, stack: AsyncExitStack) -> ClusterAddress:
    """Join the cluster, starting the local one if need be, and keep it from its idle stop."""
    in_use = cluster_in_use(settings)
    address = await asyncio.to_thread(in_use.__enter__)
    stack.callback(in_use.__exit__, None, None, None)
    await asyncio.to_thread(connect, address)
    return address


async def _journal(settings: Settings, *, through_cluster: bool) -> Journal:
    if settings.store_url:
        return await open_journal(settings.store_url.get_secret_value())
    if not through_cluster:
        return await open_journal(settings.state_dir / "runs")
    spec = checkpoints(settings)
    handle = JournalHandle(start_resident(spec), spec.name)
    await handle.ready()
    return handle
