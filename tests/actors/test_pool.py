import asyncio
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.pool import Pool
from orchestration.errors import UsageError, WorkerLostError


class Yard:
    """Makes numbered workers and remembers which were ended."""

    def __init__(self) -> None:
        self.made: list[int] = []
        self.ended: list[int] = []

    async def make(self, number: int) -> int:
        await asyncio.sleep(0)
        self.made.append(number)
        return number

    async def end(self, worker: int) -> None:
        self.ended.append(worker)


async def some_turns_of_the_loop() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_worker_is_made_on_demand_and_used_again() -> None:
    yard = Yard()
    pool = Pool(yard.make, yard.end, limit=3)
    for _ in range(4):
        async with pool.lease() as worker:
            assert worker == 1
    assert yard.made == [1]


async def test_a_lost_worker_is_replaced_at_the_next_lease() -> None:
    yard = Yard()
    pool = Pool(yard.make, yard.end, limit=1)
    with pytest.raises(WorkerLostError):
        async with pool.lease():
            raise WorkerLostError("killed")
    async with pool.lease() as worker:
        assert worker == 2
    assert yard.ended == [1]


async def test_another_error_in_the_block_keeps_the_worker() -> None:
    yard = Yard()
    pool = Pool(yard.make, yard.end, limit=1)
    with pytest.raises(KeyError):
        async with pool.lease():
            raise KeyError("the work failed, not the worker")
    async with pool.lease() as worker:
        assert worker == 1


async def test_a_worker_that_cannot_be_made_gives_its_place_back() -> None:
    attempts: list[int] = []

    async def make(number: int) -> int:
        attempts.append(number)
        if number == 1:
            raise WorkerLostError("died while starting")
        return number

    pool = Pool(make, Yard().end, limit=1)
    with pytest.raises(WorkerLostError):
        async with pool.lease():
            pytest.fail("there was no worker to lease")
    async with pool.lease() as worker:
        assert worker == 2


async def test_idle_workers_are_let_go_and_leased_ones_stay() -> None:
    yard = Yard()
    pool = Pool(yard.make, yard.end, limit=2, idle_s=0)
    async with pool.lease() as first:
        async with pool.lease():
            pass
        await some_turns_of_the_loop()
        assert (first, pool.size, yard.ended) == (1, 1, [2])
        async with pool.lease() as third:
            assert third == 3
    await some_turns_of_the_loop()
    assert (pool.size, sorted(yard.ended)) == (0, [1, 2, 3])


async def test_where_room_is_short_idle_workers_go_at_once() -> None:
    yard = Yard()
    pool = Pool(yard.make, yard.end, limit=2, slots=2)
    async with pool.lease(), pool.lease(), pool.lease() as third:
        pass
    async with pool.lease() as first:
        pool.release_idle()
        await some_turns_of_the_loop()
        assert (first, third, yard.ended) == (1, 2, [2])


async def test_a_worker_who_is_leased_again_in_time_stays() -> None:
    yard = Yard()
    pool = Pool(yard.make, yard.end, limit=1, slots=2, idle_s=0)
    async with pool.lease():
        pass
    async with pool.lease() as one:  # no turn of the loop between
        async with pool.lease() as two:
            await some_turns_of_the_loop()
        await some_turns_of_the_loop()
        assert (one, two, yard.ended) == (1, 1, [])


async def test_closing_ends_all_and_refuses_new_leases() -> None:
    yard = Yard()
    pool = Pool(yard.make, yard.end, limit=2)
    async with pool.lease():
        pass
    await pool.close()
    await pool.close()
    assert yard.ended == [1]
    with pytest.raises(WorkerLostError, match="closed"):
        async with pool.lease():
            pytest.fail("a closed pool leased a worker")


async def test_a_cancelled_waiter_leaves_the_pool_whole() -> None:
    yard = Yard()
    pool = Pool(yard.make, yard.end, limit=1)
    async with pool.lease():
        waiter = asyncio.ensure_future(pool.lease().__aenter__())
        await asyncio.sleep(0)
        waiter.cancel()
        with suppress(asyncio.CancelledError):
            await waiter
    async with pool.lease() as worker:
        assert worker == 1


def test_a_pool_without_places_is_refused() -> None:
    with pytest.raises(UsageError, match="0 workers"):
        Pool(Yard().make, Yard().end, limit=0)


@given(
    limit=st.integers(1, 3),
    slots=st.integers(1, 3),
    idle_s=st.sampled_from([0.0, 60.0]),
    jobs=st.lists(
        st.tuples(st.integers(0, 4), st.sampled_from(["fine", "lost", "cancel"])), max_size=14
    ),
)
def test_no_slot_is_leased_twice_whatever_happens(
    limit: int, slots: int, idle_s: float, jobs: list[tuple[int, str]]
) -> None:
    yard = Yard()
    busy: dict[int, int] = {}

    async def job(pool: Pool[int], length: int, fate: str) -> None:
        async with pool.lease() as worker:
            busy[worker] = busy.get(worker, 0) + 1
            try:
                assert busy[worker] <= slots
                assert sum(busy.values()) <= limit * slots
                assert worker not in yard.ended or busy[worker] > 0
                for _ in range(length):
                    await asyncio.sleep(0)
                if fate == "lost":
                    raise WorkerLostError("killed")
            finally:
                busy[worker] -= 1

    async def story() -> None:
        pool = Pool(yard.make, yard.end, limit=limit, slots=slots, idle_s=idle_s)
        tasks = [asyncio.ensure_future(job(pool, length, fate)) for length, fate in jobs]
        for task, (_, fate) in zip(tasks, jobs, strict=True):
            await asyncio.sleep(0)
            if fate == "cancel":
                task.cancel()
        for task in tasks:
            with suppress(WorkerLostError, asyncio.CancelledError):
                await task
        assert pool.size <= limit
        async with asyncio.timeout(5), pool.lease():
            pass
        await pool.close()
        assert sorted(yard.made) == sorted(yard.ended)

    asyncio.run(story())


async def test_another_worker_than_the_named_one_is_given_where_one_is_free() -> None:
    pool = Pool(Yard().make, Yard().end, limit=2, slots=2)
    async with pool.lease() as first:
        pass
    async with pool.lease(besides=first) as second:
        assert second != first
        async with pool.lease(besides=first) as again:
            assert again == second


async def test_the_named_worker_is_given_where_there_is_no_other() -> None:
    pool = Pool(Yard().make, Yard().end, limit=1)
    async with pool.lease() as first:
        pass
    async with pool.lease(besides=first) as again:
        assert again == first
