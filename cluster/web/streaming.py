"""A run's events as server-sent events. Their ids are journal numbers, so a stream resumes."""

import json
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing

from starlette.responses import StreamingResponse

from cluster.desk.wire import EventItem
from cluster.follow import events
from cluster.web.hall import Hall
from orchestration.errors import MantaError
from orchestration.ids import RunId
from orchestration.workflow.journal import Journal

RETRY_MS = 4_000
"""After which a browser looks again at a run that nobody drives for now."""


def stream(hall: Hall, run_id: RunId, after: int) -> StreamingResponse:
    """Events after a number, until nobody drives the run; `end` when it has ended for good."""
    return StreamingResponse(
        _lines(hall, run_id, after),
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},
    )


async def _lines(hall: Hall, run_id: RunId, after: int) -> AsyncGenerator[str]:
    yield f"retry: {RETRY_MS}\n\n"
    try:
        async with hall.store.use() as journal:
            async for line in _told(journal, run_id, after):
                yield line
    except MantaError as error:
        yield _message("trouble", {"what": error.what, "fix": error.fix})


async def _told(journal: Journal, run_id: RunId, after: int) -> AsyncIterable[str]:
    async with aclosing(events(journal, run_id, after=after)) as happened:
        async for event in happened:
            yield f"id: {event.seq}\ndata: {EventItem.of(event).model_dump_json()}\n\n"
    status = (await journal.info(run_id)).status
    # Browsers look again after a rest; whoever watches from afar goes, as nobody drives the run.
    yield _message("end" if status.ended else "rest", {"status": status.value})


def _message(kind: str, data: dict[str, str]) -> str:
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n"
