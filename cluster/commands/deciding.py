"""Doors of a decision: approve, reject, cancel."""

import asyncio
import os
from pathlib import Path
from typing import Any

import click

from cluster import shown
from cluster.app import open_store
from cluster.options import RUN_ID, common, door, settings_from, tell
from orchestration.approval import Answer, Decision
from orchestration.ids import parse_run_id
from orchestration.stories import request_of, unplayed
from orchestration.workflow.outcome import decide, open_suspensions

EVERY = "*"
"""Stands for the labels of all open questions."""
LABEL = click.option("--label", help="Which question, where several are open.")
ALL = click.option("--all", "every", is_flag=True, help="Every open question alike.")


@click.command()
@RUN_ID
@LABEL
@ALL
@click.option(
    "--edit", type=click.Path(path_type=Path, exists=True), help="A plan (JSON) to use instead."
)
@common
@door
async def approve(
    run_id: str, label: str | None, every: bool, edit: Path | None, **options: Any
) -> int:
    """Approve what a run waits for; `manta resume` then goes on."""
    edited = await asyncio.to_thread(edit.read_text, "utf-8") if edit else None
    return await answer(run_id, EVERY if every else label, said(Answer.APPROVE), edited, options)


@click.command()
@RUN_ID
@LABEL
@ALL
@click.option("--comment", default="", help="What to change. Without one the run ends as rejected.")
@common
@door
async def reject(run_id: str, label: str | None, every: bool, comment: str, **options: Any) -> int:
    """Send a plan or delivery back with a comment, or end the run without one.

    A tool call is declined; the comment reaches the agent, and the run goes on.
    """
    wanted = said(Answer.CHANGES, comment) if comment.strip() else said(Answer.REJECT)
    return await answer(run_id, EVERY if every else label, wanted, None, options)


@click.command()
@RUN_ID
@common
@door
async def cancel(run_id: str, **options: Any) -> int:
    """Stop a run, wherever it is driven. What is merged stays in its store."""
    known = parse_run_id(run_id)
    async with open_store(settings_from(options)) as journal:
        wanted = await journal.request_cancel(known, by=os.environ.get("USER") or "somebody")
    human = f"{known} is being cancelled." if wanted else f"{known} had already ended."
    tell(options["as_json"], "cancel", human, run_id=known, accepted=wanted)
    return 0


def said(answer: Answer, comment: str = "") -> Decision:
    """A decision by whoever sits here."""
    return Decision(answer=answer, comment=comment, by=os.environ.get("USER") or "somebody")


async def answer(
    run_id: str, label: str | None, wanted: Decision, edited: str | None, options: dict[str, Any]
) -> int:
    """Record a decision, bound to what is shown now."""
    known = parse_run_id(run_id)
    async with open_store(settings_from(options)) as journal:
        labels: list[str | None] = [label]
        if label == EVERY:
            labels = [one.label for one in await open_suspensions(journal, known)] or [None]
        workflow = unplayed((await request_of(journal, known)).workflow)
        for each in labels:
            decision = await shown.decision(journal, known, each, wanted, edited)
            text = decision.model_dump_json(exclude_none=True)
            await decide(journal, workflow, known, text, by=wanted.by, label=each)
    human = f"{wanted.answer}: recorded. Go on with `manta resume {known}`."
    tell(options["as_json"], "decided", human, run_id=known, answer=wanted.answer)
    return 0
