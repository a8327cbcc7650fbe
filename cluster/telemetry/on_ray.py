"""Figures through `ray.util.metrics`: a node's agent adds them up, Prometheus fetches them."""

import logging
from collections.abc import Callable
from functools import cache

from ray.util.metrics import Counter, Gauge, Histogram

from actors.meter import PREFIX, Count, Key, Level, Metric, Spread, key_of

SERIES = 500
"""Of one metric in one process: a tag with ever new values is a mistake, and is left out."""
_log = logging.getLogger(__name__)


class RayMeter:
    """Counts in this process. What goes wrong is logged once and stops nobody."""

    def __init__(self, series: int = SERIES) -> None:
        self._most = series
        self._series: dict[str, set[Key]] = {}
        self._broken: set[str] = set()

    def add(self, count: Count, amount: float = 1.0, /, **tags: str) -> None:
        self._tell(count, tags, lambda: _counter(count).inc(amount, tags) if amount else None)

    def set(self, level: Level, value: float, /, **tags: str) -> None:
        self._tell(level, tags, lambda: _gauge(level).set(value, tags))

    def observe(self, spread: Spread, seconds: float, /, **tags: str) -> None:
        # Ray takes no zero for a histogram's value.
        self._tell(spread, tags, lambda: _histogram(spread).observe(max(seconds, 1e-6), tags))

    def _tell(self, metric: Metric, tags: dict[str, str], act: Callable[[], None]) -> None:
        try:
            known, key = self._series.setdefault(metric.name, set()), key_of(metric, tags)
            if key not in known and len(known) >= self._most:
                raise ValueError(f"more than {self._most} series")
            known.add(key)
            act()
        except Exception as error:  # noqa: BLE001 - a door: figures never fail the work
            if metric.name not in self._broken:
                self._broken.add(metric.name)
                _log.warning("%s is not counted: %s", metric.name, error)


@cache
def _counter(count: Count) -> Counter:
    return Counter(PREFIX + count.name, count.about, count.tags)


@cache
def _gauge(level: Level) -> Gauge:
    return Gauge(PREFIX + level.name, level.about, level.tags)


@cache
def _histogram(spread: Spread) -> Histogram:
    return Histogram(PREFIX + spread.name, spread.about, list(spread.bounds), spread.tags)
