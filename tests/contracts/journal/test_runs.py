"""Runs: made once, listed newest first."""

import asyncio
from functools import partial

import pytest

from orchestration.errors import NotFoundError
from orchestration.ids import RunId
from orchestration.workflow.journal import NO_STEP, NewRecord, RecordKind, RunInfo, RunStatus
from tests.contracts.journal.conftest import RUN, STEP, Store, create


async def test_a_new_run_is_pending_and_nobody_drives_it(store: Store) -> None:
    assert await create(store.journal)
    info = await store.journal.info(RUN)
    assert info == RunInfo(
        run_id=RUN,
        workflow="delivery",
        definition="d1",
        status=RunStatus.PENDING,
        title="a title",
        created_at=info.created_at,
        updated_at=info.created_at,
        seq=1,
        epoch=0,
        owner="",
        lease_until=0.0,
        cancel_requested=False,
        parent=None,
    )
    assert type(info.cancel_requested) is bool
    assert type(info.status) is RunStatus


async def test_a_new_run_begins_with_its_created_record(store: Store) -> None:
    await create(store.journal)
    [record] = await store.journal.read(RUN)
    assert (record.seq, record.kind, record.body) == (1, RecordKind.CREATED, '{"input": 1}')
    assert (record.step_key, record.attempt, record.epoch) == (NO_STEP, 0, 0)
    assert record.at == (await store.journal.info(RUN)).created_at
    assert type(record.kind) is RecordKind


async def test_creating_a_run_again_changes_nothing(store: Store) -> None:
    await create(store.journal)
    before = await store.journal.info(RUN)
    assert not await create(store.journal, title="another")
    assert await store.journal.info(RUN) == before
    assert len(await store.journal.read(RUN)) == 1


async def test_of_many_who_create_a_run_at_once_one_does(store: Store) -> None:
    async with asyncio.TaskGroup() as group:
        made = [group.create_task(create(store.journal)) for _ in range(6)]
    assert [task.result() for task in made].count(True) == 1
    assert len(await store.journal.read(RUN)) == 1


async def test_a_fork_names_its_parent_and_brings_its_records(store: Store) -> None:
    await create(store.journal)
    fork = RunId("the-fork")
    kept = NewRecord(RecordKind.DONE, STEP, 3, '{"output": "ü"}')
    assert await store.journal.create_run(
        fork, workflow="w", definition="d", title="t", body="{}", parent=RUN, records=[kept, kept]
    )
    assert (await store.journal.info(fork)).parent == RUN
    assert (await store.journal.info(fork)).seq == 3
    records = await store.journal.read(fork, after=1)
    found = [(r.seq, r.kind, r.step_key, r.attempt, r.epoch, r.body) for r in records]
    assert found == [(n, RecordKind.DONE, STEP, 3, 0, '{"output": "ü"}') for n in (2, 3)]


async def test_runs_are_listed_newest_first_up_to_a_limit(store: Store) -> None:
    for name in ("a", "c", "b"):
        await create(store.journal, RunId(name))
        await store.pass_time(1)
    assert [info.run_id for info in await store.journal.runs()] == ["b", "c", "a"]
    assert [info.run_id for info in await store.journal.runs(limit=2)] == ["b", "c"]


async def test_a_suspended_run_is_due_from_its_moment_on(store: Store) -> None:
    now = (await store.claimed()).until - 15
    for name, after in (("late", 90), ("soon", 30), ("never", None)):
        lease = await store.claimed(run_id=RunId(name))
        wake_at = None if after is None else now + after
        status = RunStatus.SUSPENDED
        await store.journal.append(lease, (), status=status, release=True, wake_at=wake_at)
        assert (await store.journal.info(RunId(name))).wake_at == wake_at
    assert await store.journal.due() == []
    await store.pass_time(60)
    assert [info.run_id for info in await store.journal.due()] == ["soon"]
    await store.pass_time(60)
    assert [info.run_id for info in await store.journal.due()] == ["soon", "late"]
    assert [info.run_id for info in await store.journal.due(limit=1)] == ["soon"]


async def test_a_run_that_is_taken_up_again_is_due_no_more(store: Store) -> None:
    lease = await store.claimed()
    due = partial(
        store.journal.append,
        records=(),
        status=RunStatus.SUSPENDED,
        release=True,
        wake_at=lease.until - 15,
    )
    await due(lease)
    await store.pass_time(1)
    assert [info.run_id for info in await store.journal.due()] == [RUN]
    lease = await store.journal.claim(RUN, "supervisor")
    assert (await store.journal.info(RUN)).wake_at is None
    assert await store.journal.due() == []
    await store.journal.release(lease, RunStatus.SUSPENDED)
    assert await store.journal.due() == []
    await due(await store.journal.claim(RUN, "supervisor"))
    await store.journal.request_cancel(RUN, by="ann")
    assert await store.journal.due() == []


async def test_an_unknown_run_is_an_error_everywhere(store: Store) -> None:
    with pytest.raises(NotFoundError, match="the-run"):
        await store.journal.info(RUN)
    with pytest.raises(NotFoundError):
        await store.journal.read(RUN)
    with pytest.raises(NotFoundError):
        await store.journal.claim(RUN, "supervisor")
    with pytest.raises(NotFoundError):
        await store.journal.wait(RUN, after=0, timeout_s=0)
    with pytest.raises(NotFoundError):
        await store.journal.request_cancel(RUN, by="ann")
    with pytest.raises(NotFoundError):
        await store.journal.decide(RUN, "plan", "{}", by="ann")


async def test_without_runs_the_list_is_empty(store: Store) -> None:
    assert await store.journal.runs() == []
