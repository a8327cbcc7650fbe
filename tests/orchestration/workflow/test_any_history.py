"""Any workflow, its history cut anywhere, reloaded, ends the same. Nothing finished runs again."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestration.clock import SystemClock
from orchestration.errors import StoreError, WorkerLostError
from orchestration.workflow.builder import Workflow, step
from orchestration.workflow.in_memory import InMemoryJournal
from orchestration.workflow.journal import NewRecord, Record, RecordKind, RunStatus
from orchestration.workflow.outcome import RunOutcome
from orchestration.workflow.retry import Retry
from orchestration.workflow.shape import Flow, LoopView
from orchestration.workflow.step import StepContext, Suspension
from tests.orchestration.workflow.stage import RUN, Stage

AGAIN = Retry(attempts=3, delay_s=0)


@dataclass
class World:
    """Counts what reached the outside: each key may be applied once."""

    applied: dict[str, int] = field(default_factory=dict[str, int])
    ran: list[str] = field(default_factory=list[str])

    async def act(self, key: str) -> int:
        self.applied[key] = self.applied.get(key, 0) + 1
        return 1


def plain(world: World, name: str, factor: int) -> Any:
    async def run(value: int, ctx: StepContext) -> int:
        world.ran.append(ctx.grant.step_key)
        await asyncio.sleep(0)
        return (value * factor + 1) % 1009

    return step(run, id=name)


def flaky(world: World, name: str, factor: int) -> Any:
    async def run(value: int, ctx: StepContext) -> int:
        world.ran.append(ctx.grant.step_key)
        if ctx.grant.attempt == 1:
            raise WorkerLostError("gone")
        return (value + factor) % 1009

    return step(run, id=name, retry=AGAIN)


def effectful(world: World, name: str, factor: int) -> Any:
    async def run(value: int, ctx: StepContext) -> int:
        world.ran.append(ctx.grant.step_key)
        key = ctx.grant.idempotency_key
        got = await ctx.effect("act", lambda: world.act(key), int)
        return (value + got * factor) % 1009

    return step(run, id=name)


def asking(world: World, name: str, factor: int) -> Any:
    async def run(value: int, ctx: StepContext) -> int:
        world.ran.append(ctx.grant.step_key)
        if ctx.answer is None:
            ctx.suspend(Suspension(label=ctx.grant.step_key, payload="{}"))
        return (value + factor * ctx.answer) % 1009

    return step(run, id=name, answers=int)


def bailing(world: World, name: str, factor: int) -> Any:
    async def run(value: int, ctx: StepContext) -> int:
        world.ran.append(ctx.grant.step_key)
        if value % 3 == factor % 3:
            ctx.bail(value)
        return value

    return step(run, id=name)


MAKERS = [plain, flaky, effectful, asking, bailing]
Verb = tuple[Any, ...]

leaf = st.tuples(st.sampled_from(range(len(MAKERS))), st.integers(1, 5))
verbs: st.SearchStrategy[list[Verb]] = st.recursive(
    st.lists(st.tuples(st.just("then"), leaf), min_size=1, max_size=3),
    lambda inner: st.lists(
        st.one_of(
            st.tuples(st.just("then"), leaf),
            st.tuples(st.just("flow"), inner),
            st.tuples(st.just("parallel"), st.lists(inner, min_size=2, max_size=3)),
            st.tuples(st.just("branch"), st.lists(inner, min_size=2, max_size=2), st.booleans()),
            st.tuples(st.just("foreach"), inner, st.integers(1, 3)),
            st.tuples(st.just("loop"), inner, st.integers(1, 3)),
        ),
        min_size=1,
        max_size=3,
    ),
    max_leaves=6,
)


def total(results: dict[str, int]) -> int:
    return sum(results.values())


def three(value: int) -> list[int]:
    return [value, value + 1, value + 2]


def add_up(values: list[int]) -> int:
    return sum(values) % 1009


def parity(of: int) -> Callable[[int], bool]:
    return lambda value: value % 2 == of


def iterations(times: int) -> Callable[[LoopView[int]], bool]:
    return lambda view: view.iteration == times


def build(world: World, plan: list[Verb], name: str = "w") -> Flow[int, int]:
    """A workflow of these verbs, from int to int, with names of its own."""
    flow = Workflow(name, int)
    for number, verb in enumerate(plan):
        flow = extend(world, flow, verb, number)
    return flow.commit()


def extend(world: World, flow: Workflow[int, int], verb: Verb, number: int) -> Workflow[int, int]:
    own = f"{verb[0]}{number}"
    if verb[0] == "then":
        return flow.then(MAKERS[verb[1][0]](world, own, verb[1][1]))
    if verb[0] in {"parallel", "branch"}:
        arms = [build(world, arm, f"{own}_{n}") for n, arm in enumerate(verb[1])]
        if verb[0] == "parallel":
            return flow.parallel(*arms, limit=2).map(total, id=f"{own}_total")
        pairs = [(parity(n), arm) for n, arm in enumerate(arms)]
        if not verb[2]:
            return flow.branch(*pairs)
        chosen = cast("Workflow[int, dict[str, int]]", flow.branch(*pairs, mode="all"))
        return chosen.map(total, id=f"{own}_total")
    body = build(world, verb[1], own)
    if verb[0] == "flow":
        return flow.then(body)
    if verb[0] == "loop":
        return flow.dountil(body, iterations(verb[2]), at_most=verb[2])
    spread = flow.map(three, id=f"{own}_three").foreach(body, concurrency=verb[2])
    return spread.map(add_up, id=f"{own}_sum")


async def drive(stage: Stage, flow: Flow[int, int], *, start: bool) -> RunOutcome:
    """Answer whatever is asked, until the run has ended."""
    outcome = await (stage.start(flow, 7) if start else stage.resume(flow))
    for _ in range(200):
        if outcome.status is not RunStatus.SUSPENDED:
            return outcome
        for asked in outcome.suspensions:
            await stage.answer(flow, "3", asked.label)
        outcome = await stage.resume(flow)
    raise AssertionError("the run never ends")


async def cut(records: list[Record], at: int, flow: Flow[Any, Any]) -> Stage:
    """A stage whose journal holds the first `at` records, as a dead owner left them."""
    stage = Stage()
    kept = [NewRecord(r.kind, r.step_key, r.attempt, r.body) for r in records[1:at]]
    await stage.journal.create_run(
        RUN,
        workflow=flow.id,
        definition=flow.definition,
        title="",
        body=records[0].body,
        records=kept,
    )
    return stage


def check(records: list[Record], world: World) -> None:
    """The one oracle: gapless, ordered epochs, one DONE per step, one effect per key."""
    assert [r.seq for r in records] == list(range(1, len(records) + 1))
    assert [r.epoch for r in records] == sorted(r.epoch for r in records)
    done = [r.step_key for r in records if r.kind is RecordKind.DONE]
    assert len(done) == len(set(done))
    assert all(times == 1 for times in world.applied.values())


quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@quick
@given(plan=verbs, data=st.data())
async def test_a_history_cut_anywhere_ends_the_same(plan: list[Verb], data: st.DataObject) -> None:
    world = World()
    flow = build(world, plan)
    whole = Stage()
    outcome = await drive(whole, flow, start=True)
    records = await whole.journal.read(RUN)
    assert outcome.status is RunStatus.DONE
    check(records, world)

    at = data.draw(st.integers(1, len(records) - 1), label="cut")
    stage = await cut(records, at, flow)
    done = set(await stage.done())
    world.ran.clear()
    world.applied.clear()
    again = await drive(stage, flow, start=False)
    assert (again.status, again.output) == (outcome.status, outcome.output)
    assert done.isdisjoint(world.ran)
    check(await stage.journal.read(RUN), world)


class UnreliableJournal(InMemoryJournal):
    """Loses acknowledgements: applies a write, then says that the store was away. Or does not."""

    def __init__(self, faults: list[int]) -> None:
        super().__init__(SystemClock())
        self.faults = faults
        self.calls = 0

    async def append(self, lease, records, **options):  # type: ignore[no-untyped-def] # pyright: ignore
        return await self._perhaps(super().append, lease, records, **options)  # pyright: ignore

    async def append_under(self, grant, records):  # type: ignore[no-untyped-def] # pyright: ignore
        return await self._perhaps(super().append_under, grant, records)  # pyright: ignore

    async def _perhaps(self, write, *args, **options):  # type: ignore[no-untyped-def] # pyright: ignore
        fault = self.faults[self.calls % len(self.faults)]
        self.calls += 1
        if fault == 1:
            raise StoreError("away", "wait")
        result = await write(*args, **options)  # pyright: ignore
        if fault == 2:
            raise StoreError("no answer", "wait")
        return result  # pyright: ignore


class NoWait(SystemClock):
    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0 if seconds < 3 else seconds)


@quick
@given(plan=verbs, faults=st.lists(st.sampled_from([0, 0, 0, 1, 2]), min_size=5, max_size=23))
async def test_lost_acknowledgements_change_nothing(plan: list[Verb], faults: list[int]) -> None:
    world = World()
    flow = build(world, plan)
    undisturbed = await drive(Stage(), flow, start=True)
    world.applied.clear()
    stage = Stage(NoWait())
    stage.journal = UnreliableJournal([*faults, 0])
    outcome = await drive(stage, flow, start=True)
    assert (outcome.status, outcome.output) == (undisturbed.status, undisturbed.output)
    check(await stage.journal.read(RUN), world)


class Killed(BaseException):
    """The process died here."""


@quick
@given(plan=verbs, kills=st.lists(st.integers(0, 6), min_size=1, max_size=4), after=st.booleans())
async def test_killed_again_and_again_it_ends_the_same(
    plan: list[Verb], kills: list[int], after: bool
) -> None:
    world = World()
    flow = build(world, plan)
    undisturbed = await drive(Stage(), flow, start=True)
    world.applied.clear()
    stage = Stage()
    append = stage.journal.append
    left = 10**9

    async def dying(*args: Any, **options: Any) -> int:
        nonlocal left
        left -= 1
        if left < 0 and not after:
            raise Killed
        seq = await append(*args, **options)
        if left < 0:
            raise Killed
        return seq

    stage.journal.append = dying  # type: ignore[method-assign]
    for kill in [*kills, 10**9]:
        left = kill
        try:
            outcome = await drive(stage, flow, start=True)
            if outcome.status is RunStatus.DEAD_LETTER:  # a person gives it a fresh budget
                outcome = await drive(stage, flow, start=False)
            break
        except Killed:
            continue
    else:
        pytest.fail("never ended")
    assert (outcome.status, outcome.output) == (undisturbed.status, undisturbed.output)
    check(await stage.journal.read(RUN), world)
