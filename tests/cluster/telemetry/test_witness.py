"""What a witness tells of a run: its steps, verdicts, tasks, recoveries and how it came to rest."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from pydantic import BaseModel

from actors.meter import InMemoryMeter
from cluster.telemetry.witness import counting
from orchestration.approval import ApprovalRequest
from orchestration.clock import ManualClock
from orchestration.errors import StoreError
from orchestration.ids import RunId
from orchestration.workflow.builder import Workflow, step
from orchestration.workflow.engine import Engine
from orchestration.workflow.in_memory import InMemoryJournal
from orchestration.workflow.outcome import RunOutcome, decide
from orchestration.workflow.retry import Retry
from orchestration.workflow.shape import Flow
from orchestration.workflow.step import StepContext, Suspension

RUN = RunId("run")
LONG = "x" * 50_000
"""Lies in a blob."""


class Work(BaseModel):
    """As far as a tally looks into it."""

    task: str = "greet"
    feedback: tuple[str, ...] = ()
    ballast: str = ""


class Answer(BaseModel):
    """A person's."""

    answer: str = "approve"


@dataclass
class Play:
    """One run on one journal, watched."""

    flow: Flow[Work, Work]
    journal: InMemoryJournal = field(default_factory=lambda: InMemoryJournal(ManualClock()))
    meter: InMemoryMeter = field(default_factory=InMemoryMeter)

    async def drive(
        self, value: Work | None = None, *, restarted: bool = False, steps: int | None = None
    ) -> RunOutcome:
        engine = Engine(self.journal, owner="me", clock=ManualClock())
        async with counting(self.meter)(self.journal, RUN, restarted):
            if value is None:
                return await engine.resume(self.flow, RUN, steps=steps)
            return await engine.start(self.flow, value, run_id=RUN, steps=steps)

    def counted(self, name: str) -> dict[tuple[str, ...], float]:
        return {key: value for (metric, key), value in self.meter.counts.items() if metric == name}


async def prove_red(work: Work) -> Work:
    return work.model_copy(update={"feedback": (), "ballast": LONG})


async def prove_green(work: Work) -> Work:
    return work.model_copy(update={"feedback": ("two tests fail",), "ballast": LONG})


async def merge(work: Work) -> Work:
    return work.model_copy(update={"feedback": ()})


def items(work: Work) -> list[Work]:
    return [work]


def first(done: list[Work]) -> Work:
    return done[0]


def name(work: Work) -> str:
    return work.task


def story() -> Flow[Work, Work]:
    build = Workflow("build", Work).then(prove_red).then(prove_green).then(merge).commit()
    return Workflow("story", Work).map(items).foreach(build, key=name).map(first).commit()


async def test_verdicts_are_read_from_what_the_gates_gave_however_large() -> None:
    play = Play(story())
    await play.drive(Work())
    assert play.counted("gate_verdicts") == {
        ("red", "passed"): 1, ("green", "refused"): 1, ("merge", "passed"): 1,
    }  # fmt: skip
    assert play.counted("tasks_ended") == {("merged",): 1}
    assert play.counted("runs") == {("started",): 1, ("done",): 1}
    assert sorted(key for metric, key in play.meter.spreads if metric == "step_seconds") == [
        ("merge",), ("prove_green",), ("prove_red",),
    ]  # fmt: skip
    assert play.meter.levels["runs_driven", ()] == 0
    assert play.meter.levels["tasks", ("working",)] == 0


async def test_a_run_that_goes_on_counts_only_what_is_new() -> None:
    play = Play(story())
    await play.drive(Work(), steps=1)
    assert play.counted("gate_verdicts") == {("red", "passed"): 1}
    await play.drive()
    assert play.counted("gate_verdicts")["red", "passed"] == 1
    assert play.counted("runs") == {
        ("started",): 1, ("pending",): 1, ("resumed",): 1, ("done",): 1,
    }  # fmt: skip


async def ask_plan(work: Work, ctx: StepContext) -> Work:
    if ctx.answer is None:
        request = ApprovalRequest(gate="plan", title="Approve?", body=LONG, digest="d")
        ctx.suspend(Suspension(label="plan", payload=request.model_dump_json()))
    return work


async def test_what_people_are_asked_and_answer_counts_by_gate() -> None:
    flow = Workflow("asking", Work).then(step(ask_plan, answers=Answer)).commit()
    play = Play(flow)
    await play.drive(Work())
    assert play.counted("gate_verdicts") == {("plan", "asked"): 1}
    assert play.counted("runs") == {("started",): 1, ("suspended",): 1}
    await decide(play.journal, flow, RUN, '{"answer": "approve"}', by="me")
    await play.drive()
    assert play.counted("gate_verdicts") == {("plan", "asked"): 1, ("plan", "approve"): 1}
    assert play.counted("runs") == {
        ("started",): 1, ("suspended",): 1, ("resumed",): 1, ("done",): 1,
    }  # fmt: skip


@pytest.mark.parametrize(("restarted", "what"), [(True, "supervisor"), (False, "lease")])
async def test_a_run_whose_owner_died_is_a_recovery(restarted: bool, what: str) -> None:
    play = Play(story())
    await play.drive(Work(), steps=1)
    await play.journal.claim(RUN, "me")
    await play.drive(restarted=restarted)
    assert play.counted("recoveries") == {(what,): 1}
    assert play.counted("runs")["recovered",] == 1


async def test_failed_attempts_count_by_step_and_a_task_that_fails_is_given_up() -> None:
    async def write_code(_: Work) -> Work:
        raise ValueError("no idea")

    build = (
        Workflow("build", Work).then(step(write_code, retry=Retry(attempts=2, delay_s=0))).commit()
    )
    play = Play(Workflow("story", Work).map(items).foreach(build, key=name).map(first).commit())
    await play.drive(Work())
    assert play.counted("step_failures") == {
        ("write_code", "retry"): 1, ("write_code", "failed"): 1,
    }  # fmt: skip
    assert play.counted("tasks_ended") == {("given_up",): 1}
    assert play.counted("runs") == {("started",): 1, ("failed",): 1}


async def test_a_witness_that_cannot_read_does_not_disturb_the_run() -> None:
    play = Play(story())

    @asynccontextmanager
    async def blind() -> AsyncGenerator[None]:
        async with counting(play.meter)(Unreadable(ManualClock()), RUN, False):
            yield

    async with blind():
        outcome = await Engine(play.journal, owner="me").start(play.flow, Work(), run_id=RUN)
    assert outcome.status == "done"
    assert play.counted("runs") == {}


class Unreadable(InMemoryJournal):
    """Its store is away."""

    async def info(self, run_id: RunId):
        raise StoreError("the store did not answer", "ask again")
