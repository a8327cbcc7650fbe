"""Doors that drive a run and follow it: run, demo, resume, fork, watch."""

import asyncio
import os
import signal
import sys
from contextlib import AsyncExitStack
from typing import Any

import click

from cluster import shown
from cluster.app import open_house, open_store
from cluster.budgets import is_about_budget, parse_budget, raise_budget
from cluster.demo.sample import demo_order
from cluster.desk.known import knowledge
from cluster.follow import follow
from cluster.handing import hand_over, require_able
from cluster.intake import Order, take_in
from cluster.options import RUN_ID, common, door, running, say, settings_from, tell
from cluster.progress import busy, is_screen, open_sink
from cluster.settings import Settings
from orchestration.errors import LimitError
from orchestration.ids import RunId, StepKey, parse_run_id
from orchestration.messages import FeatureRequest, Plan
from orchestration.stories import request_of, unplayed
from orchestration.workflow.journal import Journal, RunStatus
from orchestration.workflow.outcome import RunOutcome, outcome_of

WAITING = 3
"""Exit code: a person is asked."""


@click.command()
@click.argument("request")
@running
@common
@door
async def run(request: str, **options: Any) -> int:
    """Build REQUEST in a repository and deliver a tested branch. `-` reads it from stdin."""
    text = sys.stdin.read() if request == "-" else request
    settings = settings_from(options, options["repo"])
    order = Order(
        text=text,
        repository=options["repo"],
        ref=options["ref"],
        run_id=options["run_id"],
        replay=options["replay"],
        record=options["record"],
    )
    return await play(order, settings, as_json=options["as_json"])


@click.command()
@click.option("--sandbox", help="Where its commands run: local, container, e2b, daytona.")
@common
@door
async def demo(**options: Any) -> int:
    """Run the main job on a bundled sample. Models' replies are a recording; no key is needed."""
    settings = settings_from(options)
    return await play(await demo_order(settings), settings, as_json=options["as_json"])


@click.command()
@RUN_ID
@click.option("--take-over", is_flag=True, help="Even from an owner whose lease is alive.")
@click.option("--budget", help="A larger one, in all, where the old one is spent: 10usd,4h.")
@common
@door
async def resume(run_id: str, take_over: bool, budget: str | None, **options: Any) -> int:
    """Go on with a run that waits, was left behind, or lost its ground."""
    known, more = parse_run_id(run_id), parse_budget(budget) if budget else None
    settings = settings_from(options)
    async with open_house(settings) as house:
        info = await house.journal.info(known)
        if info.status is RunStatus.DONE:
            return await conclude(
                house.journal,
                settings,
                known,
                await outcome_of(house.journal, unplayed(), known),
                as_json=options["as_json"],
            )
        if more:
            await raise_budget(house.journal, known, more, by=os.environ.get("USER") or "somebody")
        request = await request_of(house.journal, known)
        await house.resume(known, take_over=take_over)
        return await watch_to_end(
            house.journal, settings, request, as_json=options["as_json"], after=info.seq
        )


@click.command()
@RUN_ID
@click.option("--at", required=True, metavar="STEP", help="One of `manta show RUN --graph`.")
@click.option("--run-id", "new_id", help="Of the new run; made up by default.")
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
        return await watch_to_end(house.journal, settings, request, as_json=options["as_json"])


@click.command()
@RUN_ID
@click.option("--after", type=click.IntRange(min=0), default=0, help="Leave out events up to SEQ.")
@common
@door
async def watch(run_id: str, after: int, **options: Any) -> int:
    """Follow a run until it ends or waits for you."""
    known = parse_run_id(run_id)
    settings = settings_from(options)
    async with open_store(settings) as journal:
        request = await request_of(journal, known)
        return await watch_to_end(
            journal, settings, request, as_json=options["as_json"], after=after
        )


async def play(order: Order, settings: Settings, *, as_json: bool) -> int:
    """Take an order in, start its run and follow it."""
    if settings.sandbox == "none":
        say("warning: --sandbox none is no sandbox: what agents run can do all that you can")
    async with AsyncExitStack() as stack:
        with busy("reading the repository", as_json=as_json) as now:
            request, source = await take_in(order, settings, say)
            if source.is_dirty:
                say(f"note: uncommitted changes in {source.name} stay as they are, not part of it")
            await require_able(request.deliver, order.repository)
            now("joining the Ray cluster (one is started where there is none)")
            house = await stack.enter_async_context(open_house(settings))
            now("seating the team")
            await house.journal.put_blob(source.bundle)
            await house.start(request)
        return await watch_to_end(house.journal, settings, request, as_json=as_json)


async def watch_to_end(
    journal: Journal,
    settings: Settings,
    request: FeatureRequest,
    *,
    as_json: bool,
    after: int = 0,
) -> int:
    """Follow a run; a stopped door (SIGTERM, as of `ray job stop`) stores a cancel."""
    run_id = request.run_id
    loop = asyncio.get_running_loop()
    stops: set[asyncio.Task[bool]] = set()
    loop.add_signal_handler(
        signal.SIGTERM,
        lambda: stops.add(loop.create_task(journal.request_cancel(run_id, by="a stopped job"))),
    )

    async def plan() -> Plan | None:
        return (await knowledge(journal, run_id)).plan

    with open_sink(request, as_json=as_json, plan=plan) as sink:
        outcome = await follow(journal, run_id, sink, after=after)
    return await conclude(journal, settings, run_id, outcome, as_json=as_json)


async def conclude(
    journal: Journal, settings: Settings, run_id: RunId, outcome: RunOutcome, *, as_json: bool
) -> int:
    """Say how a run ended, or what it waits for, and hand over what it made."""
    if outcome.status is RunStatus.DONE:
        made = await hand_over(journal, settings, run_id)
        titles = not is_screen(sys.stdout)  # else the tree above has them
        await shown.tell_delivered(journal, settings, made, as_json=as_json, titles=titles)
        return LimitError.exit_code if made.delivery and made.delivery.undone else 0
    if outcome.status is RunStatus.SUSPENDED:
        labels = [waiting.label for waiting in outcome.suspensions]
        tell(as_json, "waiting", shown.waiting(run_id, labels), run_id=run_id, labels=labels)
        return LimitError.exit_code if all(map(is_about_budget, labels)) else WAITING
    error = outcome.error
    what = error.what if error else f"run {run_id} is {outcome.status}"
    fix = error.fix if error else ""
    code = error.exit_code if error else 1
    tell(as_json, "failed", "", run_id=run_id, status=outcome.status, what=what, fix=fix)
    say(f"manta: {what}" + (f"\n  fix: {fix}" if fix else ""))
    return code
