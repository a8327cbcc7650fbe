"""Decisions: the first writer wins. Cancels: a stored wish."""

import asyncio
import json

import pytest

from orchestration.errors import ConflictError, NotFoundError, StaleOwnerError
from orchestration.workflow.journal import (
    Lease,
    NewRecord,
    RecordKind,
    RunInfo,
    RunStatus,
    cancelled_body,
)
from tests.contracts.journal.conftest import RUN, STEP, Store, create, note, started


def suspended(label: str, attempt: int = 1) -> NewRecord:
    return NewRecord(RecordKind.SUSPENDED, STEP, attempt, json.dumps({"label": label}))


async def asking(store: Store, *labels: str) -> Lease:
    """A run that waits for answers under these labels."""
    lease = await store.claimed()
    records = [started(STEP, 1), *(suspended(label) for label in labels)]
    await store.journal.append(lease, records, status=RunStatus.SUSPENDED, release=True)
    return lease


async def test_a_decision_is_recorded_for_the_suspended_step(store: Store) -> None:
    await asking(store, "plan")
    before = await store.journal.info(RUN)
    assert await store.journal.decide(RUN, "plan", '{"verdict": "approve"}', by="ann")
    [record] = await store.journal.read(RUN, kinds=[RecordKind.DECIDED])
    assert (record.seq, record.step_key, record.attempt, record.epoch) == (5, STEP, 1, 1)
    answer = {"label": "plan", "by": "ann", "answer": {"verdict": "approve"}}
    assert json.loads(record.body) == answer
    after = await store.journal.info(RUN)
    assert (after.status, after.owner, after.epoch) == (before.status, before.owner, before.epoch)


async def test_the_same_answer_again_changes_nothing(store: Store) -> None:
    await asking(store, "plan")
    assert await store.journal.decide(RUN, "plan", '{"a": 1, "b": 2}', by="ann")
    assert not await store.journal.decide(RUN, "plan", '{"b": 2, "a": 1}', by="bob")
    assert (await store.journal.info(RUN)).seq == 5


async def test_another_answer_is_refused(store: Store) -> None:
    await asking(store, "plan")
    await store.journal.decide(RUN, "plan", '"approve"', by="ann")
    with pytest.raises(ConflictError, match="plan"):
        await store.journal.decide(RUN, "plan", '"reject"', by="bob")
    assert (await store.journal.info(RUN)).seq == 5


async def test_of_two_answers_at_once_one_stands(store: Store) -> None:
    await asking(store, "plan")
    stood: list[str] = []

    async def decide(answer: str) -> None:
        try:
            if await store.journal.decide(RUN, "plan", answer, by="somebody"):
                stood.append(answer)
        except ConflictError:
            pass

    async with asyncio.TaskGroup() as group:
        for n in range(8):
            group.create_task(decide(f'"{n % 2}"'))
    [record] = await store.journal.read(RUN, kinds=[RecordKind.DECIDED])
    assert [json.loads(record.body)["answer"]] == [json.loads(answer) for answer in stood]


async def test_labels_are_decided_apart(store: Store) -> None:
    await asking(store, "plan", "delivery")
    assert await store.journal.decide(RUN, "delivery", "1", by="ann")
    assert await store.journal.decide(RUN, "plan", "2", by="ann")


async def test_a_label_that_waits_again_is_decided_again(store: Store) -> None:
    await asking(store, "plan")
    await store.journal.decide(RUN, "plan", '"changes"', by="ann")
    lease = await store.journal.claim(RUN, "supervisor")
    await store.journal.append(lease, [started(STEP, 2), suspended("plan", 2)])
    assert await store.journal.decide(RUN, "plan", '"approve"', by="ann")
    records = await store.journal.read(RUN, kinds=[RecordKind.DECIDED])
    assert [(r.attempt, r.epoch) for r in records] == [(1, 1), (2, 2)]


async def test_a_label_that_nobody_asked_about_is_an_error(store: Store) -> None:
    await asking(store, "plan")
    with pytest.raises(NotFoundError, match="delivery"):
        await store.journal.decide(RUN, "delivery", "{}", by="ann")


async def test_an_ended_run_takes_no_decisions(store: Store) -> None:
    await asking(store, "plan")
    await store.journal.request_cancel(RUN, by="ann")
    with pytest.raises(NotFoundError):
        await store.journal.decide(RUN, "plan", "{}", by="ann")


def _cancelled_at_once(info: RunInfo) -> bool:
    gone = (info.status, info.owner, info.lease_until)
    return gone == (RunStatus.CANCELLED, "", 0.0) and info.cancel_requested


@pytest.mark.parametrize("status", [RunStatus.SUSPENDED, RunStatus.DEAD_LETTER])
async def test_a_run_that_nobody_drives_is_cancelled_at_once(
    store: Store, status: RunStatus
) -> None:
    lease = await store.claimed()
    await store.journal.release(lease, status)
    assert await store.journal.request_cancel(RUN, by="ann")
    assert _cancelled_at_once(await store.journal.info(RUN))
    cancel, finished = await store.journal.read(RUN, after=2)
    assert (cancel.kind, cancel.epoch, json.loads(cancel.body)) == (
        RecordKind.CANCEL,
        1,
        {"by": "ann"},
    )
    assert (finished.kind, finished.body) == (RecordKind.FINISHED, cancelled_body("ann"))


async def test_a_pending_run_is_cancelled_at_once(store: Store) -> None:
    await create(store.journal)
    assert await store.journal.request_cancel(RUN, by="ann")
    assert _cancelled_at_once(await store.journal.info(RUN))
    with pytest.raises(ConflictError):
        await store.journal.claim(RUN, "supervisor")


async def test_a_driven_run_is_told_and_runs_on(store: Store) -> None:
    lease = await store.claimed()
    assert await store.journal.request_cancel(RUN, by="ann")
    info = await store.journal.info(RUN)
    assert (info.status, info.owner, info.cancel_requested) == (
        RunStatus.RUNNING,
        "supervisor",
        True,
    )
    assert [r.kind for r in await store.journal.read(RUN, after=2)] == [RecordKind.CANCEL]
    await store.journal.append(lease, [note()])


async def test_asking_twice_is_one_cancel_record(store: Store) -> None:
    await store.claimed()
    assert await store.journal.request_cancel(RUN, by="ann")
    assert await store.journal.request_cancel(RUN, by="bob")
    assert len(await store.journal.read(RUN, kinds=[RecordKind.CANCEL])) == 1


async def test_a_run_whose_owner_is_gone_is_cancelled_at_once(store: Store) -> None:
    lease = await store.claimed()
    await store.journal.request_cancel(RUN, by="ann")
    await store.pass_time(15.1)
    assert await store.journal.request_cancel(RUN, by="bob")
    assert _cancelled_at_once(await store.journal.info(RUN))
    kinds = [r.kind for r in await store.journal.read(RUN, after=2)]
    assert kinds == [RecordKind.CANCEL, RecordKind.FINISHED]
    with pytest.raises(StaleOwnerError):
        await store.journal.append(lease, [note()])


async def test_a_run_that_has_ended_is_not_cancelled(store: Store) -> None:
    lease = await store.claimed()
    await store.journal.release(lease, RunStatus.DONE)
    before = await store.journal.info(RUN)
    assert not await store.journal.request_cancel(RUN, by="ann")
    assert await store.journal.info(RUN) == before


@pytest.mark.parametrize(
    "status", [RunStatus.DONE, RunStatus.FAILED, RunStatus.SUSPENDED, RunStatus.DEAD_LETTER]
)
async def test_a_run_to_be_cancelled_ends_in_no_other_way(store: Store, status: RunStatus) -> None:
    lease = await store.claimed()
    await store.journal.request_cancel(RUN, by="ann")
    with pytest.raises(ConflictError, match=status.value):
        await store.journal.append(lease, [note()], status=status, release=True)
    with pytest.raises(ConflictError):
        await store.journal.release(lease, status)
    assert (await store.journal.info(RUN)).seq == 3
    await store.journal.append(lease, [note()], status=RunStatus.RUNNING)
    await store.journal.append(lease, [note()], status=RunStatus.CANCELLED, release=True)
    assert _cancelled_at_once(await store.journal.info(RUN))
