"""Figures read back from the cluster's nodes, as Prometheus reads them."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from actors.meter import ALL, PREFIX, Count, Key, Metric, Spread
from cluster.machines.papers import ClusterAddress
from orchestration.errors import InfrastructureError

DISCOVERY = "prom_metrics_service_discovery.json"
"""Kept up to date by Ray in its session's folder."""
PATIENCE_S = 5.0


@dataclass(slots=True)
class Figure:
    """One line: a metric with values of its tags, added up over all processes and nodes."""

    metric: Metric
    tags: Key
    value: float = 0.0
    """Of a spread: how many there were."""
    within: dict[float, float] = field(default_factory=dict[float, float])
    """Of a spread: how many took at most so many seconds."""

    def at_most(self, share: float) -> float | None:
        """Seconds that this share of them did not exceed, interpolated as Prometheus does it."""
        wanted, below, before = share * self.value, 0.0, 0.0
        for bound, number in sorted(self.within.items()):
            if number >= wanted and number > before:
                if bound == float("inf"):
                    return below
                return below + (bound - below) * (wanted - before) / (number - before)
            below, before = bound, number
        return None


def exported(metric: Metric) -> str:
    """The name under which Prometheus knows a metric; of a spread, the one of its number."""
    end = "_total" if isinstance(metric, Count) else "_count" if isinstance(metric, Spread) else ""
    return f"ray_{PREFIX}{metric.name}{end}"


def targets(address: ClusterAddress) -> tuple[str, ...]:
    """HOST:PORT of every node's figures; none in the first seconds of a cluster."""
    listed = Path(address.session_dir) / DISCOVERY
    if not listed.exists():
        return ()
    found = json.loads(listed.read_text(encoding="utf-8"))
    return tuple(target for group in found for target in group["targets"])


async def figures(places: Iterable[str]) -> list[Figure]:
    """All figures of ours at these places, in the order of the table; none where no place is.

    Raises:
        InfrastructureError: none of them answers.
    """
    texts: list[str] = []
    trouble = ""
    async with httpx.AsyncClient(timeout=PATIENCE_S, trust_env=False) as client:
        for place in places:
            try:
                texts.append((await client.get(f"http://{place}/metrics")).text)
            except httpx.HTTPError as error:
                trouble = f"{place}: {type(error).__name__}"
    if trouble and not texts:
        raise InfrastructureError(
            f"no node of the cluster shows its figures ({trouble})",
            "is it running? `manta up` starts it, or says where it is",
        )
    return await asyncio.to_thread(added_up, texts)


def added_up(texts: Sequence[str]) -> list[Figure]:
    """What the nodes' pages say, with processes and nodes added up."""
    known = {metric.name: metric for metric in ALL}
    sums: dict[tuple[str, Key], Figure] = {}
    for name, labels, value, part in _samples(texts):
        metric = known.get(name)
        if metric is None:
            continue
        key = tuple(labels.get(tag, "") for tag in metric.tags)
        figure = sums.setdefault((name, key), Figure(metric, key))
        if part == "bucket":
            bound = float(labels["le"])
            figure.within[bound] = figure.within.get(bound, 0.0) + value
        elif part in {"", "total", "count"}:
            figure.value += value
    by_name: defaultdict[str, list[Figure]] = defaultdict(list)
    for (name, _), figure in sorted(sums.items()):
        by_name[name].append(figure)
    return [figure for metric in ALL for figure in by_name[metric.name]]


def _samples(texts: Iterable[str]) -> Iterator[tuple[str, Mapping[str, str], float, str]]:
    """Samples of ours: the metric's name, its labels, its value, and which part of it this is."""
    ours = f"ray_{PREFIX}"
    for text in texts:
        lines = (line for line in text.splitlines() if ours in line)
        for family in text_string_to_metric_families("\n".join(lines)):
            name = family.name.removeprefix(ours)
            for sample in family.samples:
                part = sample.name.removeprefix(family.name).removeprefix("_")
                yield name, sample.labels, float(sample.value), part
