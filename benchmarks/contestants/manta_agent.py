"""Our agent: the loop, the context, the journal on SQLite with every turn synced to the disk."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from actors.agent.agent import Agent, AgentLimits
from actors.agent.loop import run_agent
from actors.journal.sqlite import SqliteJournal
from actors.memory import RecallReport
from actors.models.gateway import ModelGateway, ModelReply, ModelRequest, ToolCall
from actors.models.scripted import FunctionGateway
from actors.sandbox.in_memory import InMemoryProvider, answered
from actors.sandbox.protocol import ExecResult, SandboxSpec
from actors.tools.approvals import PolicyPermission
from actors.tools.archive import Archive
from actors.tools.kits import coding_tools
from actors.tools.wrappers import ApprovalRequiredToolset
from benchmarks.contestants import turns
from benchmarks.contestants.meter import Job, Meter, read_job
from orchestration.approval import ApprovalPolicy
from orchestration.clock import SystemClock
from orchestration.ids import RunId, StepGrant, StepKey
from orchestration.workflow.journal import Journal, NewRecord, RecordKind

PROMPT = Path(sys.modules[Agent.__module__].__file__ or "").parents[1] / "coder.md"
STEP = StepKey("work")


class Done(BaseModel):
    title: str


class NoRecall:
    async def recall(self, query: str, *, limit: int) -> RecallReport:
        return RecallReport()


async def shell(argv: Any, job: Job) -> ExecResult:
    """What the command says: at once for `instant`, else by a real shell."""
    if job.store == "instant" and job.work == "turns":
        return answered()
    process = await asyncio.create_subprocess_exec(
        *argv, cwd=job.directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await process.communicate()
    return answered(process.returncode or 0, out, err)


def run_of(job: Job) -> RunId:
    return RunId(f"bench-{job.name}")


def scripted(job: Job, prompts: turns.Prompts) -> Callable[[ModelRequest], ModelReply]:
    """The model: one command a turn, as soon as it is asked."""

    def model(request: ModelRequest) -> ModelReply:
        prompts.arrive(request.tools, request.messages)
        turn = request.turn
        if turn > job.steps:
            return ModelReply("", (ToolCall("end", "finish", '{"title": "done"}'),), "tool_calls")
        arguments = json.dumps({"command": turns.command(job, turn)})
        call = ToolCall(f"call-{turn}", "run", arguments)
        return ModelReply(turns.THOUGHTS, (call,), "tool_calls", "script")

    return model


async def play(job: Job, prompts: turns.Prompts) -> float:
    """One conversation; whether the fact can still be had by `recall`, as 0 or 1."""
    journal = await SqliteJournal(Path(job.directory, f"journal-{job.name}")).open()
    gateway = FunctionGateway(scripted(job, prompts), context_tokens=200_000)
    found = await converse(job, journal, gateway)
    await journal.close()
    return found


async def converse(job: Job, journal: Journal, gateway: ModelGateway) -> float:
    """The same with any journal and gateway."""
    clock = SystemClock()
    run = run_of(job)
    await journal.create_run(run, workflow="w", definition="d", title="t", body="{}")
    lease = await journal.claim(run, "owner", ttl_s=3600)
    await journal.append(lease, [NewRecord(RecordKind.STARTED, STEP, 1)])
    grant = StepGrant(run, STEP, lease.epoch, 1)

    async def handler(argv: Any, _: Any) -> ExecResult:
        return await shell(argv, job)

    sandbox = await InMemoryProvider(handler=handler).create(SandboxSpec(labels={"run": "bench"}))
    archive = Archive(journal, run, STEP)
    permission = PolicyPermission(ApprovalPolicy(), journal, grant)
    agent = Agent(
        "coder", "coder-1", "coder", PROMPT.read_text(encoding="utf-8"),
        ApprovalRequiredToolset(coding_tools(sandbox, archive, NoRecall()), permission), Done,
        AgentLimits(turns=job.steps + 10, tokens=10**12, seconds=36_000),
    )  # fmt: skip

    await run_agent(
        agent, turns.TASK, gateway=gateway, journal=journal, grant=grant, conversation="work",
        clock=clock,
    )  # fmt: skip
    whole = await archive.text(f"{turns.FACT_TURN}.1") or ""
    return float(turns.FACT in whole)


async def main() -> None:
    job = read_job()
    turns.prepare(job)
    if job.work == "context":
        prompts = turns.Prompts()
        recalled = await play(job, prompts)
        print(json.dumps({**prompts.figures(), "fact_by_recall": recalled}))
        return
    await play(job.warm_up(), turns.Prompts(keep=False))
    prompts, meter = turns.Prompts(keep=False), Meter()
    meter.begin()
    await play(job, prompts)
    meter.end()
    meter.report(**turns.curve(prompts.firsts), idle_mb=_resident_mb())


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    asyncio.run(main())
