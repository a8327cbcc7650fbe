"""Pools: workers are leased, replaced when dead, made on demand, let go when idle.

A pool knows nothing of Ray: it is given a function that makes a worker and one that ends it.
Slots are numbered once and for all; slot `n` belongs to the worker at place `n // slots`. Who holds
a slot's number holds the slot, so that no slot can be leased twice.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from actors.meter import LEASE_WAIT, RECOVERIES, Meter, Silence
from orchestration.errors import UsageError, WorkerLostError

IDLE_S = 60.0
"""A worker whom nobody needs for so long gives its room on the cluster to other runs. Without that,
two runs could wait for ever for what the other one holds."""
W = TypeVar("W", covariant=True)


class Pool(Generic[W]):
    """At most `limit` workers of `slots` slots each, made when first needed.

    Waiters are served in order. A lease whose body raises `WorkerLostError` takes its worker out of
    the pool; the next lease of its place gets a new one.
    """

    def __init__(
        self,
        make: Callable[[int], Awaitable[W]],
        end: Callable[[W], Awaitable[None]],
        *,
        limit: int,
        slots: int = 1,
        meter: Meter | None = None,
        role: str = "",
        idle_s: float = IDLE_S,
    ) -> None:
        if limit < 1 or slots < 1:
            raise UsageError(f"a pool of {limit} workers with {slots} slots", "use 1 or more")
        self._make, self._end, self._slots = make, end, slots
        self._meter, self._role = meter or Silence(), role
        self._permits = asyncio.Semaphore(limit * slots)
        self._free = list(range(limit * slots))
        self._workers: dict[int, asyncio.Task[W]] = {}
        self._idle_s = idle_s
        self._resting: dict[int, asyncio.TimerHandle] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._made = 0
        self._closed = False

    @property
    def size(self) -> int:
        """Workers alive or being made."""
        return len(self._workers)

    @property
    def idle(self) -> int:
        """Slots of living workers that nobody holds."""
        return sum(slot // self._slots in self._workers for slot in self._free)

    @asynccontextmanager
    async def lease(self, *, besides: object = None) -> AsyncGenerator[W, None]:
        """A worker for the time of the block; another than `besides` where the pool has one free.

        Raises:
            WorkerLostError: from the block, or because the pool is closed.
        """
        asked = time.monotonic()
        async with self._permits:
            slot = self._take(besides)
            place = slot // self._slots
            try:
                worker = await self._worker(place)
                self._meter.observe(LEASE_WAIT, time.monotonic() - asked, role=self._role)
                yield worker
            except WorkerLostError:
                if place in self._workers and not self._closed:
                    self._meter.add(RECOVERIES, what="worker")
                await self._drop(place)
                raise
            finally:
                self._free.append(slot)
                self._rest(place)

    def release_idle(self) -> None:
        """Let the workers all of whose slots are free go now, not later."""
        for place in [place for place in self._workers if self._is_idle(place)]:
            self._let_go(place)

    async def close(self) -> None:
        """End every worker, leased or not. Idempotent."""
        self._closed = True
        for place in list(self._workers):
            await self._drop(place)
        if self._leaving:
            await asyncio.wait(self._leaving)

    def _rest(self, place: int) -> None:
        """Let an idle worker go, unless somebody comes in time."""
        if place in self._workers and self._is_idle(place):
            loop = asyncio.get_running_loop()
            self._resting[place] = loop.call_later(self._idle_s, self._let_go, place)

    def _is_idle(self, place: int) -> bool:
        return sum(slot // self._slots == place for slot in self._free) == self._slots

    def _let_go(self, place: int) -> None:
        ending = asyncio.get_running_loop().create_task(self._part(self._forget(place)))
        self._leaving.add(ending)
        ending.add_done_callback(self._leaving.discard)

    def _take(self, besides: object) -> int:
        """The lowest free slot that is not of this worker; the lowest one if all are."""
        others = (slot for slot in self._free if not self._is_at(slot // self._slots, besides))
        slot = min(others, default=None)
        slot = min(self._free) if slot is None else slot
        self._free.remove(slot)
        self._stay(slot // self._slots)
        return slot

    def _stay(self, place: int) -> None:
        if timer := self._resting.pop(place, None):
            timer.cancel()

    def _is_at(self, place: int, worker: object) -> bool:
        """Whether this very worker is at that place."""
        made = self._workers.get(place)
        if made is None or not made.done() or made.cancelled() or made.exception():
            return False
        return made.result() is worker

    async def _worker(self, place: int) -> W:
        if self._closed:
            raise WorkerLostError("the pool is closed")
        if place not in self._workers:
            self._made += 1
            self._workers[place] = asyncio.ensure_future(self._make(self._made))
        making = self._workers[place]
        try:
            # Shielded: a cancelled waiter must not take the worker from the others.
            return await asyncio.shield(making)
        except Exception:
            if self._workers.get(place) is making:
                del self._workers[place]
            raise

    async def _drop(self, place: int) -> None:
        await self._part(self._forget(place))

    def _forget(self, place: int) -> asyncio.Task[W] | None:
        """From now on nobody gets this worker."""
        self._stay(place)
        return self._workers.pop(place, None)

    async def _part(self, making: asyncio.Task[W] | None) -> None:
        if making is None:
            return
        if not making.done():
            making.cancel()
        await asyncio.wait([making])
        if not making.cancelled() and making.exception() is None:
            await self._end(making.result())
