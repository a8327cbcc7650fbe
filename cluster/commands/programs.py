"""Doors for other programs: mcp, acp."""

from typing import Any

import click

from cluster.desk.opening import open_desk
from cluster.options import common, door, person, settings_from
from cluster.programs.tools import serving


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
