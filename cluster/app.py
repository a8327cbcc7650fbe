"""The composition root of a door: settings in, a running house out."""

import asyncio
import os
from collections.abc import AsyncGenerator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from actors.handles import GatewayHandle, JournalHandle, ResidentHandle
from actors.models.gateway import Role
from actors.resident import entry_point
from actors.spawn import ResidentSpec, seated, start_resident, start_supervisor
from cluster.brain import Brain, ToolServers
from cluster.build import build_id
from cluster.configuration import keys
from cluster.machines.connection import MEMBERSHIP
from cluster.machines.finding import DATABASE
from cluster.machines.local_cluster import cluster_in_use, cluster_status
from cluster.machines.papers import ClusterAddress
from cluster.machines.placing import door_seat, hall_seat, state_seat, workers_seat
from cluster.memory import memory_spec, start_memory
from cluster.settings import Settings
from cluster.telemetry.tracing import Tracing
from cluster.tools.servers import told_to_servers
from cluster.tools.tooling import Tooling
from cluster.worker import REMOTE, WorkerSetup
from orchestration.ids import RunId, StepKey, new_run_id
from orchestration.messages import FeatureRequest
from orchestration.stories import request_of
from orchestration.workflow.forking import fork
from orchestration.workflow.journal import Journal

ROLES: tuple[Role, ...] = ("architect", "coder", "reviewer", "security", "linter")
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
        await _drive(request.run_id, setup, request)

    async def resume(self, run_id: RunId, *, take_over: bool = False) -> None:
        """Go on with a run that is suspended, was left behind, or failed on its ground.

        Raises:
            RunOwnedError: somebody drives it already.
        """
        request = await request_of(self.journal, run_id)
        setup = await self._setup(request)
        await _drive(run_id, setup, None, take_over=take_over)

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
        await _drive(into, setup, None)
        return await request_of(self.journal, into)

    async def _setup(self, request: FeatureRequest) -> WorkerSetup:
        """Residents started and checked, and where a worker finds them."""
        settings = self.settings
        brain = Brain.model_validate_json(request.brain)
        governor, memory = self._governor(), memory_spec(settings, self.address)
        gateways = self._gateways(brain, governor.name)
        seat = door_seat() if brain.replay or brain.record else hall_seat(len(gateways))
        handles = [GatewayHandle(start_resident(spec, seat), spec.name) for spec in gateways]
        money = ResidentHandle(start_resident(governor, hall_seat()), governor.name)
        await _all_seated(
            seated(handles[0].ready(), "a model gateway", seat),
            seated(money.ready(), "the governor"),
            seated(start_memory(settings, self.address).ready(), "memory"),
        )
        for role in ROLES:
            await handles[0].check(role, priced=request.budget.usd is not None)
        return WorkerSetup(
            tools=self._tooling(brain.servers, request.run_id),
            state_dir=str(settings.state_dir),
            checkpoints=self._store_name(),
            gateways=tuple(spec.name for spec in gateways),
            memory=memory.name,
            governor=governor.name,
            repository=request.memory_key,
            recall_s=settings.recall_timeout_s,
            level=settings.sandbox,
            toolchains=tuple(str(path) for path in settings.toolchains),
            tasks=request.limits.parallel_tasks,
            slots=settings.slots,
            image=settings.sandbox_image,
            needs=settings.sandbox_needs,
            suspended=settings.suspended_sandboxes,
            setup=request.setup,
            house=settings.house,
            keys=self._sandbox_keys(),
            seat=workers_seat(settings),
            tracing=self._tracing(),
        )

    def _sandbox_keys(self) -> str:
        """Where workers find what their level of sandboxes needs, and nothing of another's."""
        own = f"{self.settings.sandbox.upper()}_"
        found = keys.select(os.environ, "sandbox")
        chosen = {name: value for name, value in found.items() if name.upper().startswith(own)}
        kept = keys.leave(self.address, "sandbox", chosen)
        if kept is None and self.settings.sandbox in REMOTE:
            kept = keys.latest(self.settings.state_dir, "sandbox")
        return str(kept or "")

    def _tracing(self) -> Tracing:
        """Whether agents write spans, and where processes of the cluster read where these go."""
        how = self.settings.traces
        if how == "off":
            return Tracing()
        kept = keys.leave(self.address, "traces", keys.select(os.environ, "traces"))
        return Tracing(how, str(kept or keys.latest(self.settings.state_dir, "traces") or ""))

    def _store_name(self) -> str:
        return "" if self.settings.store_url else checkpoints(self.settings).name

    def _governor(self) -> ResidentSpec:
        """One for all runs of the store: limits travel with the calls and the requests."""
        where = (self._store_name(),)
        return ResidentSpec("governor", f"{DOOR}.governor:open_governor", where, build_id())

    def _gateways(self, brain: Brain, governor: str) -> list[ResidentSpec]:
        if brain.replay:
            entry, replayed = f"{DOOR}.recorded:open_recorded", (brain.replay, governor)
            return [ResidentSpec("models", entry, replayed, build_id())]
        kept = keys.leave(self.address, "model", keys.select(os.environ, "model"))
        kept = kept or keys.latest(self.settings.state_dir, "model")
        routes = brain.routes.model_dump_json() if brain.routes else ""
        entry, arguments = f"{DOOR}.gateway:open_gateway", (routes, str(kept or ""), brain.record)
        replicas = 1 if brain.record else self.settings.gateways
        return [
            ResidentSpec("models", entry, (*arguments, governor, number), build_id())
            for number in range(replicas)
        ]

    def _tooling(self, servers: ToolServers, run_id: RunId) -> Tooling:
        """Whose tools agents get. The person's own servers start when they are first asked."""
        name = ""
        if servers.file:
            told = told_to_servers(servers, self.settings, self.address)
            spec = ResidentSpec("tools", f"{DOOR}.servers:open_servers", told, build_id())
            start_resident(spec, state_seat(self.settings))
            name = spec.name
        return Tooling(
            client=run_id,
            servers=name,
            repository=servers.repository,
            lsp=self.settings.lsp,
            language_servers=self.settings.language_servers,
        )


async def _all_seated(*signs: Coroutine[Any, Any, object]) -> None:
    """Await all at once, so that processes start side by side; the first error is the one told."""
    try:
        async with asyncio.TaskGroup() as group:
            for sign in signs:
                group.create_task(sign)
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None


async def _drive(
    run_id: RunId, setup: WorkerSetup, request: FeatureRequest | None, *, take_over: bool = False
) -> None:
    supervisor = start_supervisor(run_id, setup, setup.seat)
    begun = supervisor.start(request, take_over=take_over)
    await seated(begun, "the supervisor", setup.seat)


def checkpoints(settings: Settings) -> ResidentSpec:
    """The checkpoint store of a state directory."""
    place = (str(settings.state_dir / "runs"),)
    return ResidentSpec("checkpoints", f"{DOOR}.checkpoints:open_checkpoints", place, build_id())


async def _join(settings: Settings, stack: AsyncExitStack) -> ClusterAddress:
    """Join the cluster, starting the local one if need be, and keep it from its idle stop."""
    in_use = cluster_in_use(settings)
    address = await asyncio.to_thread(in_use.__enter__)
    stack.callback(in_use.__exit__, None, None, None)
    number = await asyncio.to_thread(MEMBERSHIP.enter, address)
    stack.push_async_callback(asyncio.to_thread, MEMBERSHIP.leave, number)
    return address


async def _journal(settings: Settings, *, through_cluster: bool) -> Journal:
    if settings.store_url:
        return await entry_point(DATABASE)(settings.store_url.get_secret_value())
    if not through_cluster:
        return await entry_point(DATABASE)(settings.state_dir / "runs")
    spec = checkpoints(settings)
    seat = state_seat(settings)
    handle = JournalHandle(start_resident(spec, seat), spec.name)
    await seated(handle.ready(), "the checkpoint store", seat)
    return handle
