"""The hall keeps time: a run that should go on is driven, whoever decided and whatever died.

Three kinds of runs stand still with nobody to blame: a question's default counts by now, a person
has decided, or whoever drove the run is gone. Halls that share a store do no harm to each other: a
run has one owner, and the second one hears so.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from math import inf

from cluster.desk.near import NearDesk, shared_store
from cluster.runs.follow import ABANDONED_S
from cluster.settings import Settings
from orchestration.clock import Clock, SystemClock
from orchestration.errors import InfrastructureError, MantaError, RunOwnedError
from orchestration.ids import RunId
from orchestration.workflow.facts import Phase
from orchestration.workflow.journal import Journal, RecordKind, RunInfo, RunStatus
from orchestration.workflow.storage import load

Drive = Callable[[RunId], Awaitable[None]]
"""Sees to it that a run is driven, such as `Desk.resume`."""
UseStore = Callable[[], AbstractAsyncContextManager[Journal]]

LOOK_S = 30.0
LONGEST_S = 3600.0
"""Between two tries of a run that cannot be driven."""
SOON_S = 2.0
"""After which a run is tried again whose last owner is just leaving."""
PATIENCE_S = 180.0
"""For a run to be taken up, a cluster to be started included."""
RUNS = 2_000
"""The newest ones are looked at; older ones only when a default of theirs counts."""
_log = logging.getLogger(__name__)
_ANSWERS = [
    RecordKind.STARTED,
    RecordKind.SUSPENDED,
    RecordKind.DECIDED,
    RecordKind.DONE,
    RecordKind.FAILED,
]


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a run does not go on, and when it is tried again."""

    error: MantaError
    tries: int
    again_at: float


class Steward:
    """Looks about now and then, and at once when told."""

    def __init__(
        self, use_store: UseStore, drive: Drive | None, clock: Clock | None = None
    ) -> None:
        """Without `drive` nothing is driven; the store is still looked after."""
        self._use_store, self._drive = use_store, drive
        self._clock = clock or SystemClock()
        self._nudge = asyncio.Event()
        self._waiting: dict[RunId, int] = {}
        """Suspended runs that wait for a person, as of which record."""
        self.troubles: dict[RunId, Trouble] = {}

    @property
    def drives(self) -> bool:
        return self._drive is not None

    def look_soon(self, run_id: RunId) -> None:
        """Something was decided in this run: never mind how long ago it was tried."""
        self.troubles.pop(run_id, None)
        self._waiting.pop(run_id, None)
        self._nudge.set()

    async def keep(self) -> None:
        """Look, for as long as the hall is open."""
        while True:
            self._nudge.clear()
            try:
                await self.look()
            except MantaError as error:
                _log.info("the store cannot be looked at: %s", error)
            except Exception:  # noqa: BLE001 - whatever it was, the hall goes on keeping time
                _log.exception("a look at the runs failed")
            with suppress(TimeoutError):
                async with asyncio.timeout(self.until_next_look()):
                    await self._nudge.wait()

    def until_next_look(self) -> float:
        """Seconds."""
        next_try = min((told.again_at for told in self.troubles.values()), default=inf)
        return min(LOOK_S, max(next_try - self._clock.now(), SOON_S))

    async def look(self) -> list[RunId]:
        """Drive every run that should go on and is not put off. Returns those that now do."""
        async with self._use_store() as journal:
            standing = await self._standing(journal)
        self.troubles = {run: told for run, told in self.troubles.items() if run in standing}
        if self._drive is None:
            return []
        now = self._clock.now()
        ready = [run for run in standing if not self._is_put_off(run, now)]
        return [run for run in ready if await self._goes_on(run, self._drive)]

    def _is_put_off(self, run_id: RunId, now: float) -> bool:
        told = self.troubles.get(run_id)
        return told is not None and now < told.again_at

    async def _goes_on(self, run_id: RunId, drive: Drive) -> bool:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await drive(run_id)
        except MantaError as error:
            return self._put_off(run_id, error)
        except Exception as error:  # noqa: BLE001 - one run's trouble must not keep the others
            what = f"run {run_id} could not be taken up: {type(error).__name__} {error}".strip()
            return self._put_off(run_id, InfrastructureError(what, f"see `manta show {run_id}`"))
        self.troubles.pop(run_id, None)
        _log.info("run %s goes on", run_id)
        return True

    def _put_off(self, run_id: RunId, error: MantaError) -> bool:
        """Never try a run that cannot be driven every half minute."""
        before = self.troubles.get(run_id)
        tries = before.tries + 1 if before else 1
        first = SOON_S if isinstance(error, RunOwnedError) else LOOK_S
        wait = min(first * 2 ** (tries - 1), LONGEST_S)
        self.troubles[run_id] = Trouble(error, tries, self._clock.now() + wait)
        _log.warning("run %s does not go on, next try in %d s: %s", run_id, wait, error)
        return False

    async def _standing(self, journal: Journal) -> list[RunId]:
        """Runs that stand still and should not."""
        found = {info.run_id: None for info in await journal.due(limit=RUNS)}
        for info in await journal.runs(limit=RUNS):
            if info.run_id not in found and await self._should_go_on(journal, info):
                found[info.run_id] = None
        return list(found)

    async def _should_go_on(self, journal: Journal, info: RunInfo) -> bool:
        if info.status is RunStatus.RUNNING:
            return bool(info.lease_until) and self._clock.now() > info.lease_until + ABANDONED_S
        if info.status is not RunStatus.SUSPENDED:
            return False
        if self._waiting.get(info.run_id) == info.seq:
            return False
        if await is_answered(journal, info.run_id):
            return True
        self._waiting[info.run_id] = info.seq
        return False


async def is_answered(journal: Journal, run_id: RunId) -> bool:
    """Whether somebody has decided what a suspended run can go on with."""
    if not await journal.read(run_id, kinds=[RecordKind.DECIDED], limit=1):
        return False
    history = await load(journal, run_id, kinds=_ANSWERS)
    return any(past.phase is Phase.DECIDED for past in history.steps.values())


async def resume_due(settings: Settings) -> tuple[list[RunId], dict[RunId, Trouble]]:
    """One look, for whoever keeps time elsewhere, such as cron.

    Returns the runs that now go on, and why others do not. Starts a cluster only for a run.
    """
    desk = NearDesk(settings, shared_store(settings))
    steward = Steward(desk.store.use, desk.resume)
    try:
        return await steward.look(), steward.troubles
    finally:
        await desk.store.close()
