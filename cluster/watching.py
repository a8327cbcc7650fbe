"""A run followed to its end at a door, with the person asked on the way where one is there."""

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from cluster import person, shown
from cluster.app import House
from cluster.asking import ask_person
from cluster.budgets import is_about_budget
from cluster.desk.known import knowledge
from cluster.desk.near import Driver, NearDesk
from cluster.desk.protocol import Desk
from cluster.desk.store import SharedStore
from cluster.follow import follow
from cluster.handing import hand_over
from cluster.options import say, tell
from cluster.progress import is_screen, open_sink
from cluster.settings import Settings
from orchestration.errors import LimitError
from orchestration.ids import RunId
from orchestration.messages import FeatureRequest, Plan
from orchestration.workflow.journal import Journal, RunStatus
from orchestration.workflow.outcome import RunOutcome

WAITING = 3
"""Exit code: a person is asked."""


def desk_in(house: House) -> Desk:
    """A desk in a house that is open."""

    @asynccontextmanager
    async def store() -> AsyncGenerator[Journal]:
        yield house.journal

    @asynccontextmanager
    async def housing() -> AsyncGenerator[Driver]:
        yield house

    return NearDesk(house.settings, SharedStore(store, lambda: True), housing)


async def watch_to_end(
    journal: Journal,
    settings: Settings,
    request: FeatureRequest,
    *,
    as_json: bool,
    after: int = 0,
    desk: Desk | None = None,
) -> int:
    """Follow a run; a stopped door (SIGTERM, as of `ray job stop`) stores a cancel.

    `desk`: where the person at this terminal, if there is one, decides what the run asks.
    """
    run_id = request.run_id
    loop = asyncio.get_running_loop()
    stops: set[asyncio.Task[bool]] = set()
    loop.add_signal_handler(
        signal.SIGTERM,
        lambda: stops.add(loop.create_task(journal.request_cancel(run_id, by="a stopped job"))),
    )

    async def plan() -> Plan | None:
        return (await knowledge(journal, run_id)).plan

    is_tree = is_screen(sys.stdout) and not as_json
    while True:
        with open_sink(request, as_json=as_json, plan=plan) as sink:
            # A tree shows the run as a whole; lines go on after those that were told.
            outcome = await follow(journal, run_id, sink, after=0 if is_tree else after)
        asks = outcome.status is RunStatus.SUSPENDED and desk and person.is_there() and not as_json
        if not asks or not desk or not await ask_person(desk, run_id, person.Person()):
            return await conclude(journal, settings, run_id, outcome, as_json=as_json)
        after = (await journal.info(run_id)).seq


async def conclude(
    journal: Journal, settings: Settings, run_id: RunId, outcome: RunOutcome, *, as_json: bool
) -> int:
    """Say how a run ended, or what it waits for, and hand over what it made."""
    if outcome.status is RunStatus.DONE:
        made = await hand_over(journal, settings, run_id)
        titles = not is_screen(sys.stdout)  # else the tree above has them
        await shown.tell_delivered(journal, settings, made, as_json=as_json, titles=titles)
        return LimitError.exit_code if made.delivery and made.delivery.undone else 0
    if outcome.status is RunStatus.SUSPENDED:
        labels = [waiting.label for waiting in outcome.suspensions]
        tell(as_json, "waiting", shown.waiting(run_id, labels), run_id=run_id, labels=labels)
        return LimitError.exit_code if all(map(is_about_budget, labels)) else WAITING
    error = outcome.error
    what = error.what if error else f"run {run_id} is {outcome.status}"
    fix = error.fix if error else ""
    code = error.exit_code if error else 1
    tell(as_json, "failed", "", run_id=run_id, status=outcome.status, what=what, fix=fix)
    say(f"manta: {what}" + (f"\n  fix: {fix}" if fix else ""))
    return code
