"""A step whose ground gives way fails nothing: the run is left to be resumed."""

import pytest

from orchestration.clock import ManualClock
from orchestration.errors import GroundError, StoreError
from orchestration.ids import RunId
from orchestration.workflow.builder import Workflow, step
from orchestration.workflow.engine import Engine
from orchestration.workflow.in_memory import InMemoryJournal
from orchestration.workflow.journal import RecordKind, RunStatus
from orchestration.workflow.retry import Retry

RUN = RunId("run-1")


async def test_a_worker_whose_store_is_full_leaves_the_run_resumable() -> None:
    full = [True]

    async def work(value: int) -> int:
        if full[0]:
            raise StoreError("the disk is full", "free some space there, then resume")
        return value + 1

    flow = Workflow("work", int).then(work).commit()
    journal = InMemoryJournal(ManualClock())
    engine = Engine(journal, owner="me")
    with pytest.raises(StoreError, match="disk is full"):
        await engine.start(flow, 1, run_id=RUN)
    assert not (await journal.info(RUN)).status.ended
    full[0] = False
    outcome = await engine.resume(flow, RUN)
    assert (outcome.status, outcome.output) == (RunStatus.DONE, 2)


@pytest.mark.parametrize("attempts", [1, 3])
async def test_a_lost_sandbox_is_worth_another_attempt_and_then_leaves_the_run_resumable(
    attempts: int,
) -> None:
    tried: list[int] = []

    async def work(value: int) -> int:
        tried.append(value)
        if len(tried) <= attempts:
            raise GroundError("the sandbox is gone", "make room")
        return value + 1

    retry = Retry(attempts=attempts, delay_s=0.0, on=(GroundError,))
    flow = Workflow("work", int).then(step(work, retry=retry)).commit()
    journal = InMemoryJournal(ManualClock())
    engine = Engine(journal, owner="me")
    with pytest.raises(GroundError, match="gone"):
        await engine.start(flow, 1, run_id=RUN)
    assert len(tried) == attempts
    assert not (await journal.info(RUN)).status.ended
    notes = [record.body for record in await journal.read(RUN, kinds=[RecordKind.NOTE])]
    assert ["lost its ground" in note for note in notes] == [True]
    outcome = await engine.resume(flow, RUN)
    assert (outcome.status, outcome.output) == (RunStatus.DONE, 2)
