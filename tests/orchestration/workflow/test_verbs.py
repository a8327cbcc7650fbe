"""Every verb, undisturbed: what goes in, what comes out, and what it is called in the journal."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from orchestration.errors import UsageError
from orchestration.workflow.builder import Workflow, step
from orchestration.workflow.facts import Collected
from orchestration.workflow.journal import RecordKind, RunStatus
from orchestration.workflow.shape import LoopView
from orchestration.workflow.step import StepContext, Suspension
from tests.orchestration.workflow.stage import RUN, Stage, add_one, double, fails
from tests.orchestration.workflow.test_any_history import cut


async def test_then_hands_each_output_to_the_next_step(stage: Stage) -> None:
    flow = Workflow("w", int).then(add_one).then(double).commit()
    outcome = await stage.start(flow, 3)
    assert (outcome.status, outcome.output) == (RunStatus.DONE, 8)
    assert await stage.done() == ["add_one", "double"]


async def test_a_done_and_the_next_start_share_one_append(stage: Stage) -> None:
    appends: list[list[RecordKind]] = []
    append = stage.journal.append

    async def counting(lease, records, **options):  # type: ignore[no-untyped-def] # pyright: ignore
        appends.append([r.kind for r in records])  # pyright: ignore
        return await append(lease, records, **options)  # pyright: ignore

    stage.journal.append = counting  # type: ignore[method-assign] # pyright: ignore
    flow = Workflow("w", int).then(add_one).then(double).commit()
    await stage.start(flow, 3)
    k = RecordKind
    assert appends == [[k.STARTED], [k.DONE, k.STARTED], [k.DONE, k.FINISHED]]


async def test_map_changes_the_value_and_is_journaled(stage: Stage) -> None:
    flow = Workflow("w", int).then(add_one).map(str, returns=str).commit()
    assert (await stage.start(flow, 3)).output == "4"
    assert await stage.done() == ["add_one", "str"]


async def test_a_map_that_raises_fails_the_run_by_name(stage: Stage) -> None:
    flow = Workflow("w", int).map(lambda x: 1 // x, returns=int).then(add_one).commit()
    outcome = await stage.start(flow, 0)
    assert outcome.status is RunStatus.FAILED
    assert outcome.error is not None
    assert "map 'map-1' raised ZeroDivisionError" in outcome.error.what


async def test_parallel_results_are_keyed_by_step_id(stage: Stage) -> None:
    flow = Workflow("w", int).parallel(add_one, double).commit()
    assert (await stage.start(flow, 3)).output == {"add_one": 4, "double": 6}


async def test_parallel_arms_cannot_change_each_others_input(stage: Stage) -> None:
    async def first(values: list[int]) -> list[int]:
        values.append(1)
        return values

    async def second(values: list[int]) -> list[int]:
        values.append(2)
        return values

    flow = Workflow("w", list[int]).parallel(first, second).commit()
    given = [0]
    outcome = await stage.start(flow, given)
    assert outcome.output == {"first": [0, 1], "second": [0, 2]}
    assert given == [0]


async def test_a_failing_arm_cancels_its_siblings_and_tells_what_became_of_them(
    stage: Stage,
) -> None:
    cancelled = asyncio.Event()

    async def slow(value: int) -> int:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return value

    async def fails_later(value: int) -> int:
        for _ in range(5):
            await asyncio.sleep(0)
        raise ValueError("broken")

    flow = Workflow("w", int).parallel(add_one, slow, fails_later).commit()
    outcome = await stage.start(flow, 3)
    assert outcome.status is RunStatus.FAILED
    assert outcome.error is not None
    assert (outcome.error.name, outcome.error.step_key) == ("ValueError", "fails_later")
    assert outcome.error.siblings == ("add_one: done", "slow: cancelled")
    assert cancelled.is_set()


class Crowd:
    """Counts who is inside at once."""

    def __init__(self) -> None:
        self.inside = 0
        self.most = 0

    async def visit(self, value: int) -> int:
        self.inside += 1
        self.most = max(self.most, self.inside)
        for _ in range(3):
            await asyncio.sleep(0)
        self.inside -= 1
        return value


async def test_parallel_keeps_its_limit(stage: Stage) -> None:
    crowd = Crowd()
    arms = [step(crowd.visit, id=f"arm{n}") for n in range(7)]
    flow = Workflow("w", int).parallel(*arms, limit=3).commit()
    outcome = await stage.start(flow, 1)
    assert len(outcome.output) == 7
    assert crowd.most == 3


async def test_foreach_gives_results_in_input_order_within_its_concurrency(stage: Stage) -> None:
    crowd = Crowd()
    flow = Workflow("w", list[int]).foreach(crowd.visit, concurrency=4).commit()
    outcome = await stage.start(flow, list(range(20)))
    assert outcome.output == list(range(20))
    assert crowd.most == 4


async def test_foreach_limits_nested_workflows_as_a_whole(stage: Stage) -> None:
    crowd = Crowd()
    body = (
        Workflow("body", int)
        .then(step(crowd.visit, id="one"))
        .parallel(step(crowd.visit, id="a"))
        .map(lambda r: r["a"], returns=int)
        .then(step(crowd.visit, id="two"))
        .commit()
    )
    flow = Workflow("w", list[int]).foreach(body, concurrency=2).commit()
    assert (await stage.start(flow, [1, 2, 3, 4, 5])).output == [1, 2, 3, 4, 5]
    assert crowd.most == 2


async def test_foreach_over_nothing_gives_nothing(stage: Stage) -> None:
    flow = Workflow("w", list[int]).foreach(add_one).commit()
    assert (await stage.start(flow, [])).output == []


async def test_foreach_runs_an_item_only_after_those_it_names(stage: Stage) -> None:
    order: list[str] = []

    async def build(name: str) -> str:
        for _ in range(len(name)):
            await asyncio.sleep(0)
        order.append(name)
        return name

    after = {"roof": ["walls"], "walls": ["floor"], "floor": [], "garden": []}
    flow = (
        Workflow("w", list[str])
        .foreach(build, concurrency=9, key=str, after=lambda name: after[name])
        .commit()
    )
    outcome = await stage.start(flow, list(after))
    assert outcome.output == ["roof", "walls", "floor", "garden"]
    assert order.index("floor") < order.index("walls") < order.index("roof")
    assert "build[walls]" in await stage.done()


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ({"a": ["b"], "b": ["a"]}, "circle"),
        ({"a": ["a"], "b": []}, "circle"),
        ({"a": ["z"], "b": []}, "'z', which is no item"),
    ],
)
async def test_foreach_refuses_an_impossible_order_before_anything_runs(
    stage: Stage, after: dict[str, list[str]], words: str
) -> None:
    ran: list[str] = []

    async def build(name: str) -> str:
        ran.append(name)
        return name

    flow = Workflow("w", list[str]).foreach(build, key=str, after=lambda name: after[name]).commit()
    outcome = await stage.start(flow, list(after))
    assert outcome.error is not None
    assert "foreach 'build'" in outcome.error.what
    assert words in outcome.error.what
    assert ran == []


async def test_foreach_refuses_two_items_of_one_name(stage: Stage) -> None:
    flow = Workflow("w", list[int]).foreach(add_one, key=lambda _: "same").commit()
    outcome = await stage.start(flow, [1, 2])
    assert outcome.error is not None
    assert "two items are called 'same'" in outcome.error.what


async def test_foreach_fails_fast(stage: Stage) -> None:
    async def picky(value: int) -> int:
        if value == 2:
            raise ValueError("two")
        return value

    flow = Workflow("w", list[int]).foreach(picky).commit()
    outcome = await stage.start(flow, [1, 2, 3])
    assert outcome.error is not None
    assert outcome.error.step_key == "picky[1]"
    assert "picky[2]: not started" in outcome.error.siblings
    assert await stage.keys(RecordKind.STARTED) == ["picky[0]", "picky[1]"]


async def test_foreach_can_collect_failures_and_skips_what_comes_after_them(stage: Stage) -> None:
    async def picky(name: str) -> str:
        if name == "b":
            raise ValueError("no b")
        return name.upper()

    after = {"a": [], "b": [], "c": ["b"], "d": ["c"], "e": ["a"]}
    flow = (
        Workflow("w", list[str])
        .foreach(picky, key=str, after=lambda n: after[n], collect=True)
        .commit()
    )
    results: list[Collected[str]] = (await stage.start(flow, list(after))).output
    assert [(r.key, r.value) for r in results if r.error is None] == [("a", "A"), ("e", "E")]
    errors = {r.key: r.error for r in results if r.error is not None}
    assert errors["b"].name == "ValueError"
    assert errors["c"].name == errors["d"].name == "SkippedError"
    assert "comes after 'b', which failed" in errors["c"].what


async def test_foreach_ends_with_the_first_output_that_is_enough(stage: Stage) -> None:
    begun = asyncio.Event()
    cancelled: list[str] = []

    async def race(name: str) -> str:
        if name == "slow":
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.append(name)
        if name == "good":
            await begun.wait()
        return name.upper()

    def is_enough(name: str) -> bool:
        return name == "GOOD"

    flow = Workflow("w", list[str]).foreach(race, key=str, concurrency=2, until=is_enough).commit()
    outcome = await stage.start(flow, ["bad", "slow", "good", "late"])
    assert outcome.output == ["BAD", "GOOD"]
    assert cancelled == ["slow"]
    assert "race[late]" not in await stage.keys(RecordKind.STARTED)


async def test_who_won_is_remembered_and_not_judged_again(stage: Stage) -> None:
    asked: list[int] = []

    def is_enough(number: int) -> bool:
        asked.append(number)
        return True

    async def wait(numbers: list[int], ctx: StepContext) -> list[int]:
        if ctx.answer is None:
            ctx.suspend(Suspension(label="go", payload="{}"))
        return numbers

    flow = (
        Workflow("w", list[int])
        .foreach(add_one, until=is_enough)
        .then(step(wait, answers=bool))
        .commit()
    )
    await stage.start(flow, [1, 2])
    await stage.answer(flow, "true")
    assert (await stage.resume(flow)).output == [2]
    assert asked == [2]


async def test_branch_takes_the_first_arm_that_holds(stage: Stage) -> None:
    flow = (
        Workflow("w", int)
        .branch((lambda x: x > 10, fails), (lambda x: x > 1, double), (lambda x: x > 0, add_one))
        .commit()
    )
    assert (await stage.start(flow, 3)).output == 6
    assert await stage.keys(RecordKind.STARTED) == ["double"]


async def test_branch_all_takes_every_arm_that_holds(stage: Stage) -> None:
    flow = (
        Workflow("w", int)
        .branch(
            (lambda x: x > 1, double),
            (lambda x: x > 10, fails),
            (lambda x: x > 0, add_one),
            mode="all",
        )
        .commit()
    )
    assert (await stage.start(flow, 3)).output == {"double": 6, "add_one": 4}


async def test_branch_takes_its_default_when_nothing_holds(stage: Stage) -> None:
    flow = Workflow("w", int).branch((lambda x: x > 10, fails), default=add_one).commit()
    assert (await stage.start(flow, 3)).output == 4


async def test_branch_without_a_match_or_default_is_an_error(stage: Stage) -> None:
    flow = Workflow("w", int).branch((lambda x: x > 10, add_one)).commit()
    outcome = await stage.start(flow, 3)
    assert outcome.error is not None
    assert "no condition of branch 'branch(add_one)' holds" in outcome.error.what


def is_unlucky(value: int) -> bool:
    return 1 // value > 0


async def test_a_branch_condition_that_raises_fails_the_run_by_name(stage: Stage) -> None:
    flow = Workflow("w", int).branch((is_unlucky, add_one), default=double).commit()
    outcome = await stage.start(flow, 0)
    assert outcome.status is RunStatus.FAILED
    assert outcome.error is not None
    assert "'is_unlucky'" in outcome.error.what
    assert "ZeroDivisionError" in outcome.error.what
    assert (await stage.journal.info(outcome.run_id)).status is RunStatus.FAILED


async def test_a_condition_must_answer_true_or_false(stage: Stage) -> None:
    flow = Workflow("w", int).dountil(add_one, lambda v: v.output, at_most=3).commit()  # pyright: ignore
    outcome = await stage.start(flow, 1)
    assert outcome.error is not None
    assert "answered int" in outcome.error.what


async def test_dountil_runs_until_its_condition_holds_counting_from_one(stage: Stage) -> None:
    seen: list[tuple[int, int]] = []

    def until(view: LoopView[int]) -> bool:
        seen.append((view.iteration, view.output))
        return view.output >= 3

    flow = Workflow("w", int).dountil(add_one, until, at_most=9).commit()
    assert (await stage.start(flow, 0)).output == 3
    assert seen == [(1, 1), (2, 2), (3, 3)]


async def test_dowhile_runs_at_least_once_and_while_its_condition_holds(stage: Stage) -> None:
    flow = Workflow("w", int).dowhile(add_one, lambda v: v.output < 3, at_most=9).commit()
    assert (await stage.start(flow, 0)).output == 3
    again = Stage()
    assert (await again.start(flow, 10)).output == 11


async def test_a_loop_at_its_cap_opens_the_circuit_breaker_with_the_last_result(
    stage: Stage,
) -> None:
    flow = Workflow("w", int).dountil(add_one, lambda v: False, at_most=3).commit()
    outcome = await stage.start(flow, 0)
    assert outcome.status is RunStatus.FAILED
    assert outcome.error is not None
    assert (outcome.error.name, outcome.error.exit_code) == ("CircuitBreakerOpen", 4)
    assert outcome.error.result == "3"
    assert "loop 'add_one' did not end within 3 iterations" in outcome.error.what


async def test_a_loop_condition_sees_the_named_results_of_its_own_iteration(stage: Stage) -> None:
    inner = Workflow("inner", int).then(step(double, id="twice")).commit()
    body = (
        Workflow("body", int)
        .then(add_one)
        .then(inner)
        .parallel(step(add_one, id="left"), step(double, id="right"))
        .map(lambda both: both["left"], returns=int)
        .commit()
    )
    seen: list[dict[str, object]] = []

    def until(view: LoopView[int]) -> bool:
        seen.append(dict(view.results))
        return view.iteration == 2

    flow = Workflow("w", int).dountil(body, until, at_most=3).commit()
    await stage.start(flow, 0)
    first = seen[0]
    assert (first["add_one"], first["inner/twice"], first["inner"]) == (1, 2, 2)
    assert (first["left"], first["right"]) == (3, 4)
    assert seen[1]["add_one"] == 4


async def test_every_iteration_stays_readable(stage: Stage) -> None:
    body = Workflow("body", int).then(add_one).commit()
    flow = Workflow("w", int).dountil(body, lambda v: v.iteration == 3, at_most=3).commit()
    await stage.start(flow, 0)
    assert await stage.done() == ["body#1/add_one", "body#2/add_one", "body#3/add_one"]
    assert await stage.keys(RecordKind.ITERATION) == ["body#1", "body#2", "body#3"]


async def test_a_loop_condition_that_raises_fails_the_run_by_name(stage: Stage) -> None:
    def is_clean(view: LoopView[int]) -> bool:
        raise KeyError("nothing")

    flow = Workflow("w", int).dountil(add_one, is_clean, at_most=3).commit()
    outcome = await stage.start(flow, 0)
    assert outcome.status is RunStatus.FAILED
    assert outcome.error is not None
    assert "condition 'is_clean' of loop 'add_one', iteration 1" in outcome.error.what


async def test_workflows_nest_to_any_depth(stage: Stage) -> None:
    flow = Workflow("w0", int).then(add_one).commit()
    for depth in range(1, 30):
        flow = Workflow(f"w{depth}", int).then(flow).then(add_one).commit()
    assert (await stage.start(flow, 0)).output == 30


async def test_a_chain_of_thousands_needs_no_deep_stack(stage: Stage) -> None:
    building = Workflow("w", int)
    for number in range(1500):
        building = building.map(lambda x: x + 1, returns=int).then(step(add_one, id=f"s{number}"))
    assert (await stage.start(building.commit(), 0)).output == 3000


@dataclass(frozen=True)
class Moment:
    at: datetime
    marks: frozenset[str]
    ratio: float


async def test_values_survive_with_their_types(stage: Stage) -> None:
    async def make(value: int) -> Moment:
        return Moment(datetime(2026, 1, 2, tzinfo=UTC), frozenset({"a"}), 0.1)

    async def ask(value: Moment, ctx: StepContext) -> Moment:
        assert isinstance(value.at, datetime)
        if ctx.answer is None:
            ctx.suspend(Suspension(label="ask", payload="null"))
        return value

    flow = Workflow("w", int).then(make).then(ask).commit()
    await stage.start(flow, 1)
    await stage.answer(flow, "true")
    outcome = await stage.resume(flow)
    assert outcome.output == Moment(datetime(2026, 1, 2, tzinfo=UTC), frozenset({"a"}), 0.1)


async def test_an_output_of_the_wrong_type_fails_its_step(stage: Stage) -> None:
    async def liar(value: int) -> int:
        return "three"  # type: ignore[return-value] # pyright: ignore

    flow = Workflow("w", int).then(liar).then(add_one).commit()
    outcome = await stage.start(flow, 1)
    assert outcome.error is not None
    assert outcome.error.step_key == "liar"
    assert "expected int, got str" in outcome.error.what


async def test_input_of_the_wrong_type_is_refused_and_nothing_is_stored(stage: Stage) -> None:
    flow = Workflow("w", int).then(add_one).commit()
    with pytest.raises(UsageError, match="expected int, got str"):
        await stage.start(flow, "one")
    assert await stage.journal.runs() == []


async def test_large_payloads_live_in_the_blob_table_once(stage: Stage) -> None:
    async def big(value: int) -> str:
        return "x" * 100_000

    async def same(value: str) -> str:
        return value

    flow = Workflow("w", int).then(big).then(same).commit()
    outcome = await stage.start(flow, 1)
    assert len(outcome.output) == 100_000
    assert max(len(record.body) for record in await stage.facts()) < 500
    assert len(stage.journal._blobs) == 1  # pyright: ignore[reportPrivateUsage]


async def test_a_step_that_was_about_to_start_in_a_failing_block_never_does(stage: Stage) -> None:
    ran: list[int] = []

    async def never(value: int) -> int:
        ran.append(value)
        return value

    async def breaks(value: int) -> int:
        raise ValueError("broken")

    arm = Workflow("arm", int).then(add_one).then(never).commit()
    item = Workflow("item", int).parallel(arm, breaks).commit()
    flow = Workflow("w", list[int]).foreach(item, collect=True).commit()
    outcome = await stage.start(flow, [1, 2])
    assert outcome.status is RunStatus.DONE
    assert ran == []


async def test_an_outer_loop_sees_the_result_of_an_inner_one(stage: Stage) -> None:
    inner = Workflow("inner", int).then(add_one).commit()
    body = Workflow("body", int).dountil(inner, lambda v: v.iteration == 2, at_most=2).commit()
    seen: list[dict[str, object]] = []

    def until(view: LoopView[int]) -> bool:
        seen.append(dict(view.results))
        return True

    await stage.start(Workflow("w", int).dountil(body, until, at_most=1).commit(), 0)
    assert seen == [{"inner": 2, "body": 2}]


async def test_an_output_that_would_have_to_be_converted_is_refused(stage: Stage) -> None:
    async def nearly(value: int) -> int:
        return "3"  # type: ignore[return-value] # pyright: ignore

    outcome = await stage.start(Workflow("w", int).then(nearly).commit(), 1)
    assert outcome.status is RunStatus.FAILED


def size(value: str) -> int:
    return len(value)


async def test_large_values_are_fetched_when_a_resumed_run_needs_them(stage: Stage) -> None:
    async def grow(value: str) -> str:
        return value + "x" * 40_000

    async def same(value: str) -> str:
        return value

    flow = (
        Workflow("w", str)
        .dountil(grow, lambda v: len(v.output) > 100_000, at_most=5)
        .branch((lambda v: len(v) > 100_000, step(grow, id="once_more")), default=same)
        .map(lambda v: [v, v + "!"], returns=list[str])
        .foreach(step(same, id="each"), key=lambda v: str(len(v)))
        .map(lambda vs: vs[1], returns=str)
        .map(size)
        .commit()
    )
    outcome = await stage.start(flow, "y" * 40_000)
    assert outcome.output == 160_001
    records = await stage.journal.read(RUN)
    assert max(len(record.body) for record in records) < 1000
    for at in range(1, len(records)):
        again = await cut(records, at, flow)
        again.journal._blobs = stage.journal._blobs  # pyright: ignore[reportPrivateUsage]
        assert (await again.resume(flow)).output == outcome.output
