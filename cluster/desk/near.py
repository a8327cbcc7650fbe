"""The desk at the store itself: runs are read from the journal, and driven by a house when needed.

Reading and deciding need no cluster. A house is opened only to start a run or to go on with one.
"""

import asyncio
import shutil
from collections.abc import AsyncGenerator, Callable
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    aclosing,
    asynccontextmanager,
    nullcontext,
    suppress,
)
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from actors.evidence import Evidence
from actors.git.source import Source, open_source
from cluster.app import House, open_house, open_store
from cluster.brain import Brain
from cluster.desk import deciding, wire
from cluster.desk.changing import change
from cluster.desk.delivering import brought_home
from cluster.desk.diffs import read_diff
from cluster.desk.known import decisions, knowledge, questions
from cluster.desk.overhearing import Doing
from cluster.desk.protocol import Submitted
from cluster.desk.speaking import doing
from cluster.desk.store import SharedStore
from cluster.desk.troubles import trouble_of
from cluster.desk.views import Views
from cluster.desk.wishing import Wishes, heeding
from cluster.handover.handing import Finished, Handover, hand_over, require_able, whereabouts
from cluster.intake import Order, check_text, repository_path, take_in
from cluster.machines.local_cluster import cluster_status
from cluster.runs.follow import delivered, events, past_events, refuse_abandoned
from cluster.runs.graph import graph
from cluster.settings import Settings
from orchestration.errors import (
    ConflictError,
    GitError,
    InfrastructureError,
    MantaError,
    NotFoundError,
    RunOwnedError,
    UsageError,
    WorkerLostError,
)
from orchestration.events import Event
from orchestration.ids import RunId, new_run_id, parse_run_id
from orchestration.messages import Delivery, FeatureRequest
from orchestration.stories import request_of, unplayed
from orchestration.workflow.facts import ErrorInfo
from orchestration.workflow.journal import Journal, RunInfo, RunStatus
from orchestration.workflow.outcome import outcome_of


class Driver(Protocol):
    """Drives runs: `cluster.app.House`, or whoever stands in for it."""

    @property
    def journal(self) -> Journal: ...

    async def start(self, request: FeatureRequest) -> None: ...

    async def resume(self, run_id: RunId, *, take_over: bool = False) -> None: ...


LEAVING_S, LEAVING_POLL_S = 30.0, 0.2
"""For a supervisor that has seen its run suspended to be gone."""
Housing = Callable[[], AbstractAsyncContextManager[Driver]]


def shared_store(settings: Settings) -> SharedStore:
    """The store as the settings name it, given back between requests where it is locked."""

    def is_shared() -> bool:
        return bool(settings.address or settings.store_url or cluster_status(settings.state_dir))

    return SharedStore(lambda: open_store(settings), is_shared)


def desk_over(journal: Journal, settings: Settings) -> "NearDesk":
    """A desk over a journal that somebody has open."""
    return NearDesk(settings, SharedStore(lambda: nullcontext(journal), lambda: True))


def desk_in(house: House) -> "NearDesk":
    """A desk in a house that somebody has open."""
    store = SharedStore(lambda: nullcontext(house.journal), lambda: True)
    return NearDesk(house.settings, store, lambda: nullcontext(house))


class NearDesk:
    """See `Desk`. Whoever makes one closes the store."""

    def __init__(
        self, settings: Settings, store: SharedStore, housing: Housing | None = None
    ) -> None:
        self.settings, self.store, self.views = settings, store, Views()
        self._housing: Housing = housing or (lambda: open_house(settings))

    # --- taking orders in ----------------------------------------------------------------------

    async def submit(
        self, order: Order, wishes: Wishes | None = None, *, brought: Source | None = None
    ) -> Submitted:
        """See `Desk.submit`. `brought`: what a stranger sent instead of a path to read.

        A repository that was brought is nowhere here, so that its branch waits to be fetched.
        """
        settings = heeding(self.settings, wishes or Wishes())
        run_id = parse_run_id(order.run_id) if order.run_id else new_run_id(order.text)
        is_named = order.run_id is not None
        order = replace(order, text=check_text(order.text), run_id=run_id)
        source = brought or await open_source(order.repository, order.ref)
        if is_named and await self._is_there(run_id, order, source):
            return Submitted(run_id, is_new=False)
        notes: list[str] = []
        if source.is_dirty:
            notes.append(f"uncommitted changes in {source.name} stay as they are, outside of this")
        if brought:
            settings = settings.model_copy(update={"deliver": "branch"})
            request = await self._brought_in(order, settings, notes, source)
        else:
            request, _ = await take_in(order, settings, notes.append, source=source)
            await require_able(settings, request.deliver, order.repository)
        async with self._house() as house:
            await house.journal.put_blob(source.bundle)
            await house.start(request)
        return Submitted(run_id, is_new=True, notes=tuple(notes))

    async def _brought_in(
        self, order: Order, settings: Settings, notes: list[str], source: Source
    ) -> FeatureRequest:
        """Taken in; nothing is left of what cannot be."""
        assert order.run_id, "it was named"
        try:
            request, _ = await take_in(order, settings, notes.append, source=source)
        except (UsageError, GitError) as error:
            place = repository_path(settings, parse_run_id(order.run_id))
            await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)
            if isinstance(error, UsageError):
                raise
            raise UsageError(
                f"this repository is not taken in: {error.what}",
                error.fix or "make its bundle again with `git bundle create`",
            ) from error
        return request.model_copy(update={"origin": ""})

    async def _is_there(self, run_id: RunId, order: Order, source: Source) -> bool:
        """Whether this very run exists; it is then driven, where it is nobody's turn but ours."""
        async with self.store.use() as journal:
            try:
                info = await journal.info(run_id)
            except NotFoundError:
                return False
            known = await request_of(journal, run_id)
            stands_still = await _stands_still(journal, info)
        if (known.text, known.base.commit) != (order.text, source.commit):
            raise ConflictError(
                f"there is another run {run_id}: {known.text[:60]!r} on {known.base.commit[:12]}",
                "leave the id out, or choose another one",
            )
        if stands_still:
            with suppress(RunOwnedError):
                await self.resume(run_id)
        return True

    # --- looking -------------------------------------------------------------------------------

    async def runs(self, *, limit: int = 50, offset: int = 0) -> wire.RunPage:
        async with self.store.use() as journal:
            found = await journal.runs(limit=offset + limit + 1)
        page = tuple(map(wire.RunSummary.of, found[offset : offset + limit]))
        return wire.RunPage(runs=page, next=offset + limit if len(found) > offset + limit else None)

    async def run(self, run_id: RunId) -> wire.RunDetail:
        async with self.store.use() as journal:
            info = await journal.info(run_id)
            request = await request_of(journal, run_id)
            view = (await self.views.of(journal, run_id)).view
            outcome = await outcome_of(journal, unplayed(), run_id)
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
                error=_failure(outcome.error),
                recorded=bool(Brain.model_validate_json(request.brain or "{}").replay),
            )

    async def events(
        self, run_id: RunId, *, after: int = 0, follow: bool = True
    ) -> AsyncGenerator[Event]:
        telling = events if follow else past_events
        async with (
            self.store.use() as journal,
            aclosing(telling(journal, run_id, after=after)) as happened,
        ):
            async for event in happened:
                yield event

    async def doing(self, run_id: RunId) -> Doing:
        return await doing(run_id)

    async def plan(self, run_id: RunId) -> wire.PlanShown:
        async with self.store.use() as journal:
            found = (await knowledge(journal, run_id)).plan
            asked = [q for q in await questions(journal, run_id) if q.label == "plan"]
        if found is None:
            raise NotFoundError(f"run {run_id} has no plan yet", "look again when it was planned")
        return wire.PlanShown(plan=found, asked=wire.Asked.of(asked[0]) if asked else None)

    async def diff(self, run_id: RunId) -> wire.DiffShown:
        async with self.store.use() as journal:
            await journal.info(run_id)
            text = await change(self.settings, journal, run_id)
        return wire.DiffShown(files=tuple(map(wire.ChangedFile.of, read_diff(text))), diff=text)

    async def evidence(self, run_id: RunId) -> Evidence:
        async with self.store.use() as journal:
            delivery = await _delivered(journal, run_id)
            return Evidence.model_validate_json(await journal.get_blob(delivery.evidence))

    async def graph(self, run_id: RunId) -> wire.GraphShown:
        async with self.store.use() as journal:
            text, found = await graph(journal, run_id)
        return wire.GraphShown.model_validate({**found, "text": text})

    async def delivery(self, run_id: RunId) -> tuple[Delivery, bytes]:
        async with self.store.use() as journal:
            delivery = await _delivered(journal, run_id)
            return delivery, await journal.get_blob(delivery.bundle)

    async def patch(self, run_id: RunId) -> bytes:
        async with self.store.use() as journal:
            return await (await Finished.of(journal, self.settings, run_id)).patch()

    async def letter(self, run_id: RunId) -> wire.Letter:
        async with self.store.use() as journal:
            finished = await Finished.of(journal, self.settings, run_id)
            words = await finished.pull_request(finished.delivery.branch)
        return wire.Letter(into=words.into, title=words.title, body=words.body)

    async def hand_over(self, run_id: RunId, *, make: bool, home: Path | None = None) -> Handover:
        async with self.store.use() as journal:
            if not make:
                return await whereabouts(journal, run_id)
            made = await hand_over(journal, self.settings, run_id)
        return await brought_home(self, made, home)

    # --- deciding ------------------------------------------------------------------------------

    async def decide(
        self, run_id: RunId, verdict: deciding.Verdict, *, resume: bool = True
    ) -> wire.Recorded:
        async with self.store.use() as journal:
            label = await deciding.record(journal, run_id, verdict)
            goes_on = resume and await _stands_still(journal, await journal.info(run_id))
        trouble = await self._gone_on(run_id) if goes_on else None
        return wire.Recorded(
            run_id=run_id,
            label=label,
            answer=verdict.answer.value,
            next="" if goes_on and not trouble else f"manta resume {run_id}",
            goes_on=goes_on and not trouble,
            trouble=trouble,
        )

    @asynccontextmanager
    async def _house(self) -> AsyncGenerator[Driver]:
        async with AsyncExitStack() as stack:
            async with self.store.lent():
                house = await stack.enter_async_context(self._housing())
            # Opened now, the store is kept, and with it this process's place in the cluster.
            await stack.enter_async_context(self.store.use())
            yield house

    async def _gone_on(self, run_id: RunId) -> wire.Trouble | None:
        """Go on with a run; the decision stands, whatever is in the way of that."""
        try:
            await self.resume(run_id)
        except RunOwnedError:
            return None
        except MantaError as error:
            return trouble_of(error)
        return None

    async def resume(self, run_id: RunId, *, take_over: bool = False) -> None:
        async with self.store.use() as journal:
            await journal.info(run_id)
        async with self._house() as house:
            await _resumed(house, run_id, take_over=take_over)

    async def cancel(self, run_id: RunId, *, by: str) -> wire.Cancelled:
        async with self.store.use() as journal:
            accepted = await journal.request_cancel(run_id, by=by)
        return wire.Cancelled(run_id=run_id, accepted=accepted)


async def _resumed(house: Driver, run_id: RunId, *, take_over: bool) -> None:
    """Go on with a run, once whoever drove it up to its question has left."""
    now = asyncio.get_running_loop().time
    last = now() + LEAVING_S
    while True:
        try:
            return await house.resume(run_id, take_over=take_over)
        except (RunOwnedError, WorkerLostError):
            info = await house.journal.info(run_id)
            if info.status is not RunStatus.SUSPENDED or now() > last:
                raise
        await asyncio.sleep(LEAVING_POLL_S)


async def _delivered(journal: Journal, run_id: RunId) -> Delivery:
    """A run's delivery, where there is a branch."""
    delivery = await delivered(journal, run_id)
    if delivery is not None and delivery.branch:
        return delivery
    status = (await journal.info(run_id)).status
    why = "it had nothing to do, so there is no branch" if delivery else f"it is {status}"
    raise NotFoundError(f"run {run_id} has delivered nothing: {why}", f"see `manta show {run_id}`")


def _failure(error: ErrorInfo | None) -> wire.Failure | None:
    if error is None:
        return None
    return wire.Failure(what=error.what, fix=error.fix, kind=error.name, exit_code=error.exit_code)


async def _stands_still(journal: Journal, info: RunInfo) -> bool:
    """Whether nobody drives the run although it asks nothing that is open."""
    match info.status:
        case RunStatus.PENDING:
            return True
        case RunStatus.SUSPENDED:
            return not await questions(journal, info.run_id)
        case RunStatus.RUNNING:
            try:
                refuse_abandoned(info)
            except InfrastructureError:
                return True
            return False
        case _:
            return False
