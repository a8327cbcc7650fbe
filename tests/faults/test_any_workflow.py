"""Any workflow of these verbs, dead at any write, and again on the resume, ends the same."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestration.errors import StoreError
from orchestration.workflow.builder import Workflow
from orchestration.workflow.journal import RecordKind, RunStatus
from orchestration.workflow.outcome import RunOutcome
from orchestration.workflow.shape import Flow, LoopView
from tests.faults.faulty_journal import WRITES
from tests.orchestration.workflow.stage import RUN, Stage
from tests.orchestration.workflow.test_any_history import (
    Verb,
    World,
    add_up,
    build,
    drive,
    extend,
    three,
    verbs,
)

PARTS = ("any", "dowhile", "graph", "sleep")
plans = st.lists(st.tuples(st.sampled_from(PARTS), verbs), min_size=1, max_size=3)
deaths = st.lists(st.tuples(st.integers(0, 14), st.booleans()), min_size=1, max_size=5)


def is_early(view: LoopView[int]) -> bool:
    return view.iteration < 2


def whole(world: World, parts: list[tuple[str, list[Verb]]]) -> Flow[int, int]:
    """A workflow of the other suite's verbs, and of those that it has not."""
    flow = Workflow("whole", int)
    for number, (kind, inner) in enumerate(parts):
        name = f"{kind}{number}"
        body = build(world, inner, name)
        match kind:
            case "dowhile":
                flow = flow.dowhile(body, is_early, at_most=2)
            case "graph":
                spread = flow.map(three, id=f"{name}_three")
                items = spread.foreach(
                    body, concurrency=2, key=lambda n: str(n % 3), after=lambda n: ["0"][: n % 3]
                )
                flow = items.map(add_up, id=f"{name}_sum")
            case "sleep":
                flow = extend(world, flow.sleep(0), ("flow", inner), number)
            case _:
                flow = flow.then(body)
    return flow.commit()


class Mortal:
    """A journal whose process dies at its n-th write: from then on nothing comes back from it."""

    def __init__(self, journal: Any, left: int, *, applied: bool) -> None:
        self._journal, self._left, self._applied = journal, left, applied
        self.died = asyncio.Event()
        self.is_buried = False

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._journal, name)

        async def call(*args: Any, **options: Any) -> Any:
            await self._unless_dead()
            self._left -= name in WRITES
            if self._left >= 0 or name not in WRITES:
                return await method(*args, **options)
            if self._applied:
                await method(*args, **options)
            self.died.set()
            return await self._unless_dead()

        return call

    async def _unless_dead(self) -> None:
        if self.is_buried:
            raise StoreError("this process is dead", "start another one")
        if self.died.is_set():
            await asyncio.Event().wait()


async def until_death(journal: Mortal, work: Coroutine[Any, Any, RunOutcome]) -> RunOutcome | None:
    """What comes of it; None if the process dies before."""
    task = asyncio.create_task(work)
    death = asyncio.create_task(journal.died.wait())
    await asyncio.wait({task, death}, return_when=asyncio.FIRST_COMPLETED)
    death.cancel()
    if not journal.died.is_set():
        return await task
    journal.is_buried = True
    task.cancel()
    await asyncio.wait({task})
    return None


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(parts=plans, ends=deaths)
async def test_dead_at_any_write_and_again_on_the_resume_it_ends_the_same(
    parts: list[tuple[str, list[Verb]]], ends: list[tuple[int, bool]]
) -> None:
    world = World()
    flow = whole(world, parts)
    quiet = Stage()
    undisturbed = await drive(quiet, flow, start=True)
    keys, done = set(world.applied), set(await quiet.done())
    assert undisturbed.status is RunStatus.DONE
    world.applied.clear()
    stage = Stage()
    kept: Any = stage.journal
    outcome = None
    for left, applied in [*ends, (10**9, False)]:
        mortal = Mortal(kept, left, applied=applied)
        stage.journal = mortal  # type: ignore[assignment] # pyright: ignore
        outcome = await until_death(mortal, drive(stage, flow, start=True))
        if outcome is not None and outcome.status is RunStatus.DEAD_LETTER:
            outcome = await until_death(mortal, drive(stage, flow, start=False))
    assert outcome is not None
    assert (outcome.status, outcome.output) == (undisturbed.status, undisturbed.output)
    records = await kept.read(RUN)
    finished = [r.step_key for r in records if r.kind is RecordKind.DONE]
    recorded = [r.step_key for r in records if r.kind is RecordKind.EFFECT]
    assert [r.seq for r in records] == list(range(1, len(records) + 1))
    assert [r.epoch for r in records] == sorted(r.epoch for r in records)
    assert (len(finished), set(finished)) == (len(done), done)
    assert len(recorded) == len(set(recorded))
    assert set(world.applied) == keys
    assert all(times <= 1 + len(ends) for times in world.applied.values())
