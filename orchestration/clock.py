"""Time as a thing that is passed in, so that tests turn it by hand."""

import asyncio
import heapq
import time
from typing import Protocol


class Clock(Protocol):
    """Wall time and waiting."""

    def now(self) -> float:
        """Seconds since the epoch (UTC), as this machine believes."""
        ...

    def ticks(self) -> float:
        """Seconds since some moment: they pass evenly, however the wall clock is set."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait that long; returns at once for zero or less."""
        ...


_TICKS = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Where the system has it, the clock that goes on while the machine sleeps: leases do not wait."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        return time.time()

    def ticks(self) -> float:
        return time.clock_gettime(_TICKS)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


class ManualClock:
    """A clock that moves only when told; sleepers wake in order."""

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self._now = start
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def now(self) -> float:
        return self._now

    def ticks(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self._now + seconds, self._count, future))
        await future

    async def advance(self, seconds: float) -> None:
        """Move time forward, waking each sleeper at its own moment."""
        end = self._now + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, future = heapq.heappop(self._sleepers)
            self._now = max(self._now, at)
            if not future.done():
                future.set_result(None)
            for _ in range(20):
                await asyncio.sleep(0)
        self._now = end
