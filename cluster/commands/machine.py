"""Doors to the machine: up, down, doctor."""

import asyncio
from pathlib import Path
from typing import Any

import click

from actors.sandbox.local.obstacles import apparmor_profile
from actors.tools.text import neutralise
from cluster.configuration.sources import described
from cluster.doctor import examine
from cluster.machines.connection import client_environment
from cluster.machines.local_cluster import cluster_in_use, stop_cluster
from cluster.sweeping import sweep
from cluster.terminal import shown
from cluster.terminal.options import common, door, loaded_from, say, settings_from, tell
from cluster.terminal.progress import busy


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
@click.option("--sweep", is_flag=True, help="First end sandboxes that no live run owns.")
@click.option("--apparmor", is_flag=True, help="Only print the profile that bubblewrap needs.")
@click.option("--settings", "only_settings", is_flag=True, help="Only show what holds, and why.")
@click.option("--online", is_flag=True, help="Also ask every model one short question.")
@door
async def doctor(**options: Any) -> int:
    """Check this machine, and say how to fix what is wrong."""
    if options["apparmor"]:
        click.echo(apparmor_profile(), nl=False)
        return 0
    if options["only_settings"]:
        return await _tell_settings(options)
    settings = settings_from(options)
    if options["sweep"]:
        swept = await sweep(settings)
        for ref in swept:
            run = ref.labels.get("run", "")
            facts = {"id": ref.id, "level": ref.level, "run": run}
            tell(options["as_json"], "swept", f"ended sandbox {ref.id} of run {run}", **facts)
        say(f"sandboxes that no live run owns: {len(swept)} ended")
    with busy("examining this machine", as_json=options["as_json"]):
        checks = await examine(settings, is_online=options["online"])
    for check in checks:
        tell(options["as_json"], "check", shown.check_line(check), **shown.check_facts(check))
    return 0 if all(check.ok for check in checks) else 1


async def _tell_settings(options: dict[str, Any]) -> int:
    """Every setting, its value, and who said so."""
    repository = await asyncio.to_thread(Path.cwd)
    for name, value, origin in described(loaded_from(options, str(repository))):
        human = f"{name:<28} {neutralise(value):<40} {neutralise(origin)}"
        tell(options["as_json"], "setting", human, name=name, value=value, origin=origin)
    return 0
