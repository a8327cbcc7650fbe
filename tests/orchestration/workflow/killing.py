"""Lives and deaths of real processes: `python -m tests.orchestration.workflow.killing DIR PLANS`.

Each plan is a run in a SQLite store of its own and a list of deaths, one per life. A life is a
forked process that drives the run and kills itself with SIGKILL at a given write to the journal,
before or after it. After the planned deaths one more life ends the run. The verdict of every plan
is printed as a line of JSON.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from actors.journal.opening import open_journal
from orchestration.ids import RunId
from orchestration.workflow.builder import Workflow, step
from orchestration.workflow.engine import Engine
from orchestration.workflow.journal import RecordKind, RunStatus
from orchestration.workflow.outcome import decide, outcome_of
from orchestration.workflow.retry import Retry
from orchestration.workflow.shape import Flow, LoopView
from orchestration.workflow.step import StepContext, Suspension

RUN = RunId("run")
OUTPUT = {"left": 32, "right": 33}
EFFECTS = 4
WRITES = ("create_run", "claim", "append", "append_under", "put_blob", "decide")
Death = tuple[int, str]


def is_third(view: LoopView[int]) -> bool:
    return view.iteration == 3


def flow_in(world: Path) -> Flow[Any, Any]:
    """Every verb, with effects on a world that knows the keys it has seen."""

    async def act(key: str) -> str:
        with (world / "effects").open("a+") as seen:
            seen.seek(0)
            if key not in seen.read().splitlines():
                seen.write(key + "\n")
        return "x" * 40_000

    async def effect(value: int, ctx: StepContext) -> int:
        key = ctx.grant.idempotency_key
        done = await ctx.effect("act", lambda: act(key), str)
        return value + len(done) // 40_000

    async def add(value: int) -> int:
        return value + 1

    async def flaky(value: int, ctx: StepContext) -> int:
        if ctx.grant.attempt == 1:
            raise OSError("first luck")
        return value + 2

    async def ask(value: int, ctx: StepContext) -> int:
        if ctx.answer is None:
            ctx.suspend(Suspension(label="gate", payload="{}"))
        return value + ctx.answer

    async def enough(value: int, ctx: StepContext) -> int:
        ctx.bail(value + 10)

    again = Retry(attempts=3, delay_s=0)
    body = Workflow("body", int).then(step(effect, id="mail")).then(add).commit()
    short = Workflow("short", int).then(step(enough)).then(step(add, id="never")).commit()
    return (
        Workflow("w", list[int])
        .foreach(body, concurrency=2)
        .map(sum, returns=int)
        .dountil(step(add, id="grow"), is_third, at_most=3)
        .sleep(0)
        .then(step(ask, answers=int))
        .then(short)
        .branch((bool, step(effect, id="late")), default=step(add, id="small"))
        .parallel(step(add, id="left"), step(flaky, id="right", retry=again))
        .commit()
    )


async def live(home: Path, death: Death | None) -> None:
    """Drive the run until it ends, or until this process dies."""
    journal: Any = await open_journal(home)
    if death is not None:
        doom = Doom(*death)
        for name in WRITES:
            setattr(journal, name, doom.over(getattr(journal, name)))
    flow = flow_in(home)
    engine = Engine(journal, owner="owner")
    outcome = await engine.start(flow, [1, 2, 3], run_id=RUN)
    if outcome.status is RunStatus.DEAD_LETTER:
        outcome = await engine.resume(flow, RUN)
    if outcome.status is RunStatus.SUSPENDED:
        await decide(journal, flow, RUN, "5", by="tester")
        await engine.resume(flow, RUN)
    await journal.close()


class Doom:
    """Counts writes down to the moment of death."""

    def __init__(self, left: int, phase: str) -> None:
        self.left = left
        self.phase = phase

    def over(self, write: Callable[..., Any]) -> Callable[..., Any]:
        async def counting(*args: Any, **options: Any) -> Any:
            self.left -= 1
            self._strike("before")
            result = await write(*args, **options)
            self._strike("after")
            return result

        return counting

    def _strike(self, phase: str) -> None:
        if self.left < 0 and (phase == self.phase or self.left < -1):
            os.kill(os.getpid(), signal.SIGKILL)


async def judge(home: Path) -> None:
    """Write down what the journal and the world say after the last life."""
    journal = await open_journal(home)
    records = await journal.read(RUN)
    done = [r.step_key for r in records if r.kind is RecordKind.DONE]
    outcome = await outcome_of(journal, flow_in(home), RUN)
    await journal.close()
    verdict = {
        "status": outcome.status.value,
        "output": outcome.output,
        "gapless": [r.seq for r in records] == list(range(1, len(records) + 1)),
        "epochs_grow": [r.epoch for r in records] == sorted(r.epoch for r in records),
        "done_once": len(done) == len(set(done)),
        "decided": sum(r.kind is RecordKind.DECIDED for r in records),
        "effects": sorted((home / "effects").read_text().splitlines()),
    }
    (home / "verdict").write_text(json.dumps(verdict))


def in_child(work: Coroutine[Any, Any, None]) -> int:
    """Do it in a forked process; its exit code, negative for the signal that ended it."""
    child = os.fork()
    if child == 0:
        asyncio.run(work)
        os._exit(0)
    work.close()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def carry_out(home: Path, deaths: list[Death]) -> dict[str, object]:
    """All lives of one plan."""
    home.mkdir()
    (home / "effects").touch()
    ends = [in_child(live(home, death)) for death in [*deaths, None]]
    in_child(judge(home))
    return {"deaths": deaths, "ends": ends} | json.loads((home / "verdict").read_text())


def main(root: Path, plans: list[list[Death]]) -> None:
    for number, deaths in enumerate(plans):
        sys.stdout.write(json.dumps(carry_out(root / str(number), deaths)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
