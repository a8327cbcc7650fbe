"""Pages: the list of runs, one run with its questions, its evidence and its log."""

import time
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from cluster.desk.deciding import Verdict
from cluster.desk.known import Knowledge, decisions, knowledge, questions
from cluster.runs.follow import delivered, refuse_abandoned
from cluster.runs.view import RunView
from cluster.web.drawing import page
from cluster.web.entering import browser_of, require_own_form, session_of
from cluster.web.forms import DecisionForm
from cluster.web.graphs import graph
from cluster.web.hall import AHall, AJournal, ARun, Hall, hall_of
from cluster.web.listing import MOST, listing
from cluster.web.planning import edited_plan, plan_fields
from cluster.web.proofs import marks
from orchestration.approval import Answer
from orchestration.errors import (
    ConflictError,
    InfrastructureError,
    MantaError,
    RunOwnedError,
    UsageError,
)
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
    heap: Literal["all", "waiting", "running", "done", "failed"] = "all",
    words: Annotated[str, Query(alias="q", max_length=200)] = "",
) -> Response:
    """The runs, newest first, with what goes on in those that go on."""
    listed = listing(await journal.runs(limit=MOST), heap, words, number, PAGE)
    shown = [(info, await _live(hall, journal, info)) for info in listed.runs]
    return draw(request, "runs.html", runs=shown, listed=listed)


async def _live(hall: Hall, journal: Journal, info: RunInfo) -> RunView | None:
    """What goes on in a run that has not ended."""
    return None if info.status.ended else (await hall.views.of(journal, info.run_id)).view


@router.get("/runs/{run_id}")
async def run(request: Request, hall: AHall, journal: AJournal, run_id: ARun) -> Response:
    """One run."""
    return draw(request, "run.html", **await _facts(hall, journal, run_id))


async def _facts(
    hall: Hall, journal: Journal, run_id: RunId, given: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """All that the page of a run shows. `given`: a form that was refused, to be mended."""
    info = await journal.info(run_id)
    watched = await hall.views.of(journal, run_id)
    known = await knowledge(journal, run_id)
    outcome = await outcome_of(journal, unplayed(), run_id)
    return {
        "info": info,
        "known": known,
        "fields": plan_fields(known.plan, given) if known.plan else (),
        "view": watched.view,
        "recent": tuple(watched.recent)[::-1],
        "graph": graph(known.plan, watched.view.rows),
        "questions": await questions(journal, run_id),
        "decisions": await decisions(journal, run_id),
        "delivery": await delivered(journal, run_id),
        "error": outcome.error,
        "standstill": _standstill(hall, info),
        "trouble": None,
        "drives": hall.drives,
        "has_diff": has_diff(known),
        "person": hall.person,
        "given": given or {},
    }


def _standstill(hall: Hall, info: RunInfo) -> MantaError | None:
    """Why a run does not go on although it should."""
    put_off = hall.steward.troubles.get(info.run_id)
    if put_off and not isinstance(put_off.error, RunOwnedError):
        return put_off.error
    try:
        if info.status is RunStatus.RUNNING:
            refuse_abandoned(info)
    except InfrastructureError as error:
        return error
    return None


def has_diff(known: Knowledge) -> bool:
    """Whether there is a change to look at."""
    return known.dossier is not None and known.dossier.tree.commit != known.request.base.commit


@router.post("/runs/{run_id}/decide")
async def decide(
    request: Request, hall: AHall, run_id: ARun, said: Annotated[DecisionForm, Form()]
) -> Response:
    """Record what a person decided about what they saw; the run goes on when nothing is asked."""
    await require_own_form(request)
    given = {k: v for k, v in (await request.form()).items() if isinstance(v, str)}
    browser = browser_of(request)
    try:
        async with hall.store.use() as journal:
            verdict = await _verdict(hall, journal, run_id, said, given, browser)
        # Nobody waits for a cluster to start: the steward looks at once.
        await hall.desk.decide(run_id, verdict, resume=False)
    except (UsageError, ConflictError) as error:
        async with hall.store.use() as journal:
            facts = await _facts(hall, journal, run_id, given)
        status = 409 if isinstance(error, ConflictError) else 422
        return draw(request, "run.html", status=status, **facts | {"trouble": error})
    hall.steward.look_soon(run_id)
    if said.label == "delivery":
        await hall.drafts.drop(browser, run_id)
    return RedirectResponse(f"/runs/{run_id}#decisions", 303)


async def _verdict(
    hall: Hall,
    journal: Journal,
    run_id: RunId,
    said: DecisionForm,
    given: Mapping[str, str],
    browser: str,
) -> Verdict:
    """The form's decision; comments on lines go with a wish for changes."""
    drafts = await hall.drafts.of(browser, run_id) if said.label == "delivery" else ()
    lines = [draft.sentence() for draft in drafts if said.answer is Answer.CHANGES]
    plan = None
    if said.label == "plan" and said.answer is Answer.APPROVE:
        shown = (await knowledge(journal, run_id)).plan
        plan = edited_plan(shown, given) if shown else None
    return Verdict(
        said.answer,
        said.by.strip() or hall.person,
        comment="\n".join(filter(None, (said.comment.replace("\r\n", "\n").strip(), *lines))),
        label=said.label,
        digest=said.digest,
        plan=plan.model_dump_json() if plan else "",
        budget=said.budget,
    )


@router.post("/runs/{run_id}/cancel")
async def cancel(request: Request, hall: AHall, journal: AJournal, run_id: ARun) -> Response:
    """Stop a run, wherever it is driven."""
    await require_own_form(request)
    await journal.request_cancel(run_id, by=hall.person)
    return RedirectResponse(f"/runs/{run_id}", 303)


@router.get("/runs/{run_id}/evidence")
async def evidence(request: Request, journal: AJournal, run_id: ARun) -> Response:
    """What proves each task, as far as it has come."""
    info, known = await journal.info(run_id), await knowledge(journal, run_id)
    proofs = [(work, marks(work)) for work in known.works]
    return draw(request, "evidence.html", info=info, known=known, proofs=proofs)


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
