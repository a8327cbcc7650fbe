"""Writes a sample of a run's records: `python -m tests.orchestration.workflow.samples.write`.

Run it once per record version, before the version is raised, and never change a sample again.
"""

import asyncio
import json
import operator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict

from orchestration.clock import SystemClock
from orchestration.errors import WorkerLostError
from orchestration.ids import RunId
from orchestration.workflow.builder import Workflow, step
from orchestration.workflow.engine import Engine
from orchestration.workflow.in_memory import InMemoryJournal
from orchestration.workflow.journal import RECORD_VERSION
from orchestration.workflow.outcome import decide
from orchestration.workflow.retry import Retry
from orchestration.workflow.shape import Flow, LoopView
from orchestration.workflow.state import Reducer
from orchestration.workflow.step import StepContext, Suspension

OUTPUT = {"add": 54, "flaky": 55}


class Tally(BaseModel):
    model_config = ConfigDict(frozen=True)
    total: Annotated[int, Reducer(operator.add)] = 0


async def add(value: int, ctx: StepContext) -> int:
    ctx.update_state(total=1)
    return value + 1


async def flaky(value: int, ctx: StepContext) -> int:
    if ctx.grant.attempt == 1:
        raise WorkerLostError("gone", "try again")
    return value + 2


async def ask(value: int, ctx: StepContext) -> int:
    if ctx.answer is None:
        ctx.suspend(Suspension(label="gate", payload="{}"))
    await ctx.effect("mail", send, int)
    await ctx.note("answered")
    return value + ctx.answer + ctx.state.total


async def send() -> int:
    return 1


def is_third(view: LoopView[int]) -> bool:
    return view.iteration == 3


def is_big(value: int) -> bool:
    return value > 10


def sample_flow() -> Flow[Any, Any]:
    """Every verb once."""
    body = Workflow("body", int).then(add).commit()
    again = Retry(attempts=3, delay_s=0)
    return (
        Workflow("sample", list[int], state=Tally)
        .foreach(body, concurrency=2)
        .map(sum, returns=int)
        .dountil(step(add, id="grow"), is_third, at_most=3)
        .sleep(0)
        .then(step(ask, answers=int))
        .branch((is_big, step(double, id="big")), default=step(add, id="small"))
        .parallel(add, step(flaky, retry=again))
        .commit()
    )


async def double(value: int) -> int:
    return value * 3 - 1


async def main() -> None:
    journal, run_id, flow = InMemoryJournal(SystemClock()), RunId("sample"), sample_flow()
    engine = Engine(journal, owner="sampler")
    await engine.start(flow, [1, 2], run_id=run_id)
    await decide(journal, flow, run_id, "5", by="sampler")
    outcome = await engine.resume(flow, run_id)
    assert outcome.output == OUTPUT
    lines = [json.dumps(asdict(record)) for record in await journal.read(run_id)]
    path = Path(__file__).with_name(f"v{RECORD_VERSION}.jsonl")
    path.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
