"""The only file that makes Ray actors: names, seats, restarts.

Players are children of their run's supervisor and die with it. Supervisors and residents are
detached: they outlive the driver that made them.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import ray
from ray.actor import exit_actor
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.architect import Architect
from actors.coder import Coder
from actors.handles import (
    NAMESPACE,
    ActorHandle,
    ArchitectHandle,
    CoderHandle,
    PlayerHandle,
    ReviewerHandle,
    SecurityHandle,
    SupervisorHandle,
)
from actors.hands import Setup
from actors.meter import Meter
from actors.player import Player
from actors.pool import Pool
from actors.ports import Pools
from actors.resident import Resident
from actors.reviewer import Reviewer
from actors.security import SecurityAnalyst
from actors.supervisor import StageSetup, Supervisor
from orchestration.errors import ConflictError, InfrastructureError, RunOwnedError
from orchestration.ids import RunId
from orchestration.messages import FeatureRequest

log = logging.getLogger(__name__)
CPUS = {"supervisor": 0.05, "resident": 0.05, "player": 0.1}
"""Small but not zero: an actor of zero CPUs neither makes a cluster grow nor spreads over it."""
CARRY_ON_ATTEMPTS = 12
LINGER_S = 0.5
"""Time for whoever asked to hear how it went before the actor is gone."""
ROOM_S = 900.0
"""How long an actor waits for a node with room for it: a cluster may have to grow first."""
CROWDED_S = 10.0
"""After so long without room for a player, the idle ones of its run are let go."""
HEAD = "node:__internal_head__"
"""A resource that Ray gives to the head alone."""
P = TypeVar("P", bound=PlayerHandle)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Seat:
    """Which nodes an actor may be on; which of them it is, is Ray's business."""

    labels: tuple[tuple[str, str], ...] = ()
    """What the node must be labelled with (`ray start --labels`)."""
    has_files: bool = False
    """Bound to one machine by its files: the labelled node, or the head. It waits for that node
    where it is away, and takes no CPUs, because it has no choice."""
    near: str = ""
    """Id of a node that is preferred as long as it lives; takes no CPUs there."""

    def __str__(self) -> str:
        wanted = ",".join(f"{name}={value}" for name, value in self.labels)
        return f"labelled {wanted}" if wanted else "the head" if self.has_files else "any"

    def options(self, cpus: float) -> dict[str, Any]:
        """Ray's options for an actor that would take so many CPUs."""
        chosen: dict[str, Any] = {"num_cpus": cpus, "scheduling_strategy": "SPREAD"}
        if self.labels:
            chosen["label_selector"] = dict(self.labels)
        elif self.has_files:
            chosen["resources"] = {HEAD: 0.001}
        if self.has_files or self.near:
            chosen["num_cpus"] = 0
        if self.near:
            chosen["scheduling_strategy"] = NodeAffinitySchedulingStrategy(self.near, soft=True)
        return chosen


ANYWHERE = Seat()


async def seated(sign: Awaitable[T], who: str, seat: Seat = ANYWHERE) -> T:
    """Await an actor's first sign of life.

    Raises:
        InfrastructureError: no node had room for it in time; Ray itself would wait for ever.
    """
    try:
        return await asyncio.wait_for(sign, ROOM_S)
    except TimeoutError:
        raise InfrastructureError(
            f"no node of the cluster ({seat}) has had room for {who} within {ROOM_S:.0f} s",
            "see `ray status`; add nodes, or change MANTA_WORKERS_ON or MANTA_STATE_ON",
        ) from None


@dataclass(frozen=True, slots=True)
class ResidentSpec:
    """A long-lived actor.

    Its name carries a hash of the build and of what it was opened with, so that a later job never
    talks to old code or to someone else's configuration.
    """

    kind: str
    """What people see, such as `checkpoints`; also the class name in the dashboard."""
    entry: str
    arguments: tuple[object, ...]
    build: str

    @property
    def name(self) -> str:
        text = repr((self.entry, self.arguments, self.build))
        return f"{self.kind}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


class RunningSupervisor(Supervisor):
    """A supervisor in its actor: goes on by itself after Ray restarted it, leaves when done."""

    def __init__(self, run_id: RunId, setup: StageSetup) -> None:
        context = ray.get_runtime_context()
        super().__init__(
            run_id,
            setup,
            owner=f"supervisor {context.get_actor_id()}",
            restarted=bool(context.was_current_actor_reconstructed),
        )
        self._me: ActorHandle = context.current_actor
        if context.was_current_actor_reconstructed:
            # A call to ourselves could be refused while Ray still counts us as restarting.
            self._carrying_on = asyncio.get_running_loop().create_task(self.carry_on())

    async def carry_on(self) -> None:
        """After a restart: take the run up again, however long its ground takes to come back."""
        for attempt in range(1, CARRY_ON_ATTEMPTS + 1):
            try:
                await super().start(None)
                break
            except (RunOwnedError, ConflictError):
                break  # somebody else drives it, or it has ended
            except InfrastructureError:
                log.exception("attempt %d to carry on with %s failed", attempt, self.run_id)
                await asyncio.sleep(min(attempt, 5))
        self._me.leave_when_done.remote()

    async def start(self, request: FeatureRequest | None, take_over: bool = False) -> None:
        self._me.leave_when_done.remote()
        await super().start(request, take_over)

    async def leave_when_done(self) -> None:
        """End this actor for good once the run has ended or waits for people."""
        await asyncio.sleep(LINGER_S)
        await self.finished()
        exit_actor()


def start_supervisor(run_id: RunId, setup: StageSetup, seat: Seat = ANYWHERE) -> SupervisorHandle:
    """The run's supervisor, made or found."""
    name = f"supervisor:{run_id}"
    actor = (
        ray.remote(_shown_as("Supervisor", RunningSupervisor))
        .options(
            name=name,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,
            max_task_retries=0,
            **seat.options(CPUS["supervisor"]),
        )
        .remote(run_id, setup)
    )
    return SupervisorHandle(actor, name)


def start_resident(spec: ResidentSpec, seat: Seat = ANYWHERE) -> ActorHandle:
    """A resident's actor, made or found."""
    housing = _shown_as(spec.kind.capitalize(), Resident)
    return (
        ray.remote(housing)
        .options(
            name=spec.name,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,
            max_task_retries=0,
            max_concurrency=10_000,
            **seat.options(CPUS["resident"]),
        )
        .remote(spec.name, spec.entry, spec.arguments)
    )


def end_residents(kind: str, *, but: str) -> None:
    """End the residents of a kind that were opened in another way, or by another build."""
    for name, actor in residents(kind):
        if name != but:
            ray.kill(actor, no_restart=True)


def residents(kind: str) -> list[tuple[str, ActorHandle]]:
    """Names and actors of a kind's residents, of every build and configuration. Blocking."""
    found: Any = ray.util.list_named_actors(all_namespaces=True)
    named: list[dict[str, str]] = found
    alive: list[tuple[str, ActorHandle]] = []
    for name in (each["name"] for each in named if each["namespace"] == NAMESPACE):
        if name.startswith(f"{kind}-"):
            with contextlib.suppress(ValueError):  # gone by itself
                alive.append((name, ray.get_actor(name, namespace=NAMESPACE)))
    return alive


async def on_other_nodes(job: Callable[..., Coroutine[Any, Any, None]], *arguments: object) -> None:
    """Have an async function run once on every other node; what fails there is only logged."""
    here = ray.get_runtime_context().get_node_id()
    others = [n["NodeID"] for n in ray.nodes() if n["Alive"] and n["NodeID"] != here]
    run: Any = ray.remote(_to_its_end)
    for node in others:
        seat = NodeAffinitySchedulingStrategy(node, soft=False)
        done = run.options(num_cpus=0, max_retries=0, scheduling_strategy=seat, name=job.__name__)
        try:
            await done.remote(job, arguments)
        except RayError as error:
            log.warning("%s was not done on node %s: %s", job.__name__, node, error)


def _to_its_end(
    job: Callable[..., Coroutine[Any, Any, None]], arguments: tuple[object, ...]
) -> None:
    asyncio.run(job(*arguments))


def _shown_as(name: str, actor: type) -> type:
    """The class by the name that Ray's dashboard and `ps` show."""
    return type(name, (actor,), {"__doc__": actor.__doc__})


@dataclass(frozen=True, slots=True)
class Hiring:
    """For whom players are made, with what, and where."""

    run_id: RunId
    setup: Setup
    meter: Meter
    seat: Seat = ANYWHERE


@dataclass(frozen=True, slots=True)
class _Size:
    """At most so many workers, of so many slots each."""

    limit: int
    slots: int


def open_pools(hiring: Hiring, *, tasks: int, slots: int) -> Pools:
    """A run's pools of Ray actors, for so many tasks at once, `slots` of them in one process."""
    one, workers = _Size(1, 1), _Size(-(-tasks // slots), slots)

    def make_room() -> None:
        pools.release_idle()

    pools = Pools(
        architects=_pool(hiring, Architect, ArchitectHandle, one, make_room),
        coders=_pool(hiring, Coder, CoderHandle, workers, make_room),
        reviewers=_pool(hiring, Reviewer, ReviewerHandle, workers, make_room),
        analysts=_pool(hiring, SecurityAnalyst, SecurityHandle, workers, make_room),
    )
    return pools


def _pool(
    hiring: Hiring,
    player: type[Player],
    handle: type[P],
    size: _Size,
    make_room: Callable[[], None],
) -> Pool[P]:
    async def make(number: int) -> P:
        name = f"{player.role}-{number}"
        full_name = f"{name}:{hiring.run_id}"
        actor = (
            ray.remote(player)
            .options(
                name=full_name,
                namespace=NAMESPACE,
                get_if_exists=False,
                max_restarts=0,
                max_task_retries=0,
                **hiring.seat.options(CPUS["player"] * size.slots),
            )
            .remote(name, hiring.setup)
        )
        made = handle(actor, full_name)
        asking = asyncio.create_task(_every(CROWDED_S, make_room))
        try:
            await seated(made.ready(), name, hiring.seat)
        finally:
            asking.cancel()
        return made

    async def end(worker: P) -> None:
        ray.kill(worker.actor, no_restart=True)

    return Pool(make, end, limit=size.limit, slots=size.slots, meter=hiring.meter, role=player.role)


async def _every(seconds: float, do: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(seconds)
        do()
