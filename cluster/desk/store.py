"""The store while a request needs it.

With no cluster running the store is locked by whoever has it open, so it is given back at once:
`manta run` and `manta resume` can have it between two requests. Through a cluster it stays open.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from orchestration.workflow.journal import Journal

Opening = Callable[[], AbstractAsyncContextManager[Journal]]


WATCH_S = 5.0


@dataclass(slots=True)
class _Opened:
    """A journal, and how many use it."""

    journal: Journal
    stack: AsyncExitStack
    through_cluster: bool
    users: int = 0
    nobody: asyncio.Event = field(default_factory=asyncio.Event)


class SharedStore:
    """One open journal for all requests of the moment."""

    def __init__(self, opening: Opening, has_cluster: Callable[[], bool]) -> None:
        """`has_cluster` tells whether others can use the store while we have it open."""
        self._opening, self._has_cluster = opening, has_cluster
        self._turn = asyncio.Lock()
        self._now: _Opened | None = None

    @asynccontextmanager
    async def use(self) -> AsyncGenerator[Journal]:
        """The journal, for the length of the block.

        Raises:
            StoreError: somebody else has the store, or it is away.
        """
        async with self._turn:
            opened = await self._opened()
            opened.users += 1
            opened.nobody.clear()
        try:
            yield opened.journal
        finally:
            await asyncio.shield(self._left(opened))

    @asynccontextmanager
    async def lent(self) -> AsyncGenerator[None]:
        """For the length of the block the store is free for a cluster that is being started.

        Waits for those who have it open in this process; new ones wait for the end of the block.
        """
        async with self._turn:
            if self._now is not None and not self._now.through_cluster:
                if self._now.users:
                    await self._now.nobody.wait()
                await self._give_back()
            yield

    async def watch(self) -> None:
        """For as long as a door is open: let go of a cluster that is gone.

        Ray would otherwise end this process with it.
        """
        while True:
            await asyncio.sleep(WATCH_S)
            async with self._turn:
                await self._let_go()

    async def close(self) -> None:
        """Give the store back for good."""
        async with self._turn:
            await self._give_back()

    async def _opened(self) -> _Opened:
        has_cluster = await self._let_go()
        if self._now is None:
            stack = AsyncExitStack()
            journal = await stack.enter_async_context(self._opening())
            self._now = _Opened(journal, stack, has_cluster)
        return self._now

    async def _let_go(self) -> bool:
        """Give the store back, whoever uses it, if its cluster is gone. Whether there is one."""
        has_cluster = await asyncio.to_thread(self._has_cluster)
        if self._now is not None and self._now.through_cluster and not has_cluster:
            await self._give_back()
        return has_cluster

    async def _left(self, opened: _Opened) -> None:
        opened.users -= 1
        if opened.users:
            return
        opened.nobody.set()
        async with self._turn:
            if opened is self._now and opened.users == 0 and not opened.through_cluster:
                await self._give_back()

    async def _give_back(self) -> None:
        if self._now is not None:
            opened, self._now = self._now, None
            await opened.stack.aclose()
