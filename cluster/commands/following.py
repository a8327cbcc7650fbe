"""Doors that follow a run: watch, resume. From here, or from another machine by --hall."""

from typing import Any

import click

from cluster.desk.deciding import Verdict
from cluster.desk.opening import open_desk
from cluster.settings import Settings
from cluster.steward import resume_due
from cluster.terminal.options import RUN_ID, afar, asking, common, door, person, settings_from, tell
from cluster.terminal.watching import conclude, watch_to_end
from orchestration.approval import Answer
from orchestration.errors import UsageError
from orchestration.ids import parse_run_id


@click.command()
@RUN_ID
@click.option("--after", type=click.IntRange(min=0), default=0, help="Leave out events up to SEQ.")
@asking
@afar
@common
@door
async def watch(run_id: str, after: int, **options: Any) -> int:
    """Follow a run until it ends or waits for you; what it asks can be answered here."""
    settings, known = settings_from(options), parse_run_id(run_id)
    as_json, asks, hooks = options["as_json"], not options["no_ask"], settings.hooks
    async with open_desk(settings) as desk:
        return await watch_to_end(desk, known, as_json=as_json, after=after, asks=asks, hooks=hooks)


@click.command()
@click.argument("run_id", metavar="[RUN]", default="")
@click.option("--due", is_flag=True, help="No RUN: all that should go on now, followed by nobody.")
@click.option("--take-over", is_flag=True, help="Even from an owner whose lease is alive.")
@click.option("--budget", help="A larger one, in all, where the old one is spent: 10usd,4h.")
@asking
@afar
@common
@door
async def resume(
    run_id: str, due: bool, take_over: bool, budget: str | None, **options: Any
) -> int:
    """Go on with a run that waits, was left behind, or lost its ground.

    Or, with --due and without RUN, with every run that was decided, whose time has come or whose
    supervisor is gone: for cron, where no `manta web` looks at the clock.
    """
    settings = settings_from(options)
    if due:
        if run_id or take_over or budget or settings.hall:
            raise UsageError("--due is for all runs here", "leave out RUN and the other options")
        return await _resume_all(settings, as_json=options["as_json"])
    if not run_id:
        raise UsageError("which run?", "name one of `manta runs`, or use --due for all of them")
    known, as_json, asks = parse_run_id(run_id), options["as_json"], not options["no_ask"]
    async with open_desk(settings) as desk:
        detail = await desk.run(known)
        if detail.run.status == "done":
            return await conclude(desk, detail, as_json=as_json)
        if budget:
            more = Verdict(Answer.APPROVE, person(), budget=budget)
            await desk.decide(known, more, resume=False)
        await desk.resume(known, take_over=take_over)
        after, hooks = detail.run.seq, settings.hooks
        return await watch_to_end(desk, known, as_json=as_json, after=after, asks=asks, hooks=hooks)


async def _resume_all(settings: Settings, *, as_json: bool) -> int:
    resumed, troubles = await resume_due(settings)
    for run_id in resumed:
        human = f"{run_id} goes on: `manta watch {run_id}`"
        tell(as_json, "resumed", human, run_id=run_id, goes_on=True, trouble="")
    for run_id, trouble in troubles.items():
        human = f"{run_id} does not go on: {trouble.error}"
        tell(as_json, "resumed", human, run_id=run_id, goes_on=False, trouble=str(trouble.error))
    return 1 if troubles else 0
