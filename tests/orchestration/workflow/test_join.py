"""`then(step, into=...)`: the value that went in is not lost."""

import pytest

from orchestration.clock import ManualClock
from orchestration.errors import InvalidWorkflowError
from orchestration.ids import RunId
from orchestration.workflow.builder import Workflow
from orchestration.workflow.engine import Engine
from orchestration.workflow.in_memory import InMemoryJournal
from orchestration.workflow.journal import RunStatus

RUN = RunId("run-1")


async def double(value: int) -> int:
    return value * 2


def items(value: int) -> list[int]:
    return list(range(value))


def total(before: int, given: list[int]) -> str:
    return f"{before}: {sum(given)}"


def doubled_items():
    return Workflow("doubled", int).map(items).foreach(double, concurrency=2).commit()


async def test_a_join_sees_what_went_in_and_what_came_out() -> None:
    flow = Workflow("joined", int).then(doubled_items(), into=total).commit()
    outcome = await Engine(InMemoryJournal(ManualClock()), owner="me").start(flow, 4, run_id=RUN)
    assert outcome.output == "4: 12"


async def test_a_join_is_journaled_and_not_made_again() -> None:
    made: list[int] = []

    def note(before: int, given: int) -> int:
        made.append(before)
        return before + given

    async def stop(value: int) -> int:
        if len(made) == 1:
            made.append(-1)
            raise ValueError("once")
        return value

    flow = Workflow("joined", int).then(double, into=note).then(stop).commit()
    journal = InMemoryJournal(ManualClock())
    outcome = await Engine(journal, owner="me").start(flow, 3, run_id=RUN)
    assert outcome.status is RunStatus.FAILED
    kept = [r.body for r in await journal.read(RUN) if r.step_key == "double="]
    assert kept == ['{"output":9}']
    assert made == [3, -1]


async def test_a_join_that_raises_fails_the_run_and_is_named() -> None:
    def broken(before: int, given: int) -> int:
        raise ZeroDivisionError("no")

    flow = Workflow("joined", int).then(double, into=broken).commit()
    outcome = await Engine(InMemoryJournal(ManualClock()), owner="me").start(flow, 3, run_id=RUN)
    assert outcome.error is not None
    assert "the join after 'double' raised ZeroDivisionError" in outcome.error.what


def test_a_join_without_types_is_refused() -> None:
    with pytest.raises(InvalidWorkflowError, match="join after 'double'"):
        Workflow("joined", int).then(double, into=lambda a, b: a + b)
