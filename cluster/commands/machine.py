"""Doors to the machine: up, down, doctor."""

import asyncio
from typing import Any

import click

from cluster import shown
from cluster.connection import client_environment
from cluster.doctor import examine
from cluster.local_cluster import cluster_in_use, stop_cluster
from cluster.options import common, door, say, settings_from, tell


@click.command()
@common
@door
async def up(**options: Any) -> int:
    """Start the local Ray cluster, or say where it is. Prints what `ray` clients need."""
    settings = settings_from(options)
    in_use = cluster_in_use(settings)
    with in_use as address:
        facts = client_environment(address)
    human = "\n".join(f"export {name}={value}" for name, value in facts.items())
    say(f"dashboard: {address.dashboard_url}")
    tell(options["as_json"], "up", human, environment=facts, dashboard=address.dashboard_url)
    return 0


@click.command()
@common
@door
async def down(**options: Any) -> int:
    """Stop the local Ray cluster. Runs stay in the store and can be resumed."""
    stopped = await asyncio.to_thread(stop_cluster, settings_from(options).state_dir)
    tell(
        options["as_json"], "down", "stopped" if stopped else "nothing was running", stopped=stopped
    )
    return 0


@click.command()
@common
@door
async def doctor(**options: Any) -> int:
    """Check this machine, and say how to fix what is wrong."""
    checks = await examine(settings_from(options))
    for check in checks:
        tell(options["as_json"], "check", shown.check_line(check), **shown.check_facts(check))
    return 0 if all(check.ok for check in checks) else 1
