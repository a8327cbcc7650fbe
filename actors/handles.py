"""Typed clients: the sockets of both floors spoken over Ray calls.

Ray's errors become ours here. A cancelled call is cancelled at the other end too, so that what it
was running there dies with it.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import ray
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    GetTimeoutError,
    OwnerDiedError,
    RayActorError,
    RayError,
    RayTaskError,
    TaskCancelledError,
)

from actors.assignments import ChallengeJob, CodeJob, ExamineJob, Handed, PlanJob, VerifyJob
from actors.mcp.protocol import Offer, RemoteAnswer
from actors.models.gateway import ModelReply, ModelRequest, Role
from actors.models.governor import Call, Lane, Leave
from actors.models.speech import Words
from orchestration.errors import InfrastructureError, MantaError, StoreError, WorkerLostError
from orchestration.ids import BlobId, RunId, StepGrant, StepKey
from orchestration.messages import (
    Difficulty,
    FeatureRequest,
    Plan,
    Usage,
)
from orchestration.proof import Review, TestReport
from orchestration.strength import Strength
from orchestration.workflow.journal import (
    Lease,
    NewRecord,
    Record,
    RecordKind,
    RunInfo,
    RunStatus,
)

T = TypeVar("T")
NAMESPACE = "manta"
ActorHandle = Any
"""Ray's handles have no useful static type; this file is where they end."""
PATIENCE_S = 60.0
"""How long a call waits for a resident that Ray is restarting. With Ray's own health checks a lost
node is noticed after 17 s; only then is its resident restarted on another."""


async def answer(call: Callable[..., Any], who: str, *arguments: object) -> Any:
    """Await one Ray call in our terms.

    Raises:
        WorkerLostError: its process died or cannot be reached; whether it acted is unknown.
        MantaError: what the method raised.
    """
    reference = None
    try:
        reference = call(*arguments)
        return await reference
    except asyncio.CancelledError:
        if reference is not None:
            ray.cancel(reference)
        raise
    except RayTaskError as error:
        raise cause_of(error, who) from None
    except TaskCancelledError as error:
        raise WorkerLostError(f"{who} was cancelled") from error
    except (RayActorError, ActorUnavailableError, ActorDiedError, OwnerDiedError) as error:
        raise WorkerLostError(f"{who} died", "the work goes on with another one") from error
    except (RayError, GetTimeoutError) as error:
        raise InfrastructureError(f"Ray failed while asking {who}: {error}") from error


def cause_of(error: RayTaskError, who: str) -> Exception:
    """What the remote method raised, or an error that quotes it."""
    cause = error.cause
    if isinstance(cause, MantaError):
        return cause
    if isinstance(cause, asyncio.CancelledError):
        return WorkerLostError(f"{who} was cancelled")
    return InfrastructureError(f"{who} failed: {type(cause).__name__}: {cause}")


class ResidentHandle:
    """A client of one resident. A resident that Ray restarts is waited for."""

    def __init__(self, actor: ActorHandle, name: str) -> None:
        self._actor, self._name = actor, name
        self._verbs: dict[str, ActorHandle] = {}
        """Ray's methods by the names that its dashboard shows; making one takes a while."""

    async def ready(self) -> str:
        return await answer(self._actor.ready.remote, self._name)

    async def _ask(self, verb: str, *arguments: object, again: bool = True, **named: object) -> Any:
        """Call a verb; with `again`, once more for as long as the process is away."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE_S
        while True:
            try:
                method = self._verb(verb)
                return await answer(method.remote, self._name, verb, arguments, named)
            except WorkerLostError:
                if not again or loop.time() > deadline:
                    raise
                await asyncio.sleep(0.2)

    def _verb(self, verb: str) -> ActorHandle:
        if verb not in self._verbs:
            self._verbs[verb] = self._actor.call.options(name=f"{self._name}.{verb}")
        return self._verbs[verb]


class JournalHandle(ResidentHandle):
    """The journal socket, spoken to the checkpoint store's actor."""

    async def create_run(
        self,
        run_id: RunId,
        *,
        workflow: str,
        definition: str,
        title: str,
        body: str,
        parent: RunId | None = None,
        records: Sequence[NewRecord] = (),
    ) -> bool:
        return await self._ask(
            "create_run",
            run_id,
            workflow=workflow,
            definition=definition,
            title=title,
            body=body,
            parent=parent,
            records=records,
        )

    async def claim(
        self, run_id: RunId, owner: str, *, ttl_s: float = 15.0, take_over: bool = False
    ) -> Lease:
        return await self._ask("claim", run_id, owner, ttl_s=ttl_s, take_over=take_over)

    async def renew(self, lease: Lease, *, ttl_s: float = 15.0) -> Lease:
        return await self._ask("renew", lease, ttl_s=ttl_s)

    async def release(self, lease: Lease, status: RunStatus) -> None:
        await self._ask("release", lease, status)

    async def append(
        self,
        lease: Lease,
        records: Sequence[NewRecord],
        *,
        status: RunStatus | None = None,
        release: bool = False,
        wake_at: float | None = None,
    ) -> int:
        told = {"status": status, "release": release, "wake_at": wake_at}
        return await self._append(lease.run_id, records, "append", lease, records, **told)

    async def append_under(self, grant: StepGrant, records: Sequence[NewRecord]) -> int:
        return await self._append(grant.run_id, records, "append_under", grant, records)

    async def read(
        self,
        run_id: RunId,
        *,
        after: int = 0,
        step_key: StepKey | None = None,
        kinds: Sequence[RecordKind] | None = None,
        limit: int = 10_000,
    ) -> list[Record]:
        return await self._ask(
            "read", run_id, after=after, step_key=step_key, kinds=kinds, limit=limit
        )

    async def wait(self, run_id: RunId, *, after: int, timeout_s: float) -> bool:
        return await self._ask("wait", run_id, after=after, timeout_s=timeout_s)

    async def info(self, run_id: RunId) -> RunInfo:
        return await self._ask("info", run_id)

    async def runs(self, *, limit: int = 100) -> list[RunInfo]:
        return await self._ask("runs", limit=limit)

    async def due(self, *, limit: int = 100) -> list[RunInfo]:
        return await self._ask("due", limit=limit)

    async def request_cancel(self, run_id: RunId, *, by: str) -> bool:
        return await self._ask("request_cancel", run_id, by=by)

    async def decide(self, run_id: RunId, label: str, body: str, *, by: str) -> bool:
        return await self._ask("decide", run_id, label, body, by=by)

    async def put_blob(self, content: bytes) -> BlobId:
        return await self._ask("put_blob", content)

    async def get_blob(self, blob: BlobId) -> bytes:
        return await self._ask("get_blob", blob)

    async def close(self) -> None:
        """The store outlives its clients."""

    async def _append(
        self, run_id: RunId, records: Sequence[NewRecord], verb: str, *args: object, **named: object
    ) -> int:
        """Append; after a lost acknowledgement look whether it happened before trying again.

        An append without records leaves nothing to find here: its caller looks at the run.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE_S
        while True:
            try:
                return await self._ask(verb, *args, again=False, **named)
            except WorkerLostError as error:
                if not records or loop.time() > deadline:
                    raise StoreError(
                        "the checkpoint store went away and did not answer",
                        "look at its log in Ray's dashboard, then `manta resume`",
                    ) from error
                await asyncio.sleep(0.2)
            if done := await self._landed(run_id, records):
                return done

    async def _landed(self, run_id: RunId, records: Sequence[NewRecord]) -> int:
        """The sequence number of the last of these if they are the latest of their step, or 0."""
        key = records[-1].step_key
        wanted = [(r.kind, r.attempt, r.body) for r in records if r.step_key == key]
        stored = await self.read(run_id, step_key=key)
        tail = [(r.kind, r.attempt, r.body) for r in stored[-len(wanted) :]]
        return stored[-1].seq if tail == wanted else 0


class GatewayHandle(ResidentHandle):
    """The model gateway socket, spoken to a gateway's actor."""

    async def complete(self, request: ModelRequest) -> ModelReply:
        return await self._ask("complete", request)

    async def acknowledge(self, key: str) -> None:
        await self._ask("acknowledge", key)

    async def check(self, role: Role, *, priced: bool = False) -> str:
        return await self._ask("check", role, priced=priced)

    async def context_tokens(self, role: Role, difficulty: Difficulty = "normal") -> int:
        return await self._ask("context_tokens", role, difficulty)

    async def doing(self, run: str) -> tuple[Words, ...]:
        """What models are saying in a run right now, as far as they stream."""
        return await self._ask("doing", run, again=False)


class GovernorHandle(ResidentHandle):
    """The governor socket, spoken to its actor."""

    async def reserve(self, call: Call) -> Leave:
        return await self._ask("reserve", call)

    async def settle(self, leave: Leave, usage: Usage) -> str:
        return await self._ask("settle", leave, usage)

    async def pause(self, lane: Lane, seconds: float) -> None:
        await self._ask("pause", lane, seconds)


class ServersHandle(ResidentHandle):
    """A person's MCP servers, spoken to their process. Never raises for what a server does."""

    def __init__(self, actor: ActorHandle, name: str, client: str) -> None:
        super().__init__(actor, name)
        self._client = client
        """The run: runs share no process of a server."""

    async def offer(self, role: str) -> Offer:
        try:
            return await self._ask("offer", self._client, role)
        except MantaError as error:
            return Offer(troubles=(f"MCP servers are unavailable: {error}",))

    async def call(
        self, role: str, server: str, tool: str, arguments: dict[str, Any]
    ) -> RemoteAnswer:
        try:
            return await self._ask("call", self._client, role, server, tool, arguments, again=False)
        except MantaError as error:
            return RemoteAnswer(f"The server {server} is unavailable: {error}", ok=False)

    async def close(self) -> None:
        """The servers outlive their callers."""


class PlayerHandle:
    """A client of one player's actor."""

    def __init__(self, actor: ActorHandle, name: str) -> None:
        self._actor, self._name = actor, name

    async def ready(self) -> None:
        await answer(self._actor.ready.remote, self._name)

    async def _ask(self, verb: str, job: object, grant: StepGrant) -> Any:
        task = f"{grant.run_id}/{grant.step_key}/{grant.attempt}"
        method = getattr(self._actor, verb).options(name=task)
        return await answer(method.remote, self._name, job, grant)

    @property
    def actor(self) -> ActorHandle:
        return self._actor


class ArchitectHandle(PlayerHandle):
    """An architect somewhere on the cluster."""

    async def plan(self, job: PlanJob, grant: StepGrant) -> Plan:
        return await self._ask("plan", job, grant)


class CoderHandle(PlayerHandle):
    """A coder somewhere on the cluster."""

    async def write_test(self, job: CodeJob, grant: StepGrant) -> Handed:
        return await self._ask("write_test", job, grant)

    async def write_code(self, job: CodeJob, grant: StepGrant) -> Handed:
        return await self._ask("write_code", job, grant)


class ReviewerHandle(PlayerHandle):
    """A reviewer somewhere on the cluster."""

    async def verify(self, job: VerifyJob, grant: StepGrant) -> TestReport:
        return await self._ask("verify", job, grant)

    async def challenge(self, job: ChallengeJob, grant: StepGrant) -> Strength:
        return await self._ask("challenge", job, grant)

    async def review(self, job: ExamineJob, grant: StepGrant) -> Review:
        return await self._ask("review", job, grant)


class SecurityHandle(PlayerHandle):
    """A security analyst somewhere on the cluster."""

    async def audit(self, job: ExamineJob, grant: StepGrant) -> Review:
        return await self._ask("audit", job, grant)


class SupervisorHandle:
    """A client of one run's supervisor."""

    def __init__(self, actor: ActorHandle, name: str) -> None:
        self._actor, self._name = actor, name

    async def start(self, request: FeatureRequest | None, *, take_over: bool = False) -> None:
        """Begin (or go on with) driving, and return at once.

        Raises:
            RunOwnedError: somebody drives this run already.
        """
        await answer(self._actor.start.remote, self._name, request, take_over)
