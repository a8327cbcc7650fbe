"""A run's events as server-sent events. Their ids are journal numbers, so a stream resumes."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from pydantic import BaseModel
from starlette.responses import StreamingResponse

from cluster.desk.overhearing import Overhear, listening
from cluster.desk.speaking import doing
from cluster.desk.troubles import trouble_of
from cluster.desk.wire import EventItem, Standing
from cluster.runs.follow import events
from cluster.web.hall import Hall
from orchestration.errors import MantaError
from orchestration.ids import RunId
from orchestration.workflow.journal import Journal

RETRY_MS = 4_000
"""After which a browser looks again at a run that nobody drives for now."""
ALIVE_S = 15.0
"""A sign of life after so much silence, so that nobody on the way takes the stream for dead."""


def stream(hall: Hall, run_id: RunId, after: int, *, alive_s: float = ALIVE_S) -> StreamingResponse:
    """Events after a number, until nobody drives the run; `end` when it has ended for good."""
    return StreamingResponse(
        _alive(with_words(_lines(hall, run_id, after), lambda: doing(run_id)), alive_s),
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},
    )


async def _alive(lines: AsyncGenerator[str], alive_s: float) -> AsyncGenerator[str]:
    """The lines, and comments in the silence between them."""
    upcoming = asyncio.ensure_future(anext(lines, None))
    try:
        while True:
            await asyncio.wait([upcoming], timeout=alive_s)
            line = upcoming.result() if upcoming.done() else ": still here\n\n"
            if line is None:
                return
            if upcoming.done():
                upcoming = asyncio.ensure_future(anext(lines, None))
            yield line
    finally:
        upcoming.cancel()
        await asyncio.wait([upcoming])
        await lines.aclose()


async def with_words(lines: AsyncGenerator[str], overhear: Overhear) -> AsyncGenerator[str]:
    """The lines, and between them what models say: without a number, for they are not kept."""
    sources = (lines, _spoken(overhear))
    upcoming = {asyncio.ensure_future(anext(one, None)): one for one in sources}
    try:
        while (line := await _first(upcoming)) is not None:
            yield line
    finally:
        for task in upcoming:
            task.cancel()
        await asyncio.wait(upcoming)
        for source in sources:
            await source.aclose()


async def _first(upcoming: dict["asyncio.Task[str | None]", AsyncGenerator[str]]) -> str | None:
    """What comes first; its source is asked for more."""
    done, _ = await asyncio.wait(upcoming, return_when=asyncio.FIRST_COMPLETED)
    task = done.pop()
    source = upcoming[task]
    if task.result() is not None:
        del upcoming[task]
        upcoming[asyncio.ensure_future(anext(source, None))] = source
    return task.result()


async def _spoken(overhear: Overhear) -> AsyncGenerator[str]:
    async with aclosing(listening(overhear)) as heard:
        async for said in heard:
            yield _message("delta", said)


async def _lines(hall: Hall, run_id: RunId, after: int) -> AsyncGenerator[str]:
    yield f"retry: {RETRY_MS}\n\n"
    try:
        async with hall.store.use() as journal:
            async for line in _told(journal, run_id, after):
                yield line
    except MantaError as error:
        yield _message("trouble", trouble_of(error))


async def _told(journal: Journal, run_id: RunId, after: int) -> AsyncGenerator[str]:
    async with aclosing(events(journal, run_id, after=after)) as happened:
        async for event in happened:
            yield f"id: {event.seq}\ndata: {EventItem.of(event).model_dump_json()}\n\n"
    status = (await journal.info(run_id)).status
    # Browsers look again after a rest; whoever watches from afar goes, as nobody drives the run.
    yield _message("end" if status.ended else "rest", Standing(status=status.value))


def _message(kind: str, data: BaseModel) -> str:
    return f"event: {kind}\ndata: {data.model_dump_json()}\n\n"
