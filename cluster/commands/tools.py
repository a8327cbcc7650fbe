"""The door to agents' further tools: MCP servers and language servers."""

import asyncio
import os
from pathlib import Path
from typing import Any

import click

from actors.git.repository import BareRepository
from actors.git.source import open_source
from actors.mcp.config import ServerConfig
from actors.mcp.host import ServerHost
from actors.mcp.pins import Pins
from actors.tools.text import neutralise, one_line
from cluster.settings import Settings
from cluster.terminal.options import common, door, say, settings_from, tell
from cluster.tools import servers
from orchestration.errors import UsageError

WIDTH = 100
"""Characters of a description; how a server's long ones read is the server's business."""


@click.command()
@click.option("--repo", help="Also say which servers a repository wants to run.")
@click.option("--mcp", type=click.Path(path_type=Path), help="A .mcp.json of your own.")
@click.option("--accept", metavar="SERVER", help="Take its tools as they are described now.")
@common
@door
async def tools(repo: str | None, accept: str | None, **options: Any) -> int:
    """Start your MCP servers and list their tools, by whom they may be called, and what changed."""
    settings = settings_from(options)
    pins = Pins(settings.state_dir / servers.PINS)
    if accept is not None:
        return accepted(pins, accept, as_json=options["as_json"])
    configs = servers.own_servers(settings, os.environ)
    if not configs:
        say("you have no MCP servers of your own: write them into ~/.config/manta/mcp.json")
    fine = await listed(configs, pins, as_json=options["as_json"])
    if repo is not None:
        await offered_by(repo, settings)
    return 0 if fine else 1


def accepted(pins: Pins, name: str, *, as_json: bool) -> int:
    """Forget what a server's tools were.

    Raises:
        UsageError: nothing is remembered of it.
    """
    if not pins.forget(name):
        known = ", ".join(sorted({each.partition(":")[0] for each in pins.known()})) or "none"
        raise UsageError(f"no tools of a server {name!r} are remembered", f"known are: {known}")
    tell(as_json, "accepted", f"{name}: its tools are taken as they are now", server=name)
    return 0


async def listed(configs: tuple[ServerConfig, ...], pins: Pins, *, as_json: bool) -> bool:
    """Start each and tell of its tools; whether all were well."""
    fine = True
    for config in configs:
        host = ServerHost([config], pins=pins)
        try:
            offers = {role: await host.offer("a look", role) for role in config.roles}
        finally:
            await host.close()
        troubles = tuple(dict.fromkeys(t for offer in offers.values() for t in offer.troubles))
        shown = {tool.name: tool for offer in offers.values() for tool in offer.tools}
        fine = fine and not troubles
        lines = [f"{config.name}  {config.shown}"]
        for name, tool in shown.items():
            roles = ", ".join(role for role in config.roles if config.allows(role, name))
            lines.append(f"  {one_line(f'{name} ({roles}): {tool.description}', WIDTH)}")
        lines += [f"  ! {one_line(trouble, 400)}" for trouble in troubles]
        tell(
            as_json, "server", neutralise("\n".join(lines)), name=config.name,
            runs=config.shown, troubles=list(troubles),
            tools={role: [tool.name for tool in offer.tools] for role, offer in offers.items()},
        )  # fmt: skip
    return fine


async def offered_by(repo: str, settings: Settings) -> None:
    """Tell what a repository's `.mcp.json` would run. Nothing of it is started."""
    source = await open_source(repo)
    place = settings.state_dir / "repositories" / ".look.git"
    repository = await BareRepository.create(place)
    await repository.import_bundle(source.bundle, max_bytes=len(source.bundle))
    files = [entry.path for entry in await repository.files(source.commit)]
    if servers.REPOSITORY_FILE not in files:
        say(f"{source.name} has no {servers.REPOSITORY_FILE}")
        return
    data = await repository.read(source.commit, servers.REPOSITORY_FILE)
    await asyncio.to_thread(servers.is_trusted, data.decode("utf-8", "replace"), settings, say)
