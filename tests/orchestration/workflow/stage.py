"""What the engine's tests share: a journal in memory, quick engines, and small steps."""

import asyncio
import os
import random
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from orchestration.clock import Clock, ManualClock, SystemClock
from orchestration.errors import StoreError
from orchestration.ids import BlobId, RunId, StepGrant, StepKey
from orchestration.workflow.engine import Engine
from orchestration.workflow.in_memory import InMemoryJournal
from orchestration.workflow.journal import Lease, NewRecord, Record, RecordKind
from orchestration.workflow.outcome import RunOutcome, decide
from orchestration.workflow.shape import Flow
from orchestration.workflow.step import StepContext

T = TypeVar("T")
RUN = RunId("run")
LOSES = float(os.environ.get("MANTA_TEST_LOSES", "0"))
"""Share of writes whose acknowledgement is lost: `tests/faults/test_losses.py` sets it."""


class LosingJournal(InMemoryJournal):
    """Makes what an owner or a worker writes durable, and sometimes does not say so."""

    def __init__(self, clock: Clock, share: float) -> None:
        super().__init__(clock)
        self._share = share

    async def append(self, lease: Lease, records: Sequence[NewRecord], **more: Any) -> int:
        return self._perhaps(await super().append(lease, records, **more))

    async def append_under(self, grant: StepGrant, records: Sequence[NewRecord]) -> int:
        return self._perhaps(await super().append_under(grant, records))

    async def put_blob(self, content: bytes) -> BlobId:
        blob = await super().put_blob(content)
        return self._perhaps(blob) if self._runs else blob  # who starts a run is told at once

    def _perhaps(self, outcome: T) -> T:
        if random.random() < self._share:
            raise StoreError("the store did not answer", "ask again")
        return outcome


@dataclass
class Stage:
    """One journal, and engines on it."""

    clock: Clock = field(default_factory=SystemClock)
    journal: InMemoryJournal = field(init=False)

    def __post_init__(self) -> None:
        # Whoever has lost an acknowledgement waits a moment, which nobody would turn by hand.
        loses = 0.0 if isinstance(self.clock, ManualClock) else LOSES
        self.journal = LosingJournal(self.clock, loses) if loses else InMemoryJournal(self.clock)

    def engine(self, owner: str = "owner", **options: Any) -> Engine:
        poll_s = 1.0 if isinstance(self.clock, ManualClock) else 0.01
        options = {"poll_s": poll_s, "dice": lambda: 0.5} | options
        return Engine(self.journal, owner=owner, clock=self.clock, **options)

    async def start(self, flow: Flow[Any, Any], value: object) -> RunOutcome:
        return await self.engine().start(flow, value, run_id=RUN)

    async def resume(self, flow: Flow[Any, Any]) -> RunOutcome:
        return await self.engine().resume(flow, RUN)

    async def answer(self, flow: Flow[Any, Any], answer: str, label: str | None = None) -> bool:
        return await decide(self.journal, flow, RUN, answer, by="tester", label=label)

    async def facts(self, *kinds: RecordKind) -> list[Record]:
        return await self.journal.read(RUN, kinds=kinds or None)

    async def keys(self, *kinds: RecordKind) -> list[StepKey]:
        return [record.step_key for record in await self.facts(*kinds)]

    async def done(self) -> list[StepKey]:
        return await self.keys(RecordKind.DONE)


async def on_manual_clock(
    clock: ManualClock, work: Coroutine[Any, Any, T], *, seconds: float, stride: float = 0.5
) -> T:
    """Run `work` while the clock moves so many seconds; it must end by then."""
    task = asyncio.create_task(work)
    passed = 0.0
    while not task.done() and passed < seconds:
        await settle()
        await clock.advance(stride)
        passed += stride
    await settle()
    assert task.done(), f"still running after {seconds} s"
    return await task


async def settle() -> None:
    """Let everything that can run at once do so."""
    for _ in range(50):
        await asyncio.sleep(0)


async def add_one(value: int) -> int:
    return value + 1


async def double(value: int, ctx: StepContext) -> int:
    return value * 2


async def fails(value: int) -> int:
    raise RuntimeError(f"no luck with {value}")


async def hangs(value: int) -> int:
    await asyncio.Event().wait()
    return value
