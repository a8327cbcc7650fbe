"""A client of the store's actor, whose answers get lost when that dies."""

import pytest
from ray.exceptions import ActorDiedError

from actors.handles import JournalHandle
from orchestration.clock import SystemClock
from orchestration.errors import StoreError
from orchestration.ids import RunId
from orchestration.workflow.builder import Workflow, step
from orchestration.workflow.engine import Engine
from orchestration.workflow.in_memory import InMemoryJournal
from orchestration.workflow.journal import Lease, RunStatus
from orchestration.workflow.step import StepContext, Suspension
from tests.actors.journal.wire import Wire

pytestmark = pytest.mark.slow
RUN = RunId("run")


async def ask(value: int, ctx: StepContext) -> int:
    if ctx.answer is None:
        ctx.suspend(Suspension(label="gate", payload="{}"))
    return ctx.answer


GATED = Workflow("w", int).then(step(ask, answers=int)).commit()


class Losing:
    """Loses the answer to every append, once each."""

    def __init__(self) -> None:
        self.lost = 0
        self._was_lost = False

    def __call__(self, verb: str) -> Exception | None:
        if verb != "append":
            return None
        self._was_lost = not self._was_lost
        self.lost += self._was_lost
        return ActorDiedError() if self._was_lost else None


async def test_appends_whose_answers_are_lost_happen_once() -> None:
    journal, losing = InMemoryJournal(SystemClock()), Losing()
    handle = JournalHandle(Wire(journal, losing), "checkpoints")
    engine = Engine(handle, owner="owner")
    asked = await engine.start(GATED, 1, run_id=RUN)
    assert asked.status is RunStatus.SUSPENDED
    await handle.decide(RUN, "gate", "5", by="ann")
    assert (await engine.resume(GATED, RUN)).output == 5
    kinds = [record.kind.value for record in await journal.read(RUN)]
    assert [kinds.count(kind) for kind in ("started", "suspended", "done")] == [2, 1, 1]
    assert losing.lost >= 3


async def test_a_release_whose_answer_is_lost_is_told_to_who_can_look() -> None:
    journal = InMemoryJournal(SystemClock())
    handle = JournalHandle(Wire(journal, Losing()), "checkpoints")
    await handle.create_run(RUN, workflow="w", definition="d", title="t", body="{}")
    lease: Lease = await handle.claim(RUN, "owner")
    with pytest.raises(StoreError, match="did not answer"):
        await handle.append(lease, (), status=RunStatus.SUSPENDED, release=True)
    assert (await handle.info(RUN)).status is RunStatus.SUSPENDED
