"""Grants: a worker writes for its attempt of its step, and for nothing else."""

import asyncio
from dataclasses import replace

import pytest

from orchestration.errors import NotFoundError, StaleOwnerError
from orchestration.ids import RunId, StepGrant, StepKey
from orchestration.workflow.journal import NewRecord, RecordKind, RunStatus
from tests.contracts.journal.conftest import RUN, STEP, Store, note, started

TURN = NewRecord(RecordKind.TURN, body='{"reply": "hi"}')


async def test_a_worker_appends_under_its_grant(store: Store) -> None:
    _, grant = await store.granted()
    assert await store.journal.append_under(grant, [TURN, TURN]) == 5
    records = await store.journal.read(RUN, after=3)
    assert [(r.seq, r.kind, r.body) for r in records] == [
        (4, RecordKind.TURN, TURN.body),
        (5, RecordKind.TURN, TURN.body),
    ]


async def test_the_grant_says_whose_records_they_are(store: Store) -> None:
    _, grant = await store.granted()
    foreign = NewRecord(RecordKind.NOTE, StepKey("deploy"), 9, "{}")
    await store.journal.append_under(grant, [foreign])
    [record] = await store.journal.read(RUN, after=3)
    assert (record.step_key, record.attempt, record.epoch) == (STEP, 1, grant.epoch)


async def test_the_next_attempt_voids_the_grant_of_the_last(store: Store) -> None:
    lease, old = await store.granted()
    await store.journal.append(lease, [started(STEP, 2)])
    with pytest.raises(StaleOwnerError, match="attempt 1"):
        await store.journal.append_under(old, [TURN])
    new = replace(old, attempt=2)
    assert await store.journal.append_under(new, [TURN]) == 5


async def test_the_next_owner_voids_all_grants(store: Store) -> None:
    _, old = await store.granted()
    lease = await store.journal.claim(RUN, "other", take_over=True)
    for grant in (old, replace(old, epoch=lease.epoch)):
        with pytest.raises(StaleOwnerError):
            await store.journal.append_under(grant, [TURN])
    await store.journal.append(lease, [started(STEP, 1)])
    with pytest.raises(StaleOwnerError):
        await store.journal.append_under(old, [TURN])
    await store.journal.append_under(replace(old, epoch=lease.epoch), [TURN])


@pytest.mark.parametrize("end", [RecordKind.DONE, RecordKind.FAILED, RecordKind.SUSPENDED])
async def test_a_grant_ends_with_its_attempt(store: Store, end: RecordKind) -> None:
    lease, grant = await store.granted()
    await store.journal.append(lease, [NewRecord(end, STEP, 1, '{"label": "plan"}')])
    with pytest.raises(StaleOwnerError):
        await store.journal.append_under(grant, [TURN])
    assert (await store.journal.info(RUN)).seq == 4


async def test_other_steps_do_not_touch_a_grant(store: Store) -> None:
    lease, grant = await store.granted()
    other = StepKey("build/review")
    await store.journal.append(lease, [started(other, 5), NewRecord(RecordKind.DONE, other, 5)])
    await store.journal.append(lease, [note(), NewRecord(RecordKind.EFFECT, STEP, 1)])
    assert await store.journal.append_under(grant, [TURN]) == 8


async def test_the_last_of_several_control_records_in_one_append_counts(store: Store) -> None:
    lease, grant = await store.granted()
    failed = NewRecord(RecordKind.FAILED, STEP, 1)
    await store.journal.append(lease, [failed, started(STEP, 2)])
    with pytest.raises(StaleOwnerError):
        await store.journal.append_under(grant, [TURN])
    await store.journal.append_under(replace(grant, attempt=2), [TURN])


async def test_no_grant_is_good_in_a_run_that_does_not_run(store: Store) -> None:
    lease, grant = await store.granted()
    await store.journal.release(lease, RunStatus.SUSPENDED)
    with pytest.raises(StaleOwnerError):
        await store.journal.append_under(grant, [TURN])


async def test_an_invented_grant_is_void(store: Store) -> None:
    _, grant = await store.granted()
    for forged in (
        replace(grant, attempt=2),
        replace(grant, attempt=0),
        replace(grant, epoch=grant.epoch + 1),
        replace(grant, step_key=StepKey("never/started")),
    ):
        with pytest.raises(StaleOwnerError):
            await store.journal.append_under(forged, [TURN])
    with pytest.raises(NotFoundError):
        await store.journal.append_under(StepGrant(RunId("unknown"), STEP, 1, 1), [TURN])
    assert (await store.journal.info(RUN)).seq == 3


async def test_what_a_fork_brought_grants_nothing(store: Store) -> None:
    fork = RunId("the-fork")
    await store.journal.create_run(
        fork, workflow="w", definition="d", title="t", body="{}", records=[started(STEP, 1)]
    )
    lease = await store.journal.claim(fork, "supervisor")
    for epoch in (0, lease.epoch):
        with pytest.raises(StaleOwnerError):
            await store.journal.append_under(StepGrant(fork, STEP, epoch, 1), [TURN])


async def test_refused_workers_leave_no_gap_among_those_beside_them(store: Store) -> None:
    _, grant = await store.granted()
    void = replace(grant, attempt=9)
    refused: list[StaleOwnerError] = []

    async def write(n: int) -> None:
        try:
            await store.journal.append_under(void if n % 2 else grant, [TURN])
        except StaleOwnerError as error:
            refused.append(error)

    async with asyncio.TaskGroup() as group:
        for n in range(20):
            group.create_task(write(n))
    assert len(refused) == 10
    assert [r.seq for r in await store.journal.read(RUN)] == list(range(1, 14))
    assert (await store.journal.info(RUN)).seq == 13
