"""What doors say about runs: lines for people, facts for programs."""

import json
from datetime import UTC, datetime
from typing import Any

from actors.evidence import Evidence
from actors.run_repository import RunRepository
from actors.sandbox.protocol import Check
from actors.scanners.sarif import sarif
from actors.tools.text import neutralise
from cluster.budgets import is_about_budget
from cluster.build import build_id
from cluster.ending import ending_of, told
from cluster.ending import facts as outcome_facts
from cluster.follow import delivered as delivery_of
from cluster.graph import graph
from cluster.handing import Handover, whereabouts
from cluster.intake import repository_path
from cluster.options import tell
from cluster.painting import in_colour
from cluster.progress import facts_of, line_of
from cluster.settings import Settings
from cluster.view import RunView, fold
from orchestration.approval import Answer, ApprovalRequest, Decision
from orchestration.errors import NotFoundError, UsageError
from orchestration.events import event_of
from orchestration.ids import RunId
from orchestration.messages import Delivery, Plan, PlanDecision
from orchestration.stories import request_of, unplayed
from orchestration.workflow.journal import Journal, RunInfo, RunStatus
from orchestration.workflow.outcome import OpenSuspension, open_suspensions, outcome_of


def facts(delivery: Delivery | None) -> dict[str, Any]:
    """A delivery for programs."""
    return delivery.model_dump(mode="json") if delivery else {}


async def tell_delivered(
    journal: Journal, settings: Settings, made: Handover, *, as_json: bool, titles: bool = True
) -> None:
    """The last words of a run that went well, and where its result is."""
    ending, delivery = await ending_of(journal, settings, made), made.delivery
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
        f"  manta resume {run_id}"
    )


def run_line(info: RunInfo) -> str:
    """One row of the list of runs."""
    when = datetime.fromtimestamp(info.created_at, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
    return f"{info.run_id:<44} {info.status:<10} {when}  {neutralise(info.title)}"


def run_facts(info: RunInfo) -> dict[str, Any]:
    """One run for programs."""
    return {
        "run_id": info.run_id,
        "status": info.status.value,
        "title": info.title,
        "created_at": info.created_at,
        "updated_at": info.updated_at,
        "seq": info.seq,
        "owner": info.owner,
        "parent": info.parent,
    }


def check_line(check: Check) -> str:
    """One line of `doctor`."""
    mark = "ok  " if check.ok else "FAIL"
    fix = f"\n      fix: {check.fix}" if check.fix and not check.ok else ""
    return f"{mark}  {check.name:<18} {check.detail}{fix}"


def check_facts(check: Check) -> dict[str, Any]:
    """One check for programs."""
    return {"name": check.name, "ok": check.ok, "detail": check.detail, "fix": check.fix}


async def show(
    journal: Journal, settings: Settings, run_id: RunId, part: str | None, *, as_json: bool
) -> None:
    """A run as a whole, or one part of it."""
    match part:
        case "evidence":
            tell(as_json, "evidence", await evidence_text(journal, run_id))
        case "sarif":
            evidence = Evidence.model_validate_json(await evidence_text(journal, run_id))
            reviews = [review for task in evidence.tasks for review in (task.review, task.audit)]
            found = [finding for review in reviews for finding in review.findings]
            made = sarif(found, commit=evidence.commit, version=build_id())
            tell(as_json, "sarif", json.dumps(made, indent=1), **made)
        case "diff":
            text = await diff_text(journal, settings, run_id)
            tell(as_json, "diff", neutralise(text), diff=text)
        case "log":
            await _log(journal, run_id, as_json=as_json)
        case "graph":
            text, found = await graph(journal, run_id)
            tell(as_json, "graph", text, **found)
        case "plan":
            await _asked(journal, run_id, "plan", as_json=as_json)
        case _:
            await _overview(journal, settings, run_id, as_json=as_json)


async def decision(
    journal: Journal, run_id: RunId, label: str | None, said: Decision, edited: str | None
) -> Decision:
    """A decision bound to what is shown now; an edited plan is checked.

    Raises:
        UsageError: the plan does not hold together, or this is not a plan.
    """
    asked = await _open(journal, run_id, label)
    request = ApprovalRequest.model_validate_json(asked.payload)
    bound = said.model_copy(update={"digest": request.digest})
    if request.gate == "budget" and said.answer is Answer.APPROVE:
        raise UsageError(
            f"run {run_id} needs to know how much it may spend",
            f"manta resume {run_id} --budget 10usd",
        )
    if edited is None:
        return bound
    if request.gate != "plan" or said.answer is not Answer.APPROVE:
        raise UsageError("only a plan can be edited", f"leave --edit out for {request.gate}")
    try:
        plan = Plan.model_validate_json(edited)
    except ValueError as error:
        raise UsageError(f"the edited plan does not hold together: {error}") from None
    return PlanDecision(**bound.model_dump(), edited=plan)


async def _open(journal: Journal, run_id: RunId, label: str | None) -> OpenSuspension:
    """The one open question, or the one with this label."""
    info = await journal.info(run_id)
    asked = await open_suspensions(journal, run_id)
    matching = [one for one in asked if label in {None, one.label}]
    if not matching:
        what = f"run {run_id} is {info.status} and waits for nothing"
        raise NotFoundError(what + (f" labelled {label!r}" if label else ""))
    if len(matching) > 1:
        names = ", ".join(one.label for one in matching)
        raise UsageError(f"run {run_id} waits for several answers: {names}", "name one by --label")
    return matching[0]


async def _overview(journal: Journal, settings: Settings, run_id: RunId, *, as_json: bool) -> None:
    info = await journal.info(run_id)
    tell(as_json, "run", run_line(info), **run_facts(info))
    if info.status is RunStatus.SUSPENDED:
        for asked in await open_suspensions(journal, run_id):
            _tell_question(asked, as_json=as_json)
    outcome = await outcome_of(journal, unplayed(), run_id)
    if outcome.error and info.status is not RunStatus.SUSPENDED:
        error = outcome.error
        tell(
            as_json, "error", f"\n{error.what}\n  fix: {error.fix}", what=error.what, fix=error.fix
        )
    made = await whereabouts(journal, run_id)
    if made.delivery:
        await tell_delivered(journal, settings, made, as_json=as_json)


def _tell_question(asked: OpenSuspension, *, as_json: bool) -> None:
    request = ApprovalRequest.model_validate_json(asked.payload)
    text = f"\n[{asked.label}] {neutralise(request.title)}\n\n{neutralise(request.body)}"
    tell(as_json, "question", text, label=asked.label, **request.model_dump(mode="json"))


async def _asked(journal: Journal, run_id: RunId, gate: str, *, as_json: bool) -> None:
    """The question of one gate while it is open."""
    for asked in await open_suspensions(journal, run_id):
        if asked.label == gate:
            _tell_question(asked, as_json=as_json)
            return
    raise NotFoundError(f"run {run_id} does not wait at the {gate} gate", "see `manta show RUN`")


async def evidence_text(journal: Journal, run_id: RunId) -> str:
    """The evidence bundle of a delivered run, JSON.

    Raises:
        NotFoundError: it has delivered nothing.
    """
    delivery = await delivery_of(journal, run_id)
    if delivery is None or not delivery.branch:
        raise NotFoundError(f"run {run_id} has delivered nothing", f"see `manta show {run_id}`")
    return (await journal.get_blob(delivery.evidence)).decode()


async def diff_text(journal: Journal, settings: Settings, run_id: RunId) -> str:
    """The change that a run delivered.

    Raises:
        NotFoundError: it has delivered nothing.
    """
    request = await request_of(journal, run_id)
    delivery = await delivery_of(journal, run_id)
    if delivery is None or not delivery.branch:
        raise NotFoundError(f"run {run_id} has delivered nothing", f"see `manta show {run_id}`")
    repository = await RunRepository.open(repository_path(settings, run_id), journal)
    return await repository.diff(request.base, delivery.tree)


async def _log(journal: Journal, run_id: RunId, *, as_json: bool) -> None:
    view, after = RunView(), 0
    while records := await journal.read(run_id, after=after, limit=500):
        after = records[-1].seq
        for event in filter(None, map(event_of, records)):
            view = fold(view, event)
            if line := line_of(event, view):
                tell(as_json, "event", line, **facts_of(event))
