"""Looks on while a run is driven: reads what its journal says, now and then, and counts it."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from actors.meter import RUNS_NOW, Meter
from actors.supervisor import Witness
from cluster.telemetry.tally import GATES, HEARD, Tally
from orchestration.errors import NotFoundError
from orchestration.events import event_of
from orchestration.ids import RunId
from orchestration.workflow.facts import read_output
from orchestration.workflow.journal import Journal, Record, RecordKind
from orchestration.workflow.storage import unspilled

LOOK_S = 1.0
PATIENCE_S = 2.0
"""What a run's beginning or end waits for its figures at most."""
_TAIL = 50
_log = logging.getLogger(__name__)


async def nothing() -> None:
    """Do nothing."""


def counting(
    meter: Meter, *, then: Callable[[], Awaitable[None]] = nothing, look_s: float = LOOK_S
) -> Witness:
    """A witness that tells a meter; `then` is called when it has told all."""

    @asynccontextmanager
    async def witness(journal: Journal, run_id: RunId, restarted: bool) -> AsyncGenerator[None]:
        reading = _Reading(journal, run_id, Tally(meter, restarted=restarted))
        await _bounded(reading.begin())
        looking = asyncio.create_task(reading.keep_on(look_s), name=f"figures of {run_id}")
        meter.set(RUNS_NOW, 1)
        try:
            yield
        finally:
            looking.cancel()
            await asyncio.wait([looking])
            await _bounded(reading.end())
            meter.set(RUNS_NOW, 0)
            await _bounded(then())

    return witness


def both(first: Witness, second: Witness) -> Witness:
    """Two witnesses of the same run."""

    @asynccontextmanager
    async def witness(journal: Journal, run_id: RunId, restarted: bool) -> AsyncGenerator[None]:
        async with first(journal, run_id, restarted), second(journal, run_id, restarted):
            yield

    return witness


async def _bounded(work: Awaitable[None]) -> None:
    """Do it within a moment, or leave it."""
    try:
        await asyncio.wait_for(work, PATIENCE_S)
    except Exception as error:  # noqa: BLE001 - a door: figures never fail the work
        _log.warning("figures are missing: %r", error)


class _Reading:
    """How far one run's journal was read."""

    def __init__(self, journal: Journal, run_id: RunId, tally: Tally) -> None:
        self._journal, self._run_id, self._tally = journal, run_id, tally
        self._after = 0

    async def begin(self) -> None:
        """Find where this drive begins: answers given while nobody drove belong to it."""
        try:
            self._after = (await self._journal.info(self._run_id)).seq
        except NotFoundError:
            return
        tail = await self._journal.read(self._run_id, after=max(0, self._after - _TAIL))
        while tail and tail[-1].kind is RecordKind.DECIDED:
            self._after = tail.pop().seq - 1
        for record in await self._journal.read(self._run_id, kinds=[RecordKind.SUSPENDED]):
            if record.seq <= self._after:
                self._tally.remember(await unspilled(self._journal, record))

    async def keep_on(self, every_s: float) -> None:
        """Look now and then until cancelled; what goes wrong ends the looking, never the run."""
        try:
            while True:
                await asyncio.sleep(every_s)
                await self._look()
        except Exception as error:  # noqa: BLE001 - a door: figures never fail the work
            _log.warning("run %s is no longer counted: %r", self._run_id, error)

    async def end(self) -> None:
        """What was written since, and how the run stands."""
        await self._look()
        self._tally.rest((await self._journal.info(self._run_id)).status)

    async def _look(self) -> None:
        while records := await self._journal.read(
            self._run_id, after=self._after, kinds=HEARD, limit=500
        ):
            for stored in records:
                record = await unspilled(self._journal, stored)
                self._tally.hear(record, await self._output(record))
                self._after = record.seq

    async def _output(self, record: Record) -> str:
        """What a gate's step gave, as JSON."""
        event = event_of(record) if record.kind is RecordKind.DONE else None
        if event is None or event.step not in GATES:
            return ""
        text = read_output(record.body)[1]
        if text.blob is None:
            return text.inline or ""
        return (await self._journal.get_blob(text.blob)).decode()
