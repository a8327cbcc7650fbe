"""Pages: the list of runs, one run with its questions, its evidence and its log."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from cluster.desk.deciding import Verdict, edited
from cluster.desk.known import Knowledge, decisions, knowledge, questions
from cluster.follow import delivered, refuse_abandoned
from cluster.view import RunView
from cluster.web.drawing import exact, page
from cluster.web.entering import require_own_form, session_of
from cluster.web.forms import DecisionForm
from cluster.web.graphs import columns
from cluster.web.hall import AHall, AJournal, ARun, Hall, hall_of
from orchestration.approval import Answer
from orchestration.errors import ConflictError, InfrastructureError, MantaError, UsageError
from orchestration.events import event_of
from orchestration.ids import RunId
from orchestration.stories import unplayed
from orchestration.workflow.journal import Journal, RunInfo, RunStatus
from orchestration.workflow.outcome import outcome_of

PAGE = 50
"""Runs on a page of the list."""
LOG_PAGE = 200
router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


def draw(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A page of somebody who came in: with the token that its forms carry."""
    access = hall_of(request).access
    csrf = access.form_token(session_of(request))
    return page(template, status=status, csrf=csrf, now=time.time(), **values)


@router.get("/")
async def runs(
    request: Request,
    hall: AHall,
    journal: AJournal,
    number: Annotated[int, Query(alias="page", ge=1, le=2_000)] = 1,
) -> Response:
    """The runs, newest first, with what goes on in those that go on."""
    first = (number - 1) * PAGE
    found = await journal.runs(limit=first + PAGE + 1)
    shown = [(info, await _live(hall, journal, info)) for info in found[first : first + PAGE]]
    return draw(request, "runs.html", runs=shown, number=number, more=len(found) > first + PAGE)


async def _live(hall: Hall, journal: Journal, info: RunInfo) -> RunView | None:
    """What goes on in a run that has not ended."""
    return None if info.status.ended else (await hall.views.of(journal, info.run_id)).view


@router.get("/runs/{run_id}")
async def run(request: Request, hall: AHall, journal: AJournal, run_id: ARun) -> Response:
    """One run."""
    return draw(request, "run.html", **await _facts(hall, journal, run_id))


async def _facts(hall: Hall, journal: Journal, run_id: RunId) -> dict[str, Any]:
    """All that the page of a run shows."""
    info = await journal.info(run_id)
    watched = await hall.views.of(journal, run_id)
    known = await knowledge(journal, run_id)
    outcome = await outcome_of(journal, unplayed(), run_id)
    return {
        "info": info,
        "known": known,
        "plan_text": exact(known.plan) if known.plan else "",
        "view": watched.view,
        "recent": tuple(watched.recent)[::-1],
        "columns": columns(known.plan, watched.view.rows),
        "questions": await questions(journal, run_id),
        "decisions": await decisions(journal, run_id),
        "delivery": await delivered(journal, run_id),
        "error": outcome.error,
        "trouble": _abandoned(info),
        "has_diff": _has_diff(known),
        "person": hall.person,
        "given": {},
    }


def _abandoned(info: RunInfo) -> MantaError | None:
    try:
        if info.status is RunStatus.RUNNING:
            refuse_abandoned(info)
    except InfrastructureError as error:
        return error
    return None


def _has_diff(known: Knowledge) -> bool:
    return known.dossier is not None and known.dossier.tree.commit != known.request.base.commit


@router.post("/runs/{run_id}/decide")
async def decide(
    request: Request, hall: AHall, run_id: ARun, said: Annotated[DecisionForm, Form()]
) -> Response:
    """Record what a person decided about what they saw; the run goes on when nothing is asked."""
    require_own_form(request, said.csrf)
    session = session_of(request)
    try:
        # The store is free again when the run goes on: a cluster that starts must have it.
        async with hall.store.use() as journal:
            verdict = await _verdict(hall, journal, run_id, said, session)
        await hall.desk.decide(run_id, verdict)
    except (UsageError, ConflictError) as error:
        async with hall.store.use() as journal:
            facts = await _facts(hall, journal, run_id)
        status = 409 if isinstance(error, ConflictError) else 422
        facts |= {"trouble": error, "given": said.model_dump()}
        return draw(request, "run.html", status=status, **facts)
    if said.label == "delivery":
        hall.drafts.pop((session, run_id), None)
    return RedirectResponse(f"/runs/{run_id}#decisions", 303)


async def _verdict(
    hall: Hall, journal: Journal, run_id: RunId, said: DecisionForm, session: str
) -> Verdict:
    """The form's decision; comments on lines go with a wish for changes."""
    drafts = hall.drafts.get((session, run_id), ()) if said.label == "delivery" else ()
    lines = [draft.sentence() for draft in drafts if said.answer is Answer.CHANGES]
    plan = ""
    if said.plan and said.answer is Answer.APPROVE:
        plan = edited((await knowledge(journal, run_id)).plan, said.plan)
    return Verdict(
        said.answer,
        said.by.strip() or hall.person,
        comment="\n".join(filter(None, (said.comment.replace("\r\n", "\n").strip(), *lines))),
        label=said.label,
        digest=said.digest,
        plan=plan,
        budget=said.budget,
    )


@router.post("/runs/{run_id}/cancel")
async def cancel(
    request: Request,
    hall: AHall,
    journal: AJournal,
    run_id: ARun,
    csrf: Annotated[str, Form()] = "",
) -> Response:
    """Stop a run, wherever it is driven."""
    require_own_form(request, csrf)
    await journal.request_cancel(run_id, by=hall.person)
    return RedirectResponse(f"/runs/{run_id}", 303)


@router.get("/runs/{run_id}/evidence")
async def evidence(request: Request, journal: AJournal, run_id: ARun) -> Response:
    """What proves each task, as far as it has come."""
    info, known = await journal.info(run_id), await knowledge(journal, run_id)
    return draw(request, "evidence.html", info=info, known=known)


@router.get("/runs/{run_id}/log")
async def log(
    request: Request,
    journal: AJournal,
    run_id: ARun,
    after: Annotated[int, Query(ge=0, le=2**53)] = 0,
) -> Response:
    """Everything that happened, a page at a time."""
    info = await journal.info(run_id)
    records = await journal.read(run_id, after=after, limit=LOG_PAGE)
    more = records[-1].seq if len(records) == LOG_PAGE else None
    events = tuple(filter(None, map(event_of, records)))
    return draw(request, "log.html", info=info, events=events, more=more, after=after)
