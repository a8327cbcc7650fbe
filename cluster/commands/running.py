"""Doors that begin a run and follow it: run, demo, fork."""

import asyncio
import os
import signal
import sys
from contextlib import AsyncExitStack
from typing import Any

import click

from actors.models.recording import begin_recording
from cluster.app import House, open_house
from cluster.build import build_id
from cluster.configuration.keys import require_model_key
from cluster.demo.sample import demo_order
from cluster.desk.near import desk_in
from cluster.handover.handing import require_able
from cluster.intake import Order, check_text, in_words, routes_of, take_in
from cluster.jobs.packing import other_sender
from cluster.runs.replaying import about
from cluster.settings import Settings
from cluster.terminal.options import RUN_ID, asking, common, door, running, say, settings_from, tell
from cluster.terminal.progress import busy
from cluster.terminal.watching import watch_to_end
from orchestration.ids import StepKey, parse_run_id
from orchestration.messages import FeatureRequest


@click.command()
@click.argument("request")
@running
@asking
@common
@door
async def run(request: str, **options: Any) -> int:
    """Build REQUEST in a repository and deliver a tested branch.

    `-` reads it from stdin; the link of a GitHub issue stands for what is written there.
    """
    text = await in_words(sys.stdin.read() if request == "-" else request)
    settings = settings_from(options, options["repo"])
    order = Order(
        text=text,
        repository=options["repo"],
        ref=options["ref"],
        run_id=options["run_id"],
        replay=options["replay"],
        record=options["record"],
    )
    return await play(order, settings, as_json=options["as_json"], asks=not options["no_ask"])


@click.command()
@click.option("--sandbox", help="Where its commands run: local, container, e2b, daytona.")
@asking
@common
@door
async def demo(**options: Any) -> int:
    """Run the main job on a bundled sample. Models' replies are a recording; no key is needed."""
    settings = settings_from(options)
    order, asks = await demo_order(settings), not options["no_ask"]
    return await play(order, settings, as_json=options["as_json"], asks=asks)


@click.command()
@RUN_ID
@click.option("--at", required=True, metavar="STEP", help="One of `manta show RUN --graph`.")
@click.option("--run-id", "new_id", help="Of the new run; made up by default.")
@asking
@common
@door
async def fork(run_id: str, at: str, new_id: str | None, **options: Any) -> int:
    """Begin a new run with RUN's past up to STEP, and drive it from there. RUN stays as it is."""
    known, into = parse_run_id(run_id), parse_run_id(new_id) if new_id else None
    settings = settings_from(options)
    async with open_house(settings) as house:
        request = await house.fork(known, StepKey(at), into)
        human = f"{request.run_id} goes on from {at} of {known}."
        tell(options["as_json"], "forked", human, run_id=request.run_id, parent=known, at=at)
        return await watch_to_end(
            desk_in(house),
            request.run_id,
            as_json=options["as_json"],
            asks=not options["no_ask"],
            hooks=settings.hooks,
        )


async def play(order: Order, settings: Settings, *, as_json: bool, asks: bool = True) -> int:
    """Take an order in, start its run and follow it; `asks` the person at the terminal."""
    if settings.sandbox == "none":
        say("warning: --sandbox none is no sandbox: what agents run can do all that you can")
    if sender := other_sender(os.environ):
        say(f"note: submitted by Manta {sender}, and this is {build_id()}")
    check_text(order.text)
    if not order.replay and not settings.address:
        require_model_key(routes_of(settings), settings.state_dir, os.environ)
    async with AsyncExitStack() as stack:
        with busy("reading the repository", as_json=as_json) as now:
            request, source = await take_in(order, settings, say)
            if source.is_dirty:
                say(f"note: uncommitted changes in {source.name} stay as they are, not part of it")
            await require_able(settings, request.deliver, order.repository)
            if order.record:
                await asyncio.to_thread(begin_recording, order.record.absolute(), about(request))
            now("joining the Ray cluster (one is started where there is none)")
            house = await stack.enter_async_context(open_house(settings))
            now("seating the team")
            await house.journal.put_blob(source.bundle)
            await start(house, request)
        desk, hooks = desk_in(house), settings.hooks
        return await watch_to_end(desk, request.run_id, as_json=as_json, asks=asks, hooks=hooks)


async def start(house: House, request: FeatureRequest) -> None:
    """Start a run. A stop of this door (SIGTERM) is stored as a cancel, however early it comes."""
    begun, loop = asyncio.Event(), asyncio.get_running_loop()
    stops: set[asyncio.Task[None]] = set()

    async def stop() -> None:
        await begun.wait()
        await house.journal.request_cancel(request.run_id, by="a stopped job")

    loop.add_signal_handler(signal.SIGTERM, lambda: stops.add(loop.create_task(stop())))
    await house.start(request)
    begun.set()
