"""The door to the figures: metrics."""

from pathlib import Path
from typing import Any

import click

from actors.meter import Spread
from cluster.machines.local_cluster import cluster_status
from cluster.machines.papers import ClusterAddress
from cluster.telemetry.reading import Figure, exported, figures, targets
from cluster.terminal.options import common, door, say, settings_from, tell
from orchestration.errors import InfrastructureError

NOTHING = "nothing was counted yet; Ray passes figures on every 10 seconds"


@click.command()
@common
@click.option("--prometheus", "path", flag_value="prometheus", help="Only print its config file.")
@click.option("--grafana", "path", flag_value="grafana", help="Only print its config file.")
@door
async def metrics(path: str | None, **options: Any) -> int:
    """Show what the local cluster has measured, and how to watch it with Prometheus and Grafana."""
    settings, as_json = settings_from(options), options["as_json"]
    address = cluster_status(settings.state_dir)
    if address is None:
        raise InfrastructureError(
            "no local cluster is running", "start one with `manta up`, or begin a run"
        )
    configs = config_files(address)
    if path:
        tell(as_json, "config", str(configs[path]), path=str(configs[path]))
        return 0
    found = await figures(targets(address))
    for figure in found:
        tell(as_json, "metric", line_of(figure), **facts_of(figure))
    if not found:
        say(NOTHING)
    return 0


def config_files(address: ClusterAddress) -> dict[str, Path]:
    """Files with which Prometheus and Grafana find this cluster; Ray wrote them."""
    folder = Path(address.session_dir).with_name("session_latest") / "metrics"
    return {
        "prometheus": folder / "prometheus" / "prometheus.yml",
        "grafana": folder / "grafana" / "grafana.ini",
    }


def line_of(figure: Figure) -> str:
    """One line for people."""
    name = exported(figure.metric).removesuffix("_count")
    tags = ", ".join(figure.tags)
    shown = f"{figure.value:,.2f}".rstrip("0").rstrip(".")
    half, most = figure.at_most(0.5), figure.at_most(0.95)
    if isinstance(figure.metric, Spread) and half is not None and most is not None:
        shown = f"{shown} times, half within {half:.3g} s, 95 % within {most:.3g} s"
    return f"{name:34} {tags:32} {shown}".rstrip()


def facts_of(figure: Figure) -> dict[str, Any]:
    """The same for programs."""
    facts: dict[str, Any] = {
        "name": exported(figure.metric),
        "tags": dict(zip(figure.metric.tags, figure.tags, strict=True)),
        "value": figure.value,
    }
    if isinstance(figure.metric, Spread):
        facts |= {"p50_s": figure.at_most(0.5), "p95_s": figure.at_most(0.95)}
    return facts
