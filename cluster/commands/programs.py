"""Doors for other programs: mcp, acp."""

from typing import Any, cast

import click
from acp import Agent, run_agent

from cluster.desk.opening import open_desk
from cluster.desk.wishing import Wishes
from cluster.programs.editor import TeamAgent
from cluster.programs.tools import serving
from cluster.terminal.options import common, door, person, settings_from


@click.command()
@click.option("--repo", default="", help="Worked on where a request names no repository.")
@click.option("--read-only", is_flag=True, help="Looking only: nothing begins, ends or is decided.")
@common
@door
async def mcp(repo: str, read_only: bool, **options: Any) -> int:
    """Serve Manta's runs as tools to an MCP client, on stdin and stdout."""
    async with open_desk(settings_from(options, repo or None)) as desk:
        server = serving(desk, person=person(), repository=repo, read_only=read_only)
        await server.run_stdio_async()
    return 0


@click.command()
@click.option(
    "--approve",
    default="plan",
    show_default=True,
    help="Gates where the editor asks: plan, delivery.",
)
@common
@door
async def acp(approve: str, **options: Any) -> int:
    """Be an agent that an editor drives, by the Agent Client Protocol on stdin and stdout."""
    gates = tuple(filter(None, map(str.strip, approve.split(","))))
    async with open_desk(settings_from(options)) as desk:
        agent = TeamAgent(desk, person(), Wishes(approve=gates))
        await run_agent(cast("Agent", agent))
    return 0
