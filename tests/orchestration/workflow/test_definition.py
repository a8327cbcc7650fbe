"""A run remembers its definition; a changed one is refused, unless declared compatible."""

from typing import Any

import pytest

from orchestration.errors import ConflictError
from orchestration.workflow.builder import Workflow, step
from orchestration.workflow.drawing import describe, mermaid, outline
from orchestration.workflow.retry import Retry
from orchestration.workflow.shape import Flow
from orchestration.workflow.step import StepContext, Suspension
from tests.orchestration.workflow.stage import Stage, add_one, double, fails


async def ask(value: int, ctx: StepContext) -> int:
    if ctx.answer is None:
        ctx.suspend(Suspension(label="gate", payload="{}"))
    return value


def first() -> Flow[int, int]:
    return Workflow("w", int).then(add_one).then(ask).then(double).commit()


def inserted() -> Workflow[int, int]:
    return Workflow("w", int).then(add_one).then(step(double, id="new")).then(ask).then(double)


async def suspended(stage: Stage) -> Flow[int, int]:
    flow = first()
    await stage.start(flow, 1)
    await stage.answer(flow, "true")
    return flow


async def test_a_changed_definition_is_refused_with_the_steps_that_differ(stage: Stage) -> None:
    await suspended(stage)
    before = await stage.facts()
    changed = Workflow("w", int).then(add_one).then(ask).then(fails).commit()
    with pytest.raises(ConflictError) as refused:
        await stage.resume(changed)
    assert "- double: step: int -> int" in refused.value.what
    assert "+ fails: step: int -> int" in refused.value.what
    assert "add_one" not in refused.value.what
    assert first().definition in refused.value.fix
    assert await stage.facts() == before
    assert (await stage.resume(first())).output == 4


async def test_a_step_put_in_before_the_suspended_one_is_refused(stage: Stage) -> None:
    await suspended(stage)
    with pytest.raises(ConflictError, match=r"\+ new: step"):
        await stage.resume(inserted().commit())
    with pytest.raises(ConflictError, match=r"\+ new: step"):
        await stage.start(inserted().commit(), 1)


async def test_steps_in_another_order_are_a_change(stage: Stage) -> None:
    await suspended(stage)
    turned = Workflow("w", int).then(ask).then(add_one).then(double).commit()
    with pytest.raises(ConflictError, match="another order"):
        await stage.resume(turned)


async def test_a_change_that_is_declared_compatible_resumes(stage: Stage) -> None:
    old = await suspended(stage)
    newer = inserted().commit(compatible_with=[old.definition])
    assert (await stage.resume(newer)).output == 8
    assert "new" in await stage.done()


def variants() -> list[Flow[Any, Any]]:
    inner = Workflow("inner", int).then(double).commit()
    return [
        first(),
        Workflow("w", int).then(add_one).commit(),
        Workflow("w", int).then(inner).commit(),
        Workflow("w", int).parallel(add_one, double).commit(),
        Workflow("w", int).parallel(double, add_one).commit(),
        Workflow("w", int).branch((bool, add_one), (bool, double), id="b").commit(),
        Workflow("w", int).branch((bool, add_one), (bool, double), id="b", mode="all").commit(),
        Workflow("w", int).dountil(add_one, bool, at_most=3).commit(),
        Workflow("w", list[int]).foreach(add_one).commit(),
        Workflow("w", list[int]).foreach(add_one, collect=True).commit(),
        Workflow("w", int).sleep(3).then(add_one).commit(),
    ]


def test_every_change_of_structure_changes_the_definition() -> None:
    flows = variants()
    assert len({flow.definition for flow in flows}) == len(flows)
    assert [flow.definition for flow in flows] == [flow.definition for flow in variants()]


def test_tuning_does_not_change_the_definition() -> None:
    tuned = step(add_one, retry=Retry(attempts=5), timeout_s=3)
    plain = Workflow("w", int).dountil(add_one, bool, at_most=3).commit()
    patient = Workflow("w", int).dountil(tuned, bool, at_most=9).commit()
    assert plain.definition == patient.definition


# --- drawings ----------------------------------------------------------------------------------


def is_big(value: int) -> bool:
    return value > 10


def is_done(view: object) -> bool:
    return True


def drawn() -> Flow[int, int]:
    body = Workflow("repair", int).then(add_one).then(step(double, retry=Retry(3))).commit()
    return (
        Workflow("w", int)
        .dountil(body, is_done, at_most=5)
        .branch((is_big, step(fails, id="big")), default=step(add_one, id="small"))
        .parallel(step(add_one, id="left"), step(double, id="right"), limit=1)
        .map(len, returns=int)
        .then(step(ask, answers=bool))
        .commit()
    )


def test_a_description_is_plain_data() -> None:
    described = describe(drawn())
    assert (described["id"], described["kind"], described["takes"]) == ("w", "workflow", "int")
    loop, branch, parallel, mapped, gate = described["nodes"]
    assert (loop["verb"], loop["condition"], loop["at_most"]) == ("dountil", "is_done", 5)
    assert [node["id"] for node in loop["nodes"][0]["nodes"]] == ["add_one", "double"]
    assert loop["nodes"][0]["nodes"][1]["attempts"] == 3
    assert (branch["conditions"], branch["default"]) == (["is_big"], "small")
    assert (parallel["limit"], parallel["gives"]) == (1, "dict[str, int]")
    assert (mapped["kind"], gate["answers"]) == ("map", "bool")


def test_an_outline_draws_the_tree() -> None:
    assert outline(drawn()).splitlines() == [
        "w",
        "├─ repair  ↻ until is_done, at most 5",
        "│  ├─ add_one",
        "│  └─ double  up to 3 attempts",
        "├─ branch(big|small)  ◇ first",
        "│  ├─ big",
        "│  └─ small",
        "├─ parallel(left,right)  ∥",
        "│  ├─ left",
        "│  └─ right",
        "├─ len",
        "└─ ask  ? may ask for bool",
    ]


def test_mermaid_draws_every_node_and_arrow() -> None:
    drawing = mermaid(drawn())
    assert drawing.startswith("flowchart TD")
    for part in ("-- is_big -->", "-- default -->", ".-> n2", '[["parallel"]]', "--> done([done])"):
        assert part in drawing
    assert drawing.count("subgraph") == drawing.count("\n  end")
