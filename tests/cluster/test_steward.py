import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cluster.desk.near import shared_store
from cluster.runs.follow import ABANDONED_S
from cluster.settings import Settings
from cluster.steward import LOOK_S, Drive, Steward, resume_due
from orchestration.clock import ManualClock
from orchestration.errors import GitError, RunOwnedError
from orchestration.ids import RunId
from orchestration.workflow.engine import Engine
from orchestration.workflow.in_memory import InMemoryJournal
from orchestration.workflow.journal import Journal, NewRecord, RecordKind, RunStatus
from tests.cluster.web.stage import RUN, Stage

OTHER = RunId("run-2")
LABEL = '{"label": "plan", "payload": "{}"}'


class Halls:
    """A journal by a clock of its own, and halls that look at it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.journal = InMemoryJournal(self.clock)
        self.driven: list[RunId] = []
        self.trouble: dict[RunId, Exception] = {}

    @asynccontextmanager
    async def use(self) -> AsyncGenerator[Journal]:
        yield self.journal

    async def drive(self, run_id: RunId) -> None:
        self.driven.append(run_id)
        if run_id in self.trouble:
            raise self.trouble[run_id]
        await self.journal.claim(run_id, "a supervisor")

    def hall(self, drive: Drive | None = None) -> Steward:
        return Steward(self.use, drive or self.drive, self.clock)

    async def left_behind(self, run_id: RunId = RUN) -> None:
        """A run whose owner is gone, and its lease with it."""
        await self._begun(run_id)
        await self.journal.claim(run_id, "gone")
        await self.clock.advance(ABANDONED_S + 30)

    async def suspended(self, run_id: RunId = RUN, *, wake_in: float | None = None) -> None:
        await self._begun(run_id)
        lease = await self.journal.claim(run_id, "gone")
        records = [
            NewRecord(RecordKind.STARTED, attempt=1),
            NewRecord(RecordKind.SUSPENDED, attempt=1, body=LABEL),
        ]
        wake_at = None if wake_in is None else self.clock.now() + wake_in
        status = RunStatus.SUSPENDED
        await self.journal.append(lease, records, status=status, release=True, wake_at=wake_at)

    async def _begun(self, run_id: RunId) -> None:
        await self.journal.create_run(run_id, workflow="w", definition="d", title="t", body="{}")


@pytest.fixture
def halls() -> Halls:
    return Halls()


async def test_a_run_that_waits_for_a_person_is_let_alone_until_one_decides(halls: Halls) -> None:
    await halls.suspended()
    steward = halls.hall()
    assert (await steward.look(), await steward.look()) == ([], [])
    await halls.journal.decide(RUN, "plan", '{"answer": "approve"}', by="Ada")
    assert await steward.look() == [RUN]
    assert await steward.look() == [], "it is driven now"


async def test_a_run_goes_on_when_its_default_counts(halls: Halls) -> None:
    await halls.suspended(wake_in=100)
    steward = halls.hall()
    assert await steward.look() == []
    await halls.clock.advance(101)
    assert await steward.look() == [RUN]


async def test_a_run_whose_owner_is_gone_is_taken_up_and_a_live_one_is_not(halls: Halls) -> None:
    await halls.left_behind()
    await halls.suspended(OTHER)
    await halls.journal.claim(OTHER, "alive")
    assert await halls.hall().look() == [RUN]


async def test_a_run_that_cannot_start_is_tried_ever_more_rarely_and_told(halls: Halls) -> None:
    await halls.left_behind()
    halls.trouble[RUN] = GitError("its objects are gone", "fetch them")
    steward = halls.hall()
    started = halls.clock.now()
    tried: list[float] = []
    for _ in range(60):
        before = len(halls.driven)
        await steward.look()
        if len(halls.driven) > before:
            tried.append((halls.clock.now() - started) / LOOK_S)
        await halls.clock.advance(LOOK_S)
    assert tried == [0, 1, 3, 7, 15, 31]
    assert steward.troubles[RUN].error.what == "its objects are gone"


async def test_a_decision_makes_it_be_tried_at_once(halls: Halls) -> None:
    await halls.left_behind()
    halls.trouble[RUN] = GitError("its objects are gone")
    steward = halls.hall()
    await steward.look()
    halls.trouble.clear()
    assert await steward.look() == [], "it is put off"
    steward.look_soon(RUN)
    assert await steward.look() == [RUN]
    assert not steward.troubles


async def test_an_owner_who_is_just_leaving_is_waited_for_a_moment_only(halls: Halls) -> None:
    await halls.left_behind()
    halls.trouble[RUN] = RunOwnedError("it is driven already")
    steward = halls.hall()
    await steward.look()
    assert steward.until_next_look() <= 2
    halls.trouble.clear()
    await halls.clock.advance(2)
    assert await steward.look() == [RUN]


async def test_one_runs_trouble_of_whatever_kind_does_not_keep_the_others(halls: Halls) -> None:
    await halls.left_behind(OTHER)
    await halls.left_behind(RUN)
    halls.trouble[RUN] = halls.trouble[OTHER] = ZeroDivisionError("a bug")
    steward = halls.hall()
    assert await steward.look() == []
    assert set(steward.troubles) == {RUN, OTHER}


async def test_a_hall_that_only_shows_drives_nothing(halls: Halls) -> None:
    await halls.left_behind()
    assert await Steward(halls.use, None, halls.clock).look() == []
    assert halls.driven == []


async def test_a_decision_wakes_the_hall_although_its_last_look_failed(halls: Halls) -> None:
    driven = asyncio.Event()
    looks = 0

    async def drive(run_id: RunId) -> None:
        await halls.drive(run_id)
        driven.set()

    @asynccontextmanager
    async def use() -> AsyncGenerator[Journal]:
        nonlocal looks
        looks += 1
        if looks == 1:
            first.set()
            raise ZeroDivisionError("a bug")
        yield halls.journal

    first = asyncio.Event()
    steward = Steward(use, drive, halls.clock)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        keeping = group.create_task(steward.keep())
        await first.wait()
        await halls.left_behind()
        steward.look_soon(RUN)
        await driven.wait()
        keeping.cancel()


async def test_two_halls_on_one_store_play_a_run_once(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    await stage.start()
    await stage.decide(await stage.browser(), "approve")

    @asynccontextmanager
    async def use() -> AsyncGenerator[Journal]:
        yield stage.journal

    def hall(owner: str) -> Steward:
        async def drive(run_id: RunId) -> None:
            await Engine(stage.journal, owner=owner).resume(stage.flow, run_id)

        return Steward(use, drive)

    one, two = hall("one"), hall("two")
    async with asyncio.TaskGroup() as group:
        group.create_task(one.look())
        group.create_task(two.look())
    claims = await stage.journal.read(RUN, kinds=[RecordKind.CLAIMED])
    assert len(claims) == 2, "the start, and one resume"
    assert (await stage.journal.info(RUN)).status is RunStatus.SUSPENDED
    assert (await one.look(), await two.look()) == ([], []), "the delivery waits for a person"


async def test_one_look_for_cron_starts_nothing_where_nothing_is_due(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    async with shared_store(settings).use() as journal:
        await journal.create_run(RUN, workflow="w", definition="d", title="t", body="{}")
    assert await resume_due(settings) == ([], {})
    assert not (tmp_path / "cluster").exists()
