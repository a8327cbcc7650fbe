"""Doors of a decision: approve, reject, cancel. From here, or from another machine by --hall."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from cluster.desk.deciding import Verdict
from cluster.desk.opening import open_desk
from cluster.desk.wire import Recorded
from cluster.jobs.queued import withdrawn
from cluster.terminal.options import (
    RUN_ID,
    afar,
    chained,
    common,
    door,
    person,
    say,
    settings_from,
    tell,
)
from orchestration.approval import Answer
from orchestration.ids import parse_run_id

which = chained(
    click.option("--label", help="Which question, where several are open."),
    click.option("--all", "every", is_flag=True, help="Every open question alike."),
    click.option("--no-resume", is_flag=True, help="Leave the run as it is: `manta resume` later."),
)


@click.command()
@RUN_ID
@which
@click.option(
    "--edit", type=click.Path(path_type=Path, exists=True), help="A plan (JSON) to use instead."
)
@click.option("--budget", default="", help="All that it may spend, where it asks: 10usd,4h.")
@afar
@common
@door
async def approve(run_id: str, edit: Path | None, budget: str, **options: Any) -> int:
    """Approve what a run waits for. It goes on by itself once nothing is asked any more."""
    edited = await asyncio.to_thread(edit.read_text, "utf-8") if edit else ""
    verdict = Verdict(Answer.APPROVE, person(), plan=edited, budget=budget)
    return await answer(run_id, verdict, options)


@click.command()
@RUN_ID
@which
@click.option("--comment", default="", help="What to change. Without one the run ends as rejected.")
@afar
@common
@door
async def reject(run_id: str, comment: str, **options: Any) -> int:
    """Send a plan or delivery back with a comment, or end the run without one.

    A tool call is declined; the comment reaches the agent, and the run goes on.
    """
    wanted = Answer.CHANGES if comment.strip() else Answer.REJECT
    return await answer(run_id, Verdict(wanted, person(), comment=comment), options)


@click.command()
@RUN_ID
@afar
@common
@door
async def cancel(run_id: str, **options: Any) -> int:
    """Stop a run, wherever it is driven. What is merged stays in its store."""
    known, settings = parse_run_id(run_id), settings_from(options)
    if await withdrawn(settings, known):
        human = f"{known} waited in line; it begins nothing."
        tell(options["as_json"], "cancel", human, run_id=known, accepted=True)
        return 0
    async with open_desk(settings) as desk:
        accepted = (await desk.cancel(known, by=person())).accepted
    human = f"{known} is being cancelled." if accepted else f"{known} had already ended."
    tell(options["as_json"], "cancel", human, run_id=known, accepted=accepted)
    return 0


async def answer(run_id: str, verdict: Verdict, options: dict[str, Any]) -> int:
    """Record a decision about what is asked now, and say what comes of it."""
    known, resume = parse_run_id(run_id), not options["no_resume"]
    async with open_desk(settings_from(options)) as desk:
        labels: list[str | None] = [options["label"]]
        if options["every"]:
            labels = [one.label for one in (await desk.run(known)).questions] or [None]
        *others, last = [replace(verdict, label=label) for label in labels]
        for each in others:
            await desk.decide(known, each, resume=resume)
        recorded = await desk.decide(known, last, resume=resume)
    facts = {"run_id": known, "answer": recorded.answer, "goes_on": recorded.goes_on}
    tell(options["as_json"], "decided", _told(recorded), **facts)
    if trouble := recorded.trouble:
        say(f"manta: the decision stands, but it does not go on by itself: {trouble.what}")
        say(f"  fix: {trouble.fix}")
    return 0


def _told(recorded: Recorded) -> str:
    if recorded.goes_on:
        return f"{recorded.answer}: recorded. The run goes on: `manta watch {recorded.run_id}`"
    return f"{recorded.answer}: recorded. Go on with `{recorded.next}`."
