"""The hall's HTTP API, version 1: what other machines and programs do with runs."""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse

from actors.evidence import Evidence
from cluster import shown
from cluster.desk import wire
from cluster.desk.deciding import Verdict, record
from cluster.desk.diffs import read_diff
from cluster.desk.known import decisions, knowledge, questions
from cluster.follow import delivered
from cluster.web import streaming
from cluster.web.hall import AHall, AJournal, ARun, change
from orchestration.approval import Answer
from orchestration.errors import NotFoundError
from orchestration.events import event_of
from orchestration.ids import RunId
from orchestration.stories import request_of, unplayed
from orchestration.workflow.journal import Journal
from orchestration.workflow.outcome import outcome_of

MOST = 2**53
_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": wire.Trouble} for status in (401, 403, 404, 409, 411, 413, 422, 503)
}
router = APIRouter(prefix="/api/v1", responses=_REFUSALS)
After = Annotated[int, Query(ge=0, le=MOST)]


@router.get("/runs")
async def runs(
    journal: AJournal,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    offset: Annotated[int, Query(ge=0, le=100_000)] = 0,
) -> wire.RunPage:
    """Runs, newest first."""
    found = await journal.runs(limit=offset + limit + 1)
    page = tuple(map(wire.RunSummary.of, found[offset : offset + limit]))
    return wire.RunPage(runs=page, next=offset + limit if len(found) > offset + limit else None)


@router.get("/runs/{run_id}")
async def run(hall: AHall, journal: AJournal, run_id: ARun) -> wire.RunDetail:
    """One run as it stands."""
    info = await journal.info(run_id)
    request = await request_of(journal, run_id)
    view = (await hall.views.of(journal, run_id)).view
    error = (await outcome_of(journal, unplayed(), run_id)).error
    return wire.RunDetail(
        run=wire.RunSummary.of(info),
        request=request.text,
        repository=request.repository,
        base=request.base.commit,
        budget=request.budget,
        tasks=wire.RunDetail.tasks_of(view),
        turns=view.turns,
        usage=view.usage,
        questions=tuple(map(wire.Asked.of, await questions(journal, run_id))),
        decisions=tuple(map(wire.DecisionMade.of, await decisions(journal, run_id))),
        delivery=await delivered(journal, run_id),
        error=wire.Trouble(what=error.what, fix=error.fix) if error else None,
    )


@router.get("/runs/{run_id}/events")
async def events(
    journal: AJournal,
    run_id: ARun,
    after: After = 0,
    limit: Annotated[int, Query(ge=1, le=2_000)] = 500,
) -> wire.EventPage:
    """A page of what happened."""
    ended = (await journal.info(run_id)).status.ended
    records = await journal.read(run_id, after=after, limit=limit)
    told = filter(None, map(event_of, records))
    last = records[-1].seq if records else after
    return wire.EventPage(
        events=tuple(map(streaming.item, told)), after=last, ended=ended and len(records) < limit
    )


@router.get(
    "/runs/{run_id}/events/stream",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def event_stream(
    hall: AHall,
    run_id: ARun,
    after: After = 0,
    last_event_id: Annotated[int | None, Header(ge=0, le=MOST)] = None,
) -> StreamingResponse:
    """What happens, as server-sent events; their ids are what `after` takes."""
    async with hall.store.use() as journal:
        await journal.info(run_id)
    return streaming.stream(hall, run_id, after if last_event_id is None else last_event_id)


@router.get("/runs/{run_id}/plan")
async def plan(journal: AJournal, run_id: ARun) -> wire.PlanShown:
    """The plan, and the question about it while that waits."""
    found = (await knowledge(journal, run_id)).plan
    if found is None:
        raise NotFoundError(f"run {run_id} has no plan yet", "look again when it was planned")
    asked = [q for q in await questions(journal, run_id) if q.label == "plan"]
    return wire.PlanShown(plan=found, asked=wire.Asked.of(asked[0]) if asked else None)


@router.get("/runs/{run_id}/diff")
async def diff(hall: AHall, journal: AJournal, run_id: ARun) -> wire.DiffShown:
    """The change so far."""
    await journal.info(run_id)
    text = await change(hall, journal, run_id)
    return wire.DiffShown(files=tuple(map(wire.ChangedFile.of, read_diff(text))), diff=text)


@router.get("/runs/{run_id}/evidence")
async def evidence(journal: AJournal, run_id: ARun) -> Evidence:
    """What proves a delivered change."""
    return Evidence.model_validate_json(await shown.evidence_text(journal, run_id))


@router.get(
    "/runs/{run_id}/bundle",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}}},
)
async def bundle(journal: AJournal, run_id: ARun) -> Response:
    """The delivered branch as a git bundle, built on the base commit."""
    delivery = await delivered(journal, run_id)
    if delivery is None or not delivery.branch:
        raise NotFoundError(f"run {run_id} has delivered nothing", "see how it stands")
    content = await journal.get_blob(delivery.bundle)
    name = {"Content-Disposition": f'attachment; filename="{run_id}.bundle"'}
    return Response(content, media_type="application/octet-stream", headers=name)


@router.post("/runs/{run_id}/approve")
async def approve(journal: AJournal, run_id: ARun, said: wire.Approve) -> wire.Recorded:
    """Approve what the run asks."""
    edited = said.plan.model_dump_json() if said.plan else ""
    verdict = replace(_verdict(Answer.APPROVE, said), plan=edited, budget=said.budget)
    return await _decided(journal, run_id, verdict)


@router.post("/runs/{run_id}/reject")
async def reject(journal: AJournal, run_id: ARun, said: wire.Reject) -> wire.Recorded:
    """Reject what the run asks."""
    return await _decided(journal, run_id, _verdict(Answer.REJECT, said))


@router.post("/runs/{run_id}/request-changes")
async def request_changes(
    journal: AJournal, run_id: ARun, said: wire.RequestChanges
) -> wire.Recorded:
    """Send back what the run asks about, with what to change."""
    return await _decided(journal, run_id, _verdict(Answer.CHANGES, said))


@router.post("/runs/{run_id}/cancel")
async def cancel(journal: AJournal, run_id: ARun, said: wire.Cancel) -> wire.Cancelled:
    """Stop the run, wherever it is driven."""
    accepted = await journal.request_cancel(run_id, by=said.by)
    return wire.Cancelled(run_id=run_id, accepted=accepted)


def _verdict(answer: Answer, said: wire.Approve | wire.Reject | wire.RequestChanges) -> Verdict:
    return Verdict(answer, said.by, comment=said.comment, label=said.label, digest=said.digest)


async def _decided(journal: Journal, run_id: RunId, verdict: Verdict) -> wire.Recorded:
    label = await record(journal, run_id, verdict)
    after = f"manta resume {run_id}"
    return wire.Recorded(run_id=run_id, label=label, answer=verdict.answer.value, next=after)
