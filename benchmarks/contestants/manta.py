"""Our engine, on SQLite in a directory, on PostgreSQL, or with nothing durable at all."""

import asyncio
from pathlib import Path

from actors.journal.opening import open_journal
from benchmarks.contestants.meter import Job, Meter, Resumed, number_of, payload, read_job
from orchestration.clock import SystemClock
from orchestration.ids import RunId
from orchestration.workflow.builder import Workflow, step
from orchestration.workflow.engine import Engine
from orchestration.workflow.in_memory import InMemoryJournal
from orchestration.workflow.journal import Journal, RunStatus
from orchestration.workflow.shape import Flow, StepNode
from orchestration.workflow.step import StepContext, Suspension

RUN = RunId("gated")


def chain(job: Job) -> Flow[str, str]:
    def numbered(number: int) -> StepNode[str, str]:
        async def work(value: str) -> str:
            assert number_of(value) == number
            return payload(number + 1, job.size)

        return step(work, id=f"step{number}")

    workflow = Workflow("chain", str)
    for number in range(job.steps):
        workflow = workflow.then(numbered(number))
    return workflow.commit()


def fan(job: Job) -> Flow[list[int], list[str]]:
    async def work(item: int) -> str:
        return payload(item, job.size)

    return Workflow("fan", list[int]).foreach(work, concurrency=job.steps).commit()


def loop(job: Job) -> Flow[str, str]:
    async def work(value: str) -> str:
        return payload(number_of(value) + 1, job.size)

    looped = Workflow("loop", str).dountil(
        work, lambda view: view.iteration == job.steps, at_most=job.steps
    )
    return looped.commit()


def gated(resumed: Resumed) -> Flow[str, str]:
    async def gate(value: str, ctx: StepContext) -> str:
        if ctx.answer is None:
            ctx.suspend(Suspension(label="gate", payload='"go on?"'))
        return value

    async def behind(value: str) -> str:
        resumed.reached()
        return value

    return Workflow("gated", str).then(step(gate, answers=bool)).then(behind).commit()


async def play(journal: Journal, job: Job) -> None:
    engine, run = Engine(journal, owner="benchmark"), RunId(job.name)
    match job.work:
        case "chain":
            outcome = await engine.start(chain(job), payload(0, job.size), run_id=run)
        case "fan":
            outcome = await engine.start(fan(job), list(range(job.steps)), run_id=run)
        case _:
            outcome = await engine.start(loop(job), payload(0, job.size), run_id=run)
    assert outcome.status is RunStatus.DONE, outcome


async def suspend_or_resume(journal: Journal, job: Job, resumed: Resumed) -> None:
    engine, flow = Engine(journal, owner="benchmark"), gated(resumed)
    if job.work == "suspend":
        outcome = await engine.start(flow, "value", run_id=RUN)
        assert outcome.status is RunStatus.SUSPENDED
        return
    resumed.call()
    await journal.decide(RUN, "gate", "true", by="benchmark")
    resumed.part("decide_ms")
    outcome = await engine.resume(flow, RUN)
    assert outcome.status is RunStatus.DONE
    resumed.report()


async def opened(job: Job) -> Journal:
    if job.store == "memory":
        return InMemoryJournal(SystemClock())
    return await open_journal(job.store or Path(job.directory, "state"))


async def main() -> None:
    job, resumed = read_job(), Resumed()
    resumed.part("imports_ms")
    journal = await opened(job)
    resumed.part("open_ms")
    if job.work in {"suspend", "resume"}:
        await suspend_or_resume(journal, job, resumed)
        await journal.close()
        return
    await play(journal, job.warm_up())
    meter = Meter()
    meter.begin()
    await play(journal, job)
    meter.end()
    await journal.close()
    meter.report()


if __name__ == "__main__":
    asyncio.run(main())
