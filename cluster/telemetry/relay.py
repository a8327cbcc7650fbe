"""Figures of processes that come and go, added up in one that stays.

Ray labels every figure with its process. Players and supervisors live as long as a run: counted in
their own name, their figures would be thousands of short lines whose beginnings no rate can see. So
they are sent on, a few times a second at most, and counted where the governor is.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

from actors.handles import ActorHandle
from actors.meter import ALL, Count, Key, Level, Meter, Metric, Spread, key_of

DELAY_S = 0.25
MOST = 1_000
"""Durations in one parcel."""
_KNOWN: dict[str, Metric] = {metric.name: metric for metric in ALL}
_log = logging.getLogger(__name__)

Parcel = tuple[tuple[str, Key, tuple[float, ...]], ...]
"""By metric and tags: one sum for what is counted, every value of what is spread."""
Send = Callable[[Parcel], Awaitable[Any]]
"""Hands a parcel over at once; awaiting what it returns waits until it has arrived."""


class RelayMeter:
    """Collects, and sends on a moment later. Levels stay: they go with the process they are of."""

    def __init__(self, send: Send, levels: Meter, *, delay_s: float = DELAY_S) -> None:
        self._send, self._levels, self._delay_s = send, levels, delay_s
        self._values: defaultdict[tuple[str, Key], list[float]] = defaultdict(list)
        self._timer: asyncio.TimerHandle | None = None
        self._size = 0
        self._is_broken = False

    def add(self, count: Count, amount: float = 1.0, /, **tags: str) -> None:
        self._collect(count, tags, amount)

    def set(self, level: Level, value: float, /, **tags: str) -> None:
        self._levels.set(level, value, **tags)

    def observe(self, spread: Spread, seconds: float, /, **tags: str) -> None:
        self._collect(spread, tags, seconds)

    async def close(self) -> None:
        """Send what is left and wait until it has arrived: this process is about to end."""
        if (sent := self._flush()) is not None:
            await sent

    def _collect(self, metric: Metric, tags: dict[str, str], value: float) -> None:
        try:
            values = self._values[metric.name, key_of(metric, tags)]
            if values and isinstance(metric, Count):
                values[0] += value
            else:
                values.append(value)
            self._size += 1
            if self._size >= MOST:
                self._flush()
            elif self._timer is None:
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(self._delay_s, self._flush)
        except Exception as error:  # noqa: BLE001 - a door: figures never fail the work
            self._complain(error)

    def _flush(self) -> Awaitable[Any] | None:
        """Send what there is; to be awaited until it has arrived, or not."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        parcel = tuple((name, key, tuple(values)) for (name, key), values in self._values.items())
        self._values.clear()
        self._size = 0
        try:
            return self._send(parcel) if parcel else None
        except Exception as error:  # noqa: BLE001 - a door: figures never fail the work
            self._complain(error)
            return None

    def _complain(self, error: Exception) -> None:
        if not self._is_broken:
            self._is_broken = True
            _log.warning("figures are lost: %r", error)


def unpack(parcel: Parcel, meter: Meter) -> None:
    """Count what a parcel holds. What this build does not know is left out."""
    for name, key, values in parcel:
        metric = _KNOWN.get(name)
        if metric is None or len(key) != len(metric.tags):
            continue
        tags = dict(zip(metric.tags, key, strict=True))
        for value in values:
            if isinstance(metric, Count):
                meter.add(metric, value, **tags)
            elif isinstance(metric, Spread):
                meter.observe(metric, value, **tags)


def relay_to(actor: ActorHandle, name: str, levels: Meter) -> RelayMeter:
    """A meter whose parcels go to a resident's verb `measured`."""
    method = actor.call.options(name=f"{name}.measured")
    return RelayMeter(lambda parcel: method.remote("measured", (parcel,), {}), levels)
