"""The door that plays a run again: replay."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import click

from cluster.app import open_house
from cluster.commands.running import play, start
from cluster.desk.near import desk_in
from cluster.runs.replaying import again, order_of
from cluster.settings import Settings
from cluster.terminal.options import asking, common, door, settings_from, tell
from cluster.terminal.progress import busy
from cluster.terminal.watching import watch_to_end
from orchestration.ids import RunId, parse_run_id


@click.command()
@click.argument("what", metavar="RUN|FILE")
@click.option("--repo", help="For a file: the repository, where it is not where it was.")
@click.option("--run-id", help="Of the new run; made up by default.")
@click.option("--sandbox", help="local, container, e2b, daytona, or none: a bare process.")
@asking
@common
@door
async def replay(what: str, repo: str | None, run_id: str | None, **options: Any) -> int:
    """Play a run, or a file of `manta run --record FILE`, again from its start, as a new run.

    What models said is played back, free of charge; tools, tests and gates are real. It ends in
    an error where the new run asks what the old one did not.
    """
    settings, asks = settings_from(options), not options["no_ask"]
    file = await asyncio.to_thread(Path(what).absolute)
    if await asyncio.to_thread(file.is_file):
        order = order_of(file, repo, run_id)
        return await play(order, settings, as_json=options["as_json"], asks=asks)
    known, into = parse_run_id(what), parse_run_id(run_id) if run_id else None
    return await _again(settings, known, into, as_json=options["as_json"], asks=asks)


async def _again(
    settings: Settings, known: RunId, into: RunId | None, *, as_json: bool, asks: bool
) -> int:
    async with AsyncExitStack() as stack:
        with busy("joining the Ray cluster (one is started where there is none)", as_json=as_json):
            house = await stack.enter_async_context(open_house(settings))
        request = await again(house.journal, settings, known, into)
        human = f"{request.run_id} plays {known} again: its models' replies are a recording."
        tell(as_json, "replaying", human, run_id=request.run_id, of=known)
        await start(house, request)
        desk, hooks = desk_in(house), settings.hooks
        return await watch_to_end(desk, request.run_id, as_json=as_json, asks=asks, hooks=hooks)
