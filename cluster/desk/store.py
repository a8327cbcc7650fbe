"""The store while a request needs it.

With no cluster running the store is locked by whoever has it open, so it is given back at once:
`manta run` and `manta resume` can have it between two requests. Through a cluster it stays open.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from orchestration.workflow.journal import Journal

Opening = Callable[[], AbstractAsyncContextManager[Journal]]


class SharedStore:
    """One open journal for all requests of the moment."""

    def __init__(self, opening: Opening, has_cluster: Callable[[], bool]) -> None:
        """`has_cluster` tells whether others can use the store while we have it open."""
        self._opening, self._has_cluster = opening, has_cluster
        self._turn = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._journal: Journal | None = None
        self._through_cluster = False
        self._users = 0
        self._nobody = asyncio.Event()
        self._nobody.set()

    @asynccontextmanager
    async def use(self) -> AsyncGenerator[Journal]:
        """The journal, for the length of the block.

        Raises:
            StoreError: somebody else has the store, or it is away.
        """
        async with self._turn:
            journal = await self._opened()
            self._users += 1
            self._nobody.clear()
        try:
            yield journal
        finally:
            await asyncio.shield(self._left())

    @asynccontextmanager
    async def lent(self) -> AsyncGenerator[None]:
        """For the length of the block the store is free for a cluster that is being started.

        Waits for those who have it open in this process; new ones wait for the end of the block.
        """
        async with self._turn:
            if self._journal is not None and not self._through_cluster:
                await self._nobody.wait()
                await self._give_back()
            yield

    async def close(self) -> None:
        """Give the store back for good."""
        async with self._turn:
            await self._give_back()

    async def _opened(self) -> Journal:
        has_cluster = await asyncio.to_thread(self._has_cluster)
        if self._users == 0 and self._through_cluster and not has_cluster:
            await self._give_back()
        if self._journal is None:
            self._through_cluster = has_cluster
            self._journal = await self._stack.enter_async_context(self._opening())
        return self._journal

    async def _left(self) -> None:
        self._users -= 1
        if self._users:
            return
        self._nobody.set()
        async with self._turn:
            if self._users == 0 and not self._through_cluster:
                await self._give_back()

    async def _give_back(self) -> None:
        self._journal, self._through_cluster = None, False
        await self._stack.aclose()
