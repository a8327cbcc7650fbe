"""`bail` ends the nearest enclosing workflow with its value, wherever it is called."""

import asyncio

from orchestration.workflow.builder import Workflow, step
from orchestration.workflow.journal import RecordKind, RunStatus
from orchestration.workflow.step import StepContext, Suspension
from tests.orchestration.workflow.stage import Stage, add_one, double, fails


async def enough(value: int, ctx: StepContext) -> int:
    if value >= 2:
        ctx.bail(value * 100)
    return value


async def test_in_the_outermost_workflow_it_ends_the_run(stage: Stage) -> None:
    flow = Workflow("w", int).then(enough).then(fails).commit()
    outcome = await stage.start(flow, 2)
    assert (outcome.status, outcome.output) == (RunStatus.DONE, 200)
    assert await stage.keys(RecordKind.STARTED) == ["enough"]


async def test_in_a_nested_workflow_it_ends_only_that_one(stage: Stage) -> None:
    inner = Workflow("inner", int).then(enough).then(fails).commit()
    flow = Workflow("w", int).then(inner).then(add_one).commit()
    assert (await stage.start(flow, 2)).output == 201


async def test_in_an_arm_it_ends_the_workflow_around_and_stops_the_siblings(stage: Stage) -> None:
    stopped: list[str] = []

    async def slow(value: int) -> int:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append("slow")
        return value

    async def ask(value: int, ctx: StepContext) -> int:
        ctx.suspend(Suspension(label="gate", payload="{}"))

    inner = (
        Workflow("inner", int)
        .parallel(slow, ask, step(enough, id="bails"))
        .map(lambda r: 1, returns=int)
        .commit()
    )

    async def after(value: int) -> list[str]:
        return stopped

    flow = Workflow("w", int).then(inner).then(after).commit()
    assert (await stage.start(flow, 2)).output == ["slow"]


async def test_in_a_loop_or_an_item_it_ends_the_body_that_is_a_workflow(stage: Stage) -> None:
    body = Workflow("body", int).then(enough).then(double).commit()
    flow = Workflow("w", list[int]).foreach(body).commit()
    assert (await stage.start(flow, [1, 2, 1])).output == [2, 200, 2]


async def test_in_an_item_that_is_a_step_it_ends_the_whole_workflow(stage: Stage) -> None:
    async def first_big(value: int, ctx: StepContext) -> int:
        if value > 10:
            ctx.bail([value])
        return value

    flow = Workflow("w", list[int]).foreach(first_big).commit()
    assert (await stage.start(flow, [1, 20, fail_if_reached()])).output == [20]
    assert await stage.keys(RecordKind.STARTED) == ["first_big[0]", "first_big[1]"]


def fail_if_reached() -> int:
    return 3


async def test_the_value_must_be_what_the_workflow_gives(stage: Stage) -> None:
    async def wrong(value: int, ctx: StepContext) -> int:
        ctx.bail("text")

    outcome = await stage.start(Workflow("w", int).then(wrong).commit(), 2)
    assert outcome.error is not None
    assert "expected int, got str" in outcome.error.what


async def test_a_bail_out_of_a_task_group_inside_the_step_counts(stage: Stage) -> None:
    async def grouped(value: int, ctx: StepContext) -> int:
        async def inside() -> None:
            ctx.bail(7)

        async with asyncio.TaskGroup() as group:
            group.create_task(inside())
        return value

    assert (await stage.start(Workflow("w", int).then(grouped).commit(), 2)).output == 7
