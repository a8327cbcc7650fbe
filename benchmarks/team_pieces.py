"""Parts of a team by themselves: many agents at once, and merging."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from actors.agent.agent import Agent, AgentLimits
from actors.agent.loop import run_agent
from actors.git.repository import BareRepository
from actors.journal.sqlite import SqliteJournal
from actors.models.gateway import ModelReply, ModelRequest, ToolCall
from actors.models.scripted import FunctionGateway
from actors.run_repository import RunRepository
from actors.sandbox.in_memory import InMemoryProvider, answered
from actors.sandbox.protocol import ExecResult, SandboxSpec
from actors.tools.archive import Archive
from actors.tools.kits import coding_tools
from benchmarks.team_hall import LATENCY_S, SlowGateway
from orchestration.clock import SystemClock
from orchestration.ids import CommitId, RunId, StepGrant, StepKey
from orchestration.messages import TreeRef
from orchestration.workflow.journal import NewRecord, RecordKind
from tests.actors.git.checkout import Checkout
from tests.journeys.bench import NoRecall

RUN = RunId("bench")


class Done(BaseModel):
    title: str


class AtOnce(NamedTuple):
    """So many agents, begun together; all in seconds."""

    seconds: float
    """Until the last one has answered."""
    begun: float
    """Until the last one has asked its first question."""
    cpu: float


async def agents_at_once(place: Path, count: int, turns: int) -> AtOnce:
    """How long so many agents take together."""
    journal = await SqliteJournal(place).open()
    await journal.create_run(RUN, workflow="w", definition="d", title="t", body="{}")
    lease = await journal.claim(RUN, "owner", ttl_s=3600)
    keys = [StepKey(f"work-{number}") for number in range(count)]
    await journal.append(lease, [NewRecord(RecordKind.STARTED, key, 1) for key in keys])

    first: list[float] = []

    def model(request: ModelRequest) -> ModelReply:
        turn = request.turn
        if turn == 1:
            first.append(time.perf_counter() - LATENCY_S)
        last = ToolCall("end", "finish", '{"title": "done"}')
        call = ToolCall(f"call-{turn}", "run", json.dumps({"command": f"true {turn}"}))
        return ModelReply("", (last if turn > turns else call,), "tool_calls", "script")

    gateway = SlowGateway(FunctionGateway(model, context_tokens=200_000))
    began, used = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for key in keys:
            grant = StepGrant(RUN, key, lease.epoch, 1)
            group.create_task(_work(journal, gateway, grant, turns))
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - used
    await journal.close()
    return AtOnce(seconds, max(first) - began, cpu_s)


async def _work(journal: SqliteJournal, gateway: SlowGateway, grant: StepGrant, turns: int) -> None:
    async def handler(argv: Any, _: Any) -> ExecResult:
        return answered()

    sandbox = await InMemoryProvider(handler=handler).create(SandboxSpec(labels={"run": "bench"}))
    tools = coding_tools(sandbox, Archive(journal, grant.run_id, grant.step_key), NoRecall())
    limits = AgentLimits(turns=turns + 10, tokens=10**12, seconds=36_000)
    agent = Agent("coder", "coder", "coder", "Work.", tools, Done, limits)
    await run_agent(
        agent, "Work.", gateway=gateway, journal=journal, grant=grant,
        conversation=grant.step_key, clock=SystemClock(),
    )  # fmt: skip


async def merges(place: Path, count: int) -> float:
    """Seconds to merge so many branches of one commit, one after the other."""
    checkout = await asyncio.to_thread(_branches, place / "project", count)
    journal = await SqliteJournal(place / "journal").open()
    bare = await BareRepository.create(place / "run.git")
    repository = RunRepository(bare, journal)
    bundle = checkout.raw("bundle", "create", "--quiet", "-", "--branches")
    blob = await journal.put_blob(bundle)
    heads = checkout.git("for-each-ref", "--format=%(objectname)", "refs/heads/b").split()
    head = TreeRef(commit=CommitId(checkout.git("rev-parse", "main")), bundles=(blob,))
    await repository.hold(head)
    began = time.perf_counter()
    for commit in heads:
        theirs = TreeRef(commit=CommitId(commit), bundles=(blob,))
        merged, _ = await repository.merge(head, theirs, "Merge")
        assert merged, "no two branches touch the same file"
        head = merged
    seconds = time.perf_counter() - began
    await journal.close()
    return seconds


def _branches(place: Path, count: int) -> Checkout:
    checkout = Checkout(place)
    checkout.commit({f"src/file{n}.py": f"x = {n}\n" * 50 for n in range(100)})
    for number in range(count):
        checkout.git("checkout", "-q", "-b", f"b/{number}", "main")
        checkout.commit({f"src/new{number}.py": f"y = {number}\n"})
    return checkout
