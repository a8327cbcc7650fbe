"""Our agent in an actor of its own on Ray, its journal, governor and model in three others.

As in a run: every turn asks the gateway's process, which asks the governor's, and is journaled by
the checkpoint store's. The cluster is the local one that `manta run` starts.
"""

import asyncio
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import ray

from actors.handles import ActorHandle, GatewayHandle, GovernorHandle, JournalHandle
from actors.models.gateway import ModelReply, ModelRequest
from actors.models.governed import GovernedGateway
from actors.models.governor import Lane, LocalGovernor
from actors.models.scripted import FunctionGateway
from actors.spawn import ResidentSpec, start_resident
from benchmarks.contestants import turns
from benchmarks.contestants.manta_agent import converse, run_of, scripted
from benchmarks.contestants.meter import Job, Meter, read_job
from cluster.machines.connection import connect
from cluster.machines.finding import find
from cluster.machines.local_cluster import cluster_in_use, stop_cluster
from cluster.settings import Settings

BUILD = "benchmark"
CALLS = 200


async def open_model(job: Job, governor: str) -> GovernedGateway:
    """The model's process. Both conversations meet it, so that the second finds all connected."""
    warm_up = job.warm_up()
    whole, warm = (scripted(each, turns.Prompts(keep=False)) for each in (job, warm_up))

    def answer(request: ModelRequest) -> ModelReply:
        return (warm if request.run == run_of(warm_up) else whole)(request)

    gateway = FunctionGateway(answer, context_tokens=200_000)
    return GovernedGateway(gateway, GovernorHandle(find(governor), governor), Lane("bench"))


async def open_governor() -> LocalGovernor:
    """The governor's process; no run of a benchmark has a budget."""
    return LocalGovernor()


class Player:
    """The agent's process."""

    async def play(self, job: Job, journal: str, model: str) -> dict[str, float]:
        """One conversation, and what it took here."""
        moments = Moments(find(model), model)
        meter = Meter()
        meter.begin()
        await converse(job, JournalHandle(find(journal), journal), moments)
        meter.end()
        return {**meter.figures(), **turns.curve(moments.firsts)}

    async def echo(self, word: str) -> str:
        return word

    async def call_ms(self, other: ActorHandle) -> dict[str, float]:
        """What asking another actor for nothing takes: the half of all calls takes less."""
        taken: list[float] = []
        for _ in range(CALLS):
            began = time.perf_counter()
            await other.echo.remote("x")
            taken.append((time.perf_counter() - began) * 1000)
        return {"call_ms": statistics.median(taken)}


class Moments(GatewayHandle):
    """Notes when each question was asked."""

    def __init__(self, actor: Any, name: str) -> None:
        super().__init__(actor, name)
        self.firsts: list[float] = []

    async def complete(self, request: Any) -> Any:
        self.firsts.append(time.perf_counter())
        return await super().complete(request)


def specs(job: Job) -> tuple[ResidentSpec, ResidentSpec, ResidentSpec]:
    """Journal, governor, model."""
    place = str(Path(job.directory, "journal"))
    here = __spec__.name
    opens = "cluster.residents.checkpoints:open_checkpoints"
    store = ResidentSpec("checkpoints", opens, (place,), BUILD)
    governor = ResidentSpec("governor", f"{here}:open_governor", (), BUILD)
    model = ResidentSpec("models", f"{here}:open_model", (job, governor.name), BUILD)
    return store, governor, model


async def measure(job: Job) -> dict[str, float]:
    """A warm-up and the play itself, by the same processes."""
    store, governor, model = specs(job)
    for spec in (store, governor, model):
        await start_resident(spec).ready.remote()
    make: Any = ray.remote(Player).options(num_cpus=0.1)
    player, other = make.remote(), make.remote()
    await player.play.remote(job.warm_up(), store.name, model.name)
    figures = await player.play.remote(job, store.name, model.name)
    return figures | await player.call_ms.remote(other)


def main() -> None:
    job = read_job()
    state = Path(job.directory, "state")
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])
    try:
        with cluster_in_use(Settings(state_dir=state, start_timeout_s=240)) as address:
            connect(address)
            try:
                print(json.dumps(asyncio.run(measure(job))))
            finally:
                ray.shutdown()
    finally:
        stop_cluster(state)


if __name__ == "__main__":
    main()
