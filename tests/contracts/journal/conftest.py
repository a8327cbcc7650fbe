"""Every plug of the journal, each with a clock that the test turns."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from actors.journal.sqlite import SqliteJournal
from orchestration.clock import ManualClock
from orchestration.ids import RunId, StepGrant, StepKey
from orchestration.workflow.in_memory import InMemoryJournal
from orchestration.workflow.journal import Journal, Lease, NewRecord, RecordKind

RUN = RunId("the-run")
STEP = StepKey("build/write")


@dataclass(frozen=True)
class Store:
    """A journal under test, and its clock."""

    journal: Journal
    pass_time: Callable[[float], Awaitable[None]]

    async def claimed(self, owner: str = "supervisor", run_id: RunId = RUN) -> Lease:
        """A new run, driven by `owner`."""
        await create(self.journal, run_id)
        return await self.journal.claim(run_id, owner)

    async def granted(self) -> tuple[Lease, StepGrant]:
        """A new run with `STEP` started, and leave to write under it."""
        lease = await self.claimed()
        await self.journal.append(lease, [started(STEP, 1)])
        return lease, StepGrant(RUN, STEP, lease.epoch, 1)


async def create(journal: Journal, run_id: RunId = RUN, *, title: str = "a title") -> bool:
    return await journal.create_run(
        run_id, workflow="delivery", definition="d1", title=title, body='{"input": 1}'
    )


def started(step: StepKey, attempt: int) -> NewRecord:
    return NewRecord(RecordKind.STARTED, step, attempt)


def note(body: str = "{}", step: StepKey = STEP) -> NewRecord:
    return NewRecord(RecordKind.NOTE, step, 1, body)


@pytest.fixture(params=["in-memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    clock = ManualClock()
    if request.param == "in-memory":
        yield Store(InMemoryJournal(clock), clock.advance)
        return
    journal = await SqliteJournal(tmp_path / "state", clock=clock).open()
    yield Store(journal, clock.advance)
    await journal.close()
