"""The composition root of a worker process: a picklable `WorkerSetup`, opened once in `ready()`."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from actors.handles import GatewayHandle
from actors.hands import Hands
from actors.memory_handle import MemoryHandle
from actors.meter import Meter
from actors.models.spread import SpreadGateway
from actors.sandbox.keeping import labels_of, rest
from actors.sandbox.metered import MeteredProvider
from actors.sandbox.opening import open_provider
from actors.sandbox.protocol import Level, SandboxProvider, Suspended
from actors.spawn import ANYWHERE, Hiring, Seat, on_other_nodes, open_pools
from actors.supervisor import Stage
from cluster.configuration import keys as kept_keys
from cluster.machines.finding import find, find_journal, state_here
from cluster.telemetry.on_ray import RayMeter
from cluster.telemetry.relay import RelayMeter, relay_to
from cluster.telemetry.tracing import Tracing
from cluster.telemetry.witness import both, counting
from cluster.tools.tooling import Tooling
from orchestration.clock import SystemClock
from orchestration.ids import RunId
from orchestration.messages import Preparation
from orchestration.workflow.journal import Journal

REMOTE: tuple[Level, ...] = ("e2b", "daytona")
"""Levels whose sandboxes are on no machine of the cluster; their provider wants a key."""


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """Where a worker finds everything. Names and paths only: holds no secret."""

    state_dir: str
    """The door's. A node's own comes first: see `state_here`."""
    checkpoints: str
    """Name of the checkpoint store's actor; "" for the PostgreSQL of the node's environment."""
    gateways: tuple[str, ...]
    """Names of the model gateways; a conversation keeps to one of them."""
    memory: str
    governor: str
    """Name of the governor, in whose process the figures are added up."""
    repository: str
    """Under which key memory keeps the target repository."""
    level: Level
    toolchains: tuple[str, ...]
    tasks: int = 4
    """How many are worked on at once."""
    slots: int = 1
    """How many of them share one process of a role."""
    image: str = ""
    needs: tuple[str, ...] = ()
    suspended: Suspended = "pause"
    setup: Preparation | None = None
    tools: Tooling = field(default_factory=Tooling)
    house: str = ""
    """The store's name, by which sandboxes of several houses are told apart."""
    recall_s: float = 1.5
    keys: str = ""
    """A file with the key that the sandboxes' level needs; "" for the node's environment."""
    tracing: Tracing = field(default_factory=Tracing)
    seat: Seat = ANYWHERE
    """Where players may be."""

    async def hands(self, name: str) -> Hands:
        """What a player works with."""
        meter, tracer = self.meter(), await self.tracing.open()
        asked = [GatewayHandle(find(name), name) for name in self.gateways]
        return Hands(
            name=name,
            journal=await self.journal(),
            gateway=tracer.gateway(SpreadGateway(asked)),
            tracer=tracer,
            sandboxes=await self.provider(meter),
            recaller=self.remembering(meter).recaller(self.repository),
            meter=meter,
            clock=SystemClock(),
            toolchains=self.toolchains,
            setup=self.setup,
            house=self.house,
            equipment=self.tools.equipment(state_here(self.state_dir)),
        )

    async def stage(self, run_id: RunId) -> Stage:
        """What a supervisor plays on."""
        meter, tracer = self.meter(), await self.tracing.open()
        hiring = Hiring(run_id, self, meter, self.seat)
        return Stage(
            journal=await self.journal(),
            pools=open_pools(hiring, tasks=self.tasks, slots=self.slots),
            memory=self.remembering(meter),
            sandboxes=await self.provider(meter),
            witness=both(tracer.witness, counting(meter, then=meter.close)),
            suspended=self.suspended,
            house=self.house,
            elsewhere=None if self.level in REMOTE else partial(_elsewhere, self, run_id),
            repositories=state_here(self.state_dir) / "repositories",
            clock=SystemClock(),
        )

    def meter(self) -> RelayMeter:
        """Figures, added up where the governor is."""
        return relay_to(find(self.governor), self.governor, RayMeter())

    def remembering(self, meter: Meter) -> MemoryHandle:
        """Memory's actor."""
        return MemoryHandle(find(self.memory), self.memory, recall_s=self.recall_s, meter=meter)

    async def journal(self) -> Journal:
        """The run's journal: the store's actor, or PostgreSQL directly."""
        return await find_journal(self.checkpoints)

    async def provider(self, meter: Meter) -> SandboxProvider:
        """Sandboxes of the level asked for, or an error; never a weaker level."""
        kept_keys.adopt(Path(self.keys) if self.keys else None)
        opened = await open_provider(
            self.level,
            state_here(self.state_dir) / "sandboxes",
            toolchains=self.toolchains,
            image=self.image,
            needs=self.needs,
        )
        return MeteredProvider(opened, meter)


async def _elsewhere(setup: WorkerSetup, run_id: RunId, policy: Suspended) -> None:
    await on_other_nodes(rest_sandboxes, setup, run_id, policy)


async def rest_sandboxes(setup: WorkerSetup, run_id: RunId, policy: Suspended) -> None:
    """Put the run's sandboxes on this node to rest."""
    if (state_here(setup.state_dir) / "sandboxes").exists():
        provider = await setup.provider(RayMeter())
        try:
            await rest(provider, labels_of(run_id, setup.house), policy)
        finally:
            await provider.close()
