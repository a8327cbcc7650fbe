from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from actors.journal.opening import open_journal
from cluster.desk.store import SharedStore
from orchestration.errors import StoreError
from orchestration.workflow.journal import Journal


def opened(place: Path, *, has_cluster: bool) -> SharedStore:
    """A store in this process, which locks its directory while it is open."""

    @asynccontextmanager
    async def opening() -> AsyncGenerator[Journal]:
        journal = await open_journal(place)
        try:
            yield journal
        finally:
            await journal.close()

    return SharedStore(opening, lambda: has_cluster)


async def test_a_store_without_a_cluster_is_given_back_when_nobody_needs_it(tmp_path: Path) -> None:
    store = opened(tmp_path, has_cluster=False)
    async with store.use() as one, store.use() as other:
        assert one is other
        with pytest.raises(StoreError, match="in use"):
            await open_journal(tmp_path)
    await (await open_journal(tmp_path)).close()
    async with store.use() as again:
        assert await again.runs() == []


async def test_a_store_in_use_elsewhere_says_so_and_is_there_later(tmp_path: Path) -> None:
    store = opened(tmp_path, has_cluster=False)
    other = await open_journal(tmp_path)
    with pytest.raises(StoreError, match="in use"):
        async with store.use():
            pass
    await other.close()
    async with store.use() as journal:
        assert await journal.runs() == []


async def test_a_store_through_a_cluster_stays_open_until_the_end(tmp_path: Path) -> None:
    store = opened(tmp_path, has_cluster=True)
    async with store.use() as one:
        pass
    async with store.use() as other:
        assert one is other
    await store.close()
    await (await open_journal(tmp_path)).close()


async def test_a_cluster_that_is_gone_is_let_go_although_somebody_still_hangs_in_it(
    tmp_path: Path,
) -> None:
    has_cluster, closed = [True], list[Journal]()

    @asynccontextmanager
    async def opening() -> AsyncGenerator[Journal]:
        journal = await open_journal(tmp_path)
        try:
            yield journal
        finally:
            closed.append(journal)
            await journal.close()

    store = SharedStore(opening, lambda: has_cluster[0])
    async with store.use() as lost:
        has_cluster[0] = False
        async with store.use() as one:
            assert closed == [lost]
            assert await one.runs() == []
    assert closed == [lost, one], "without a cluster it is given back after use"
