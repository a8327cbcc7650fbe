"""Watching a run from a door, and bringing its branch home when it ends."""

import asyncio
import time
from collections.abc import AsyncGenerator
from pathlib import Path

from actors.git.notes import annotate
from actors.git.source import deliver
from orchestration.errors import InfrastructureError
from orchestration.events import Event, EventSink, event_of
from orchestration.ids import RunId
from orchestration.messages import Delivery
from orchestration.stories import request_of, unplayed
from orchestration.workflow.journal import Journal, RunInfo, RunStatus
from orchestration.workflow.outcome import RunOutcome, outcome_of

POLL_S = 1.0
ABANDONED_S = 60.0
"""Seconds after a lease's end from which on nobody is taken to drive the run. With Ray's own health
checks a lost node is noticed after 17 s; its supervisor then has to start on another one."""


async def events(journal: Journal, run_id: RunId, *, after: int = 0) -> AsyncGenerator[Event]:
    """A run's events from `after` on, until it is no longer driven.

    Raises:
        InfrastructureError: nobody drives it any more although it has not ended.
    """
    while True:
        info = await journal.info(run_id)
        while records := await journal.read(run_id, after=after, limit=500):
            after = records[-1].seq
            for event in filter(None, map(event_of, records)):
                yield event
        if info.status not in {RunStatus.RUNNING, RunStatus.PENDING}:
            return
        refuse_abandoned(info)
        await journal.wait(run_id, after=after, timeout_s=POLL_S)


async def past_events(journal: Journal, run_id: RunId, *, after: int = 0) -> AsyncGenerator[Event]:
    """What has happened by now."""
    await journal.info(run_id)
    while records := await journal.read(run_id, after=after, limit=500):
        after = records[-1].seq
        for event in filter(None, map(event_of, records)):
            yield event


def refuse_abandoned(info: RunInfo) -> None:
    """Raise when the lease ended a while ago."""
    if info.lease_until and time.time() > info.lease_until + ABANDONED_S:
        raise InfrastructureError(
            f"nobody drives run {info.run_id} any more", f"go on with `manta resume {info.run_id}`"
        )


async def follow(journal: Journal, run_id: RunId, sink: EventSink, *, after: int = 0) -> RunOutcome:
    """Show a run until it ends or waits for a person; deliver its branch if it can be."""
    async for event in events(journal, run_id, after=after):
        await sink.emit(event)
    return await outcome_of(journal, unplayed(), run_id)


async def bring_home(journal: Journal, run_id: RunId) -> tuple[Delivery, Path] | None:
    """A finished run's branch as a new ref in the repository it came from, if that is here.

    None when the run is not delivered, or its repository is elsewhere: then see `manta fetch`.
    """
    delivery = await delivered(journal, run_id)
    request = await request_of(journal, run_id)
    origin = Path(request.origin)
    if delivery is None or not delivery.branch or not origin.is_absolute():
        return None
    if not await asyncio.to_thread(origin.exists):
        return None
    await fetch(journal, delivery, origin, delivery.branch)
    return delivery, origin


async def delivered(journal: Journal, run_id: RunId) -> Delivery | None:
    """What a run delivered, or None if it has not."""
    outcome = await outcome_of(journal, unplayed(), run_id)
    if outcome.status is not RunStatus.DONE or outcome.output is None:
        return None
    return Delivery.model_validate(outcome.output)


async def fetch(journal: Journal, delivery: Delivery, repository: Path, branch: str) -> None:
    """Make `branch` in a repository, with its evidence as a git note.

    The working tree, index, hooks and config stay untouched.
    """
    bundle = await journal.get_blob(delivery.bundle)
    evidence = await journal.get_blob(delivery.evidence)
    await make_branch(delivery, bundle, evidence, repository, branch)


async def make_branch(
    delivery: Delivery, bundle: bytes, evidence: bytes, repository: Path, branch: str
) -> None:
    """The same of what is here already."""
    await deliver(repository, bundle, branch, delivery.tree.commit)
    await annotate(repository, delivery.tree.commit, evidence)
