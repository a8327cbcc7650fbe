"""What doors say about runs: lines for people, facts for programs."""

import json
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

from actors.sandbox.protocol import Check
from actors.scanners.sarif import sarif
from actors.tools.text import neutralise
from cluster.build import build_id
from cluster.desk.delivering import as_stored
from cluster.desk.protocol import Desk
from cluster.desk.wire import Asked, RunSummary
from cluster.handover.handing import Handover
from cluster.runs.budgets import is_about_budget
from cluster.runs.view import RunView, fold
from cluster.terminal.ending import ending_of, told
from cluster.terminal.ending import facts as outcome_facts
from cluster.terminal.options import tell
from cluster.terminal.painting import in_colour
from cluster.terminal.progress import facts_of, line_of
from orchestration.asking import plan_text
from orchestration.ids import RunId
from orchestration.messages import Delivery


def facts(delivery: Delivery | None) -> dict[str, Any]:
    """A delivery for programs."""
    return delivery.model_dump(mode="json") if delivery else {}


async def tell_delivered(desk: Desk, made: Handover, *, as_json: bool, titles: bool = True) -> None:
    """The last words of a run that went well, and where its result is."""
    ending, delivery = await ending_of(desk, made), made.delivery
    if ending is None:
        human = neutralise(delivery.summary) if delivery else ""
        tell(as_json, "delivered", human, **facts(delivery), address=made.address)
        return
    human = "" if as_json else in_colour(told(ending, titles=titles))
    whole = {**facts(delivery), "address": made.address, "outcome": outcome_facts(ending)}
    tell(as_json, "delivered", human, **whole)


def waiting(run_id: RunId, labels: list[str]) -> str:
    """What a person does next."""
    if all(map(is_about_budget, labels)):
        return (
            f"Run {run_id} has spent its budget; all work is kept.\n"
            f"  manta show {run_id}\n"
            f"  manta resume {run_id} --budget MORE"
        )
    asked = " and ".join(labels)
    one = " --label LABEL" if len(labels) > 1 else ""
    return (
        f"Run {run_id} waits for you: {asked}.\n"
        f"  manta show {run_id}\n"
        f"  manta approve {run_id}{one}    or    manta reject {run_id}{one} --comment TEXT\n"
        f"  manta watch {run_id}"
    )


def run_line(run: RunSummary) -> str:
    """One row of the list of runs."""
    when = datetime.fromtimestamp(run.created_at, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
    return f"{run.run_id:<44} {run.status:<10} {when}  {neutralise(run.title)}"


def run_facts(run: RunSummary) -> dict[str, Any]:
    """One run for programs."""
    return run.model_dump(mode="json")


def check_line(check: Check) -> str:
    """One line of `doctor`."""
    mark = "ok  " if check.ok else "FAIL"
    fix = f"\n      fix: {check.fix}" if check.fix and not check.ok else ""
    return f"{mark}  {check.name:<18} {check.detail}{fix}"


def check_facts(check: Check) -> dict[str, Any]:
    """One check for programs."""
    return {"name": check.name, "ok": check.ok, "detail": check.detail, "fix": check.fix}


async def show(desk: Desk, run_id: RunId, part: str | None, *, as_json: bool) -> None:
    """A run as a whole, or one part of it."""
    match part:
        case "evidence":
            evidence = await desk.evidence(run_id)
            tell(as_json, "evidence", as_stored(evidence), **evidence.model_dump(mode="json"))
        case "sarif":
            evidence = await desk.evidence(run_id)
            reviews = [review for task in evidence.tasks for review in (task.review, task.audit)]
            found = [finding for review in reviews for finding in review.findings]
            made = sarif(found, commit=evidence.commit, version=build_id())
            tell(as_json, "sarif", json.dumps(made, indent=1), **made)
        case "diff":
            text = (await desk.diff(run_id)).diff
            tell(as_json, "diff", neutralise(text), diff=text)
        case "log":
            await _log(desk, run_id, as_json=as_json)
        case "graph":
            graph = await desk.graph(run_id)
            tell(as_json, "graph", graph.text, **graph.model_dump(exclude={"text"}))
        case "plan":
            await _plan(desk, run_id, as_json=as_json)
        case _:
            await _overview(desk, run_id, as_json=as_json)


async def _overview(desk: Desk, run_id: RunId, *, as_json: bool) -> None:
    detail = await desk.run(run_id)
    tell(as_json, "run", run_line(detail.run), **run_facts(detail.run))
    for asked in detail.questions:
        _tell_question(asked, as_json=as_json)
    if error := detail.error:
        human = f"\n{neutralise(error.what)}" + (f"\n  fix: {error.fix}" if error.fix else "")
        tell(as_json, "error", human, what=error.what, fix=error.fix)
    if detail.delivery:
        made = await desk.hand_over(run_id, make=False)
        await tell_delivered(desk, made, as_json=as_json)


def _tell_question(asked: Asked, *, as_json: bool) -> None:
    text = f"\n[{asked.label}] {neutralise(asked.title)}\n\n{neutralise(asked.body)}"
    tell(as_json, "question", text, **asked.model_dump(mode="json", exclude={"deadline"}))


async def _plan(desk: Desk, run_id: RunId, *, as_json: bool) -> None:
    """The question about the plan while it is open, else the plan that people agreed to."""
    shown = await desk.plan(run_id)
    if shown.asked:
        _tell_question(shown.asked, as_json=as_json)
    else:
        plan = shown.plan
        tell(as_json, "plan", neutralise(plan_text(plan)), **plan.model_dump(mode="json"))


async def _log(desk: Desk, run_id: RunId, *, as_json: bool) -> None:
    view = RunView()
    async with aclosing(desk.events(run_id, follow=False)) as events:
        async for event in events:
            view = fold(view, event)
            if line := line_of(event, view):
                tell(as_json, "event", line, **facts_of(event))
