"""A run followed to its end at a door, with the person asked on the way where one is there."""

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from cluster.brain import Brain
from cluster.desk.overhearing import listening
from cluster.desk.protocol import Desk
from cluster.desk.wire import Cancelled, RunDetail
from cluster.hooks import Hooks, ring
from cluster.runs.budgets import is_about_budget
from cluster.terminal import person, shown
from cluster.terminal.asking import ask_person
from cluster.terminal.options import say, tell
from cluster.terminal.progress import TreeSink, is_screen, open_sink
from orchestration.errors import LimitError, NotFoundError
from orchestration.events import Event, EventSink
from orchestration.ids import CommitId, RunId
from orchestration.messages import FeatureRequest, Plan, TreeRef

WAITING = 3
"""Exit code: a person is asked."""


async def watch_to_end(
    desk: Desk,
    run_id: RunId,
    *,
    as_json: bool,
    after: int = 0,
    asks: bool = False,
    home: Path | None = None,
    hooks: Hooks | None = None,
) -> int:
    """Follow a run; a stopped door (SIGTERM, as of `ray job stop`) stores a cancel.

    `asks`: the person at this terminal, if there is one, decides what the run asks. `home`: a
    repository that gets the branch, where the run itself knows of none here. `hooks`: the person's
    own commands for when it waits or ends.
    """
    request = shown_request(await desk.run(run_id))
    loop = asyncio.get_running_loop()
    stops: set[asyncio.Task[Cancelled]] = set()
    loop.add_signal_handler(
        signal.SIGTERM,
        lambda: stops.add(loop.create_task(desk.cancel(run_id, by="a stopped job"))),
    )

    async def plan() -> Plan | None:
        try:
            return (await desk.plan(run_id)).plan
        except NotFoundError:
            return None

    is_tree = is_screen(sys.stdout) and not as_json
    while True:
        # A tree shows the run as a whole; lines go on after those that were told.
        begin = 0 if is_tree else after
        with open_sink(request, as_json=as_json, plan=plan) as sink:
            async with _overheard(desk, run_id, sink):
                await _told(desk.events(run_id, after=begin), sink)
        detail = await desk.run(run_id)
        if detail.run.status in {"running", "pending"}:  # somebody had it go on just now
            after = detail.run.seq
            continue
        await ring(hooks or {}, detail, say)
        asked = asks and not as_json and detail.run.status == "suspended" and person.is_there()
        if not asked or not await ask_person(desk, run_id, person.Person()):
            return await conclude(desk, detail, as_json=as_json, home=home)
        after = (await desk.run(run_id)).run.seq


@asynccontextmanager
async def _overheard(desk: Desk, run_id: RunId, sink: EventSink) -> AsyncGenerator[None]:
    """What models say meanwhile, for a sink that paints it."""
    if not isinstance(sink, TreeSink):
        yield
        return
    listener = asyncio.create_task(_listen(desk, run_id, sink))
    try:
        yield
    finally:
        listener.cancel()
        await asyncio.wait([listener])


async def _listen(desk: Desk, run_id: RunId, sink: TreeSink) -> None:
    async with aclosing(listening(lambda: desk.doing(run_id))) as heard:
        async for said in heard:
            sink.hear(said.words)


async def _told(events: AsyncGenerator[Event], sink: EventSink) -> None:
    async with aclosing(events):
        async for event in events:
            await sink.emit(event)


async def conclude(
    desk: Desk, detail: RunDetail, *, as_json: bool, home: Path | None = None
) -> int:
    """Say how a run ended, or what it waits for, and hand over what it made."""
    run_id, status = RunId(detail.run.run_id), detail.run.status
    if status == "done":
        made = await desk.hand_over(run_id, make=True, home=home)
        titles = not is_screen(sys.stdout)  # else the tree above has them
        await shown.tell_delivered(desk, made, as_json=as_json, titles=titles)
        return LimitError.exit_code if made.delivery and made.delivery.undone else 0
    if status == "suspended":
        labels = [question.label for question in detail.questions]
        tell(as_json, "waiting", shown.waiting(run_id, labels), run_id=run_id, labels=labels)
        return LimitError.exit_code if all(map(is_about_budget, labels)) else WAITING
    error = detail.error
    what = error.what if error else f"run {run_id} is {status}"
    fix = error.fix if error else ""
    code = error.exit_code if error else 1
    tell(as_json, "failed", "", run_id=run_id, status=status, what=what, fix=fix)
    say(f"manta: {what}" + (f"\n  fix: {fix}" if fix else ""))
    return code


def shown_request(detail: RunDetail) -> FeatureRequest:
    """What a run was asked for, as far as it is shown: elsewhere nothing else of it is known."""
    return FeatureRequest(
        run_id=RunId(detail.run.run_id),
        text=detail.request,
        repository=detail.repository,
        base=TreeRef(commit=CommitId(detail.base), bundles=()),
        budget=detail.budget,
        brain=Brain(replay="a recording").model_dump_json() if detail.recorded else "",
    )
