"""Records: gapless, whole, filtered and waited for."""

import asyncio

import pytest

from orchestration.errors import StaleOwnerError
from orchestration.ids import RunId, StepKey
from orchestration.workflow.journal import RECORD_VERSION, NewRecord, RecordKind, RunStatus
from tests.contracts.journal.conftest import RUN, STEP, Store, create, note, started

OTHER = StepKey("build/review[0]")


async def test_an_append_returns_the_last_number_and_keeps_every_field(store: Store) -> None:
    lease = await store.claimed()
    await store.pass_time(5)
    body = '{"text": "ü \\u0000 \U0001f40b", "n": [1, 2.5, null]}'
    assert await store.journal.append(lease, [note(body), started(OTHER, 7)]) == 4
    first, second = await store.journal.read(RUN, after=2)
    assert (first.seq, first.kind, first.step_key, first.attempt) == (3, RecordKind.NOTE, STEP, 1)
    assert (first.body, first.epoch, first.version) == (body, 1, RECORD_VERSION)
    assert (second.seq, second.kind, second.step_key) == (4, RecordKind.STARTED, OTHER)
    assert (second.attempt, second.run_id) == (7, RUN)
    info = await store.journal.info(RUN)
    assert first.at == second.at == info.updated_at
    assert info.updated_at >= info.created_at + 5


async def test_an_append_can_set_the_status_and_release_in_one(store: Store) -> None:
    lease = await store.claimed()
    finished = NewRecord(RecordKind.FINISHED)
    assert await store.journal.append(lease, [finished], status=RunStatus.DONE, release=True) == 3
    info = await store.journal.info(RUN)
    assert (info.status, info.owner, info.lease_until) == (RunStatus.DONE, "", 0.0)
    assert info.seq == 3


async def test_an_append_without_records_changes_the_status_alone(store: Store) -> None:
    lease = await store.claimed()
    assert await store.journal.append(lease, [], status=RunStatus.SUSPENDED) == 2
    info = await store.journal.info(RUN)
    assert (info.status, info.owner, info.seq) == (RunStatus.SUSPENDED, "supervisor", 2)


async def test_a_refused_append_leaves_no_trace(store: Store) -> None:
    lease = await store.claimed()
    await store.journal.claim(RUN, "other", take_over=True)
    before = await store.journal.info(RUN)
    with pytest.raises(StaleOwnerError):
        await store.journal.append(lease, [note(), note()], status=RunStatus.DONE, release=True)
    assert await store.journal.info(RUN) == before
    assert len(await store.journal.read(RUN)) == before.seq


async def test_concurrent_appends_are_numbered_without_gaps(store: Store) -> None:
    lease = await store.claimed()
    numbers: list[int] = []

    async def write(text: str) -> None:
        numbers.append(await store.journal.append(lease, [note(text), note(text)]))

    async with asyncio.TaskGroup() as group:
        for n in range(20):
            group.create_task(write(f'"{n}"'))
    assert sorted(numbers) == list(range(4, 43, 2))
    records = await store.journal.read(RUN)
    assert [record.seq for record in records] == list(range(1, 43))
    pairs = [record.body for record in records[2:]]
    assert pairs[::2] == pairs[1::2]  # each append's records stand together
    assert len(set(pairs)) == 20


async def test_a_refused_append_does_not_disturb_those_beside_it(store: Store) -> None:
    old = await store.claimed()
    new = await store.journal.claim(RUN, "supervisor")
    refused: list[StaleOwnerError] = []

    async def write(n: int) -> None:
        try:
            await store.journal.append(old if n % 3 == 0 else new, [note(f"{n}")])
        except StaleOwnerError as error:
            refused.append(error)

    async with asyncio.TaskGroup() as group:
        for n in range(18):
            group.create_task(write(n))
    assert len(refused) == 6
    records = await store.journal.read(RUN, kinds=[RecordKind.NOTE])
    assert sorted(int(r.body) for r in records) == [n for n in range(18) if n % 3]
    assert [r.seq for r in records] == list(range(4, 16))


async def test_runs_are_numbered_apart(store: Store) -> None:
    lease = await store.claimed()
    other = await store.claimed(run_id=RunId("the-other"))
    assert await store.journal.append(lease, [note()]) == 3
    assert await store.journal.append(other, [note()]) == 3
    assert [r.run_id for r in await store.journal.read(RUN)] == [RUN] * 3


async def test_reading_filters_by_number_step_kind_and_limit(store: Store) -> None:
    lease = await store.claimed()
    await store.journal.append(
        lease, [started(STEP, 1), note(), started(OTHER, 1), note(step=OTHER)]
    )

    async def numbers(**filters: object) -> list[int]:
        return [r.seq for r in await store.journal.read(RUN, **filters)]  # type: ignore[arg-type] # the test's own keywords

    assert await numbers() == [1, 2, 3, 4, 5, 6]
    assert await numbers(after=4) == [5, 6]
    assert await numbers(after=6) == []
    assert await numbers(limit=2) == [1, 2]
    assert await numbers(after=2, limit=2) == [3, 4]
    assert await numbers(step_key=STEP) == [3, 4]
    assert await numbers(step_key=StepKey("unknown")) == []
    assert await numbers(kinds=[RecordKind.STARTED]) == [3, 5]
    assert await numbers(kinds=[RecordKind.NOTE, RecordKind.CREATED]) == [1, 4, 6]
    assert await numbers(kinds=[]) == []
    assert await numbers(step_key=OTHER, kinds=[RecordKind.NOTE], after=1, limit=9) == [6]


async def test_waiting_ends_at_once_for_a_record_that_is_there(store: Store) -> None:
    await create(store.journal)
    assert await store.journal.wait(RUN, after=0, timeout_s=0)


async def test_waiting_ends_without_a_record_when_its_time_is_over(store: Store) -> None:
    await create(store.journal)
    assert not await store.journal.wait(RUN, after=1, timeout_s=0)
    assert not await store.journal.wait(RUN, after=1, timeout_s=0.01)


async def test_a_new_record_wakes_everybody_who_waits_for_it(store: Store) -> None:
    lease = await store.claimed()
    async with asyncio.TaskGroup() as group:
        waiting = [
            group.create_task(store.journal.wait(RUN, after=2, timeout_s=30)) for _ in range(3)
        ]
        later = group.create_task(store.journal.wait(RUN, after=3, timeout_s=30))
        await asyncio.sleep(0)
        await store.journal.append(lease, [note()])
        await asyncio.wait(waiting)
        assert not later.done()
        await store.journal.append(lease, [note()])
    assert all(task.result() for task in [*waiting, later])
