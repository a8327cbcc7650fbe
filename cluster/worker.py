"""The composition root of a worker process: a picklable `WorkerSetup`, opened once in `ready()`."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from actors.handles import GatewayHandle, JournalHandle, MemoryHandle
from actors.hands import Hands
from actors.resident import entry_point
from actors.sandbox.opening import open_provider
from actors.sandbox.protocol import Level, SandboxProvider
from actors.spawn import NAMESPACE, open_pools
from actors.supervisor import Stage
from orchestration.clock import SystemClock
from orchestration.errors import InfrastructureError
from orchestration.ids import RunId
from orchestration.workflow.journal import Journal

STORE_VARIABLE = "MANTA_STORE_URL"
DATABASE = "actors.journal.opening:open_journal"
"""Loaded only where a database is used: most workers speak to the store's actor."""


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """Where a worker finds everything. Names and paths only: holds no secret."""

    state_dir: str
    checkpoints: str
    """Name of the checkpoint store's actor; "" for the PostgreSQL of the node's environment."""
    gateway: str
    memory: str
    repository: str
    """The target repository's name, for recall."""
    level: Level
    toolchains: tuple[str, ...]
    coders: int = 4

    async def hands(self, name: str) -> Hands:
        """What a player works with."""
        return Hands(
            name=name,
            journal=await self.journal(),
            gateway=GatewayHandle(find(self.gateway), self.gateway),
            sandboxes=await self.provider(),
            recaller=MemoryHandle(find(self.memory), self.memory).recaller(self.repository),
            clock=SystemClock(),
            toolchains=self.toolchains,
        )

    async def stage(self, run_id: RunId) -> Stage:
        """What a supervisor plays on."""
        return Stage(
            journal=await self.journal(),
            pools=open_pools(run_id, self, coders=self.coders, reviewers=self.coders),
            memory=MemoryHandle(find(self.memory), self.memory),
            sandboxes=await self.provider(),
            repositories=Path(self.state_dir) / "repositories",
            clock=SystemClock(),
        )

    async def journal(self) -> Journal:
        """The run's journal: the store's actor, or PostgreSQL directly."""
        if self.checkpoints:
            return JournalHandle(find(self.checkpoints), self.checkpoints)
        url = os.environ.get(STORE_VARIABLE)
        if not url:
            raise InfrastructureError(
                f"{STORE_VARIABLE} is not set on this node",
                "set it in the environment of every node",
            )
        return await entry_point(DATABASE)(url)

    async def provider(self) -> SandboxProvider:
        """Sandboxes of the level asked for, or an error; never a weaker level."""
        return await open_provider(
            self.level, Path(self.state_dir) / "sandboxes", toolchains=self.toolchains
        )


def find(name: str) -> Any:
    """A resident by name."""
    try:
        return ray.get_actor(name, namespace=NAMESPACE)
    except ValueError as error:
        raise InfrastructureError(
            f"the cluster has no actor {name!r}", "start the run again from a door"
        ) from error
