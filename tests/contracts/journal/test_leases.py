"""One owner: claims, leases, take-overs and the fence."""

import asyncio
import json

import pytest

from orchestration.errors import ConflictError, NotFoundError, RunOwnedError, StaleOwnerError
from orchestration.ids import RunId
from orchestration.workflow.journal import Lease, RecordKind, RunStatus
from tests.contracts.journal.conftest import RUN, Store, create, note


async def test_a_claim_takes_the_run_with_the_next_epoch(store: Store) -> None:
    lease = await store.claimed()
    info = await store.journal.info(RUN)
    assert lease == Lease(RUN, "supervisor", 1, info.lease_until)
    assert (info.status, info.owner, info.epoch) == (RunStatus.RUNNING, "supervisor", 1)
    assert info.lease_until == pytest.approx(info.updated_at + 15.0, abs=0.5)


async def test_a_claim_is_recorded_in_its_epoch(store: Store) -> None:
    await store.claimed()
    await store.journal.claim(RUN, "other", take_over=True)
    first, second = await store.journal.read(RUN, kinds=[RecordKind.CLAIMED])
    assert (first.seq, first.epoch) == (2, 1)
    assert json.loads(first.body) == {"owner": "supervisor", "was": "pending", "take_over": False}
    assert (second.seq, second.epoch) == (3, 2)
    assert json.loads(second.body) == {"owner": "other", "was": "running", "take_over": True}


async def test_a_live_lease_keeps_others_out(store: Store) -> None:
    await store.claimed()
    before = await store.journal.info(RUN)
    with pytest.raises(RunOwnedError, match="supervisor") as refused:
        await store.journal.claim(RUN, "other")
    owner, seconds = refused.value.details
    assert owner == "supervisor"
    assert seconds == pytest.approx(15.0, abs=1.0)
    assert await store.journal.info(RUN) == before


async def test_the_same_owner_claims_at_once_and_voids_its_older_lease(store: Store) -> None:
    old = await store.claimed()
    new = await store.journal.claim(RUN, "supervisor")
    assert new.epoch == old.epoch + 1
    with pytest.raises(StaleOwnerError):
        await store.journal.append(old, [note()])
    await store.journal.append(new, [note()])


async def test_others_claim_once_the_lease_has_expired(store: Store) -> None:
    old = await store.claimed()
    await store.pass_time(15.1)
    new = await store.journal.claim(RUN, "other")
    assert (new.owner, new.epoch) == ("other", 2)
    with pytest.raises(StaleOwnerError):
        await store.journal.append(old, [note()])


async def test_a_lease_lasts_as_long_as_was_asked(store: Store) -> None:
    await create(store.journal)
    await store.journal.claim(RUN, "supervisor", ttl_s=100)
    await store.pass_time(90)
    with pytest.raises(RunOwnedError):
        await store.journal.claim(RUN, "other")
    await store.pass_time(11)
    await store.journal.claim(RUN, "other")


async def test_a_take_over_needs_no_waiting(store: Store) -> None:
    old = await store.claimed()
    await store.journal.claim(RUN, "other", take_over=True)
    with pytest.raises(StaleOwnerError, match="supervisor"):
        await store.journal.renew(old)


async def test_renewing_counts_from_now(store: Store) -> None:
    lease = await store.claimed()
    await store.pass_time(10)
    renewed = await store.journal.renew(lease, ttl_s=20)
    assert renewed.until == pytest.approx(lease.until + 15, abs=1.0)
    assert (renewed.run_id, renewed.owner, renewed.epoch) == (RUN, "supervisor", 1)
    assert (await store.journal.info(RUN)).lease_until == renewed.until
    await store.pass_time(19)
    with pytest.raises(RunOwnedError):
        await store.journal.claim(RUN, "other")


async def test_an_expired_lease_is_held_until_somebody_claims(store: Store) -> None:
    lease = await store.claimed()
    await store.pass_time(1000)
    await store.journal.append(lease, [note()])
    await store.journal.renew(lease)
    with pytest.raises(RunOwnedError):
        await store.journal.claim(RUN, "other")


async def test_a_released_run_is_free_and_its_lease_void(store: Store) -> None:
    lease = await store.claimed()
    await store.journal.release(lease, RunStatus.SUSPENDED)
    info = await store.journal.info(RUN)
    assert (info.status, info.owner, info.lease_until) == (RunStatus.SUSPENDED, "", 0.0)
    for late in (
        store.journal.append(lease, [note()]),
        store.journal.renew(lease),
        store.journal.release(lease, RunStatus.DONE),
    ):
        with pytest.raises(StaleOwnerError):
            await late
    assert (await store.journal.claim(RUN, "other")).epoch == 2


async def test_a_claim_after_a_suspension_says_what_was(store: Store) -> None:
    lease = await store.claimed()
    await store.journal.release(lease, RunStatus.SUSPENDED)
    await store.journal.claim(RUN, "supervisor")
    claims = await store.journal.read(RUN, kinds=[RecordKind.CLAIMED])
    assert json.loads(claims[-1].body)["was"] == "suspended"


@pytest.mark.parametrize("end", [RunStatus.DONE, RunStatus.FAILED, RunStatus.CANCELLED])
async def test_an_ended_run_cannot_be_claimed(store: Store, end: RunStatus) -> None:
    lease = await store.claimed()
    await store.journal.release(lease, end)
    with pytest.raises(ConflictError, match=end.value):
        await store.journal.claim(RUN, "supervisor", take_over=True)
    assert (await store.journal.info(RUN)).epoch == 1


async def test_a_dead_letter_can_be_claimed(store: Store) -> None:
    lease = await store.claimed()
    await store.journal.release(lease, RunStatus.DEAD_LETTER)
    assert (await store.journal.claim(RUN, "other")).epoch == 2


async def test_nobody_writes_with_an_invented_lease(store: Store) -> None:
    lease = await store.claimed()
    for forged in (
        Lease(RUN, "supervisor", lease.epoch + 1, lease.until),
        Lease(RUN, "other", lease.epoch, lease.until),
        Lease(RUN, "", lease.epoch, lease.until),
    ):
        with pytest.raises(StaleOwnerError):
            await store.journal.append(forged, [note()])
    with pytest.raises(NotFoundError):
        await store.journal.append(Lease(RunId("unknown"), "supervisor", 1, 0.0), [note()])
    assert (await store.journal.info(RUN)).seq == 2


async def test_of_many_who_claim_at_once_exactly_one_wins(store: Store) -> None:
    await create(store.journal)
    won: list[Lease] = []
    lost: list[RunOwnedError] = []

    async def claim(owner: str) -> None:
        try:
            won.append(await store.journal.claim(RUN, owner))
        except RunOwnedError as error:
            lost.append(error)

    async with asyncio.TaskGroup() as group:
        for number in range(12):
            group.create_task(claim(f"supervisor-{number}"))
    assert len(won) == 1
    assert len(lost) == 11
    info = await store.journal.info(RUN)
    assert (info.owner, info.epoch, info.seq) == (won[0].owner, 1, 2)
    assert {error.details[0] for error in lost} == {won[0].owner}
