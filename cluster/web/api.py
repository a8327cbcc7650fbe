"""The hall's HTTP API, version 1: what other machines and programs do with runs."""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Form, Header, Query, Response, UploadFile
from fastapi.responses import StreamingResponse
from pydantic import ValidationError

from actors.evidence import Evidence
from cluster.desk import wire
from cluster.desk.bringing import brought, keep_recording
from cluster.desk.deciding import Verdict
from cluster.desk.overhearing import Doing
from cluster.desk.wishing import Wishes
from cluster.intake import Order
from cluster.web import streaming
from cluster.web.hall import ADesk, AHall, AJournal, ARun
from orchestration.approval import Answer
from orchestration.errors import UsageError
from orchestration.events import event_of

MOST = 2**53
_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": wire.Trouble} for status in (400, 401, 403, 404, 409, 411, 413, 422, 500, 503)
}
router = APIRouter(prefix="/api/v1", responses=_REFUSALS)
After = Annotated[int, Query(ge=0, le=MOST)]


@router.get("/runs")
async def runs(
    desk: ADesk,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    offset: Annotated[int, Query(ge=0, le=100_000)] = 0,
) -> wire.RunPage:
    """Runs, newest first."""
    return await desk.runs(limit=limit, offset=offset)


@router.post("/runs")
async def submit(
    desk: ADesk,
    submission: Annotated[str, Form(max_length=100_000)],
    bundle: UploadFile,
    recording: UploadFile | None = None,
) -> wire.Begun:
    """Begin a run on the repository in `bundle`; `submission` is JSON of the form Submission.

    The hall's own settings hold; what is wished can only add care to them. Sending the same run id
    again attaches. `recording` is played back in place of models.
    """
    said = _submission(submission)
    replay = None
    if recording is not None:
        place = desk.settings.state_dir / "recordings"
        replay = await keep_recording(place, await recording.read(wire.MAX_RECORDING + 1))
    order = Order(said.text, said.repository, ref=said.ref, run_id=said.run_id, replay=replay)
    wishes = Wishes(said.approve, said.budget, said.model, said.test_command)
    source = brought(said.repository, said.ref, await bundle.read(wire.MAX_BUNDLE + 1))
    begun = await desk.submit(order, wishes, brought=source)
    return wire.Begun(run_id=begun.run_id, is_new=begun.is_new, notes=begun.notes)


@router.get("/runs/{run_id}")
async def run(desk: ADesk, run_id: ARun) -> wire.RunDetail:
    """One run as it stands."""
    return await desk.run(run_id)


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
        events=tuple(map(wire.EventItem.of, told)),
        after=last,
        ended=ended and len(records) < limit,
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
async def plan(desk: ADesk, run_id: ARun) -> wire.PlanShown:
    """The plan, and the question about it while that waits."""
    return await desk.plan(run_id)


@router.get("/runs/{run_id}/diff")
async def diff(desk: ADesk, run_id: ARun) -> wire.DiffShown:
    """The change so far."""
    return await desk.diff(run_id)


@router.get("/runs/{run_id}/evidence")
async def evidence(desk: ADesk, run_id: ARun) -> Evidence:
    """What proves a delivered change."""
    return await desk.evidence(run_id)


@router.get(
    "/runs/{run_id}/bundle",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}}},
)
async def bundle(desk: ADesk, run_id: ARun) -> Response:
    """The delivered branch as a git bundle, built on the base commit."""
    _, content = await desk.delivery(run_id)
    name = {"Content-Disposition": f'attachment; filename="{run_id}.bundle"'}
    return Response(content, media_type="application/octet-stream", headers=name)


@router.get(
    "/runs/{run_id}/patch",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}}},
)
async def patch(desk: ADesk, run_id: ARun) -> Response:
    """The delivered change as one mail, for `git am` and `git apply`."""
    content = await desk.patch(run_id)
    name = {"Content-Disposition": f'attachment; filename="{run_id}.patch"'}
    return Response(content, media_type="application/octet-stream", headers=name)


@router.get("/runs/{run_id}/letter")
async def letter(desk: ADesk, run_id: ARun) -> wire.Letter:
    """The delivered change in the words of a pull request."""
    return await desk.letter(run_id)


@router.get("/runs/{run_id}/doing")
async def doing(desk: ADesk, run_id: ARun) -> Doing:
    """What models say right now, as far as they stream."""
    return await desk.doing(run_id)


@router.get("/runs/{run_id}/graph")
async def graph(desk: ADesk, run_id: ARun) -> wire.GraphShown:
    """The workflow that the run plays, and its steps so far."""
    return await desk.graph(run_id)


@router.post("/runs/{run_id}/approve")
async def approve(desk: ADesk, run_id: ARun, said: wire.Approve) -> wire.Recorded:
    """Approve what the run asks."""
    edited = said.plan.model_dump_json() if said.plan else ""
    verdict = replace(_verdict(Answer.APPROVE, said), plan=edited, budget=said.budget)
    return await desk.decide(run_id, verdict, resume=said.resume)


@router.post("/runs/{run_id}/reject")
async def reject(desk: ADesk, run_id: ARun, said: wire.Reject) -> wire.Recorded:
    """Reject what the run asks."""
    return await desk.decide(run_id, _verdict(Answer.REJECT, said), resume=said.resume)


@router.post("/runs/{run_id}/request-changes")
async def request_changes(desk: ADesk, run_id: ARun, said: wire.RequestChanges) -> wire.Recorded:
    """Send back what the run asks about, with what to change."""
    return await desk.decide(run_id, _verdict(Answer.CHANGES, said), resume=said.resume)


@router.post("/runs/{run_id}/resume")
async def resume(desk: ADesk, run_id: ARun, said: wire.Resume) -> wire.Resumed:
    """Go on with a run that was left behind, or whose questions are answered."""
    await desk.resume(run_id, take_over=said.take_over)
    return wire.Resumed(run_id=run_id)


@router.post("/runs/{run_id}/cancel")
async def cancel(desk: ADesk, run_id: ARun, said: wire.Cancel) -> wire.Cancelled:
    """Stop the run, wherever it is driven."""
    return await desk.cancel(run_id, by=said.by)


def _verdict(answer: Answer, said: wire.Approve | wire.Reject | wire.RequestChanges) -> Verdict:
    return Verdict(answer, said.by, comment=said.comment, label=said.label, digest=said.digest)


def _submission(text: str) -> wire.Submission:
    try:
        return wire.Submission.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(("submission", *map(str, first["loc"])))
        what = f"{where}: {first['msg']}".encode(errors="replace").decode()
        raise UsageError(what, "correct it and submit again") from None
