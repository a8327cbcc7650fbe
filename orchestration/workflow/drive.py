"""One run, driven under one lease: records made durable first, commands performed afterwards."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from orchestration.clock import Clock
from orchestration.errors import ConflictError, MantaError, NotFoundError, RunOwnedError
from orchestration.ids import StepKey
from orchestration.workflow.codec import codec
from orchestration.workflow.facts import History, read_output
from orchestration.workflow.guard import Guard
from orchestration.workflow.inbox import Inbox, Lost
from orchestration.workflow.journal import (
    Journal,
    Lease,
    NewRecord,
    RecordKind,
    RunStatus,
    cancelled_body,
)
from orchestration.workflow.machine import Machine
from orchestration.workflow.outcome import OpenSuspension, RunOutcome, outcome_of
from orchestration.workflow.performer import Performer
from orchestration.workflow.shape import Flow
from orchestration.workflow.signals import CancelRequested, Command, Start, Stop, TakeDefault, Wake
from orchestration.workflow.storage import Storage, fetch, loaded
from orchestration.workflow.values import Stored


@dataclass(frozen=True, slots=True)
class Terms:
    """How an owner drives its runs."""

    journal: Journal
    owner: str
    clock: Clock
    lease_ttl_s: float
    poll_s: float
    """How soon a cancel or an answer stored by others is noticed."""
    grace_s: float
    """How long a cancelled step may take to end."""
    dice: Callable[[], float]
    """Numbers between 0 and 1, for the jitter of retries."""


class Drive:
    """One run being driven under one lease."""

    def __init__(
        self,
        terms: Terms,
        flow: Flow[Any, Any],
        lease: Lease,
        history: History,
        *,
        asked_at: float,
        steps: int | None,
    ) -> None:
        """`asked_at`: the clock's ticks before the lease was asked for."""
        self.steps_left = steps
        self.terms, self.flow, self.run_id = terms, flow, lease.run_id
        self.journal, self.clock = terms.journal, terms.clock
        self.inbox = Inbox()
        self.guard = Guard(
            terms.journal,
            terms.clock,
            lease,
            asked_at=asked_at,
            ttl_s=terms.lease_ttl_s,
            poll_s=terms.poll_s,
            inbox=self.inbox,
            listening=lambda: self.machine.is_asking,
        )
        self.guard.heard(history.seq)
        self.storage = Storage(
            self.journal,
            self.clock,
            lambda: not self.guard.is_late,
            lambda error: self.inbox.put(Lost(error)),
        )
        self.performer = Performer(
            self.storage,
            self.clock,
            self.guard,
            self.inbox,
            terms.dice,
            grace_s=terms.grace_s,
        )
        value = Stored(read_output(history.created)[1], codec(flow.takes))
        self.machine = Machine(flow, history, value, self.guard.now())
        if history.cancel_requested:
            self.machine.advance(CancelRequested(), self.guard.now())

    async def go(self) -> RunOutcome:
        """Drive until the run ends, or waits for people."""
        watch = asyncio.create_task(self.guard.watch())
        try:
            while True:
                outcome = await self._round()
                if outcome is not None:
                    return outcome
        except asyncio.CancelledError:
            await self.performer.stop_all()
            with suppress(MantaError):
                await self.journal.release(self.guard.lease, RunStatus.PENDING)
            raise
        finally:
            watch.cancel()
            await self.performer.stop_all()

    async def _round(self) -> RunOutcome | None:
        machine = self.machine
        while machine.missing is not None:
            await fetch(self.journal, machine.missing)
            machine.supplied()
        if machine.ended is not None:
            return await self._finish(machine.ended)
        records, commands = machine.take_records(), machine.take_commands()
        if self.steps_left is not None:
            records, commands = self._within_budget(records, commands)
        if records:
            await self.storage.append(self.guard.lease, records)
        await self._perform(commands)
        if self.steps_left == 0 and self.performer.is_idle and not machine.waits_for_people:
            return await self._pause()
        if machine.waits_for_people and self.inbox.is_empty:
            return await self._suspend()
        for event in await self.inbox.take():
            if isinstance(event, Lost):
                raise event.error
            machine.advance(event, self.guard.now())
        return None

    def _within_budget(
        self, records: list[NewRecord], commands: list[Command]
    ) -> tuple[list[NewRecord], list[Command]]:
        """Without the attempts that are too many; whoever goes on later makes them anew."""
        too_many: set[StepKey] = set()
        for command in commands:
            if isinstance(command, Start):
                if self.steps_left:
                    self.steps_left -= 1
                else:
                    too_many.add(command.key)
        return (
            [r for r in records if r.kind is not RecordKind.STARTED or r.step_key not in too_many],
            [c for c in commands if c.key not in too_many],
        )

    async def _pause(self) -> RunOutcome | None:
        self.guard.is_holding = False
        try:
            await self.storage.append(self.guard.lease, (), status=RunStatus.PENDING, release=True)
        except ConflictError:  # a cancel was requested
            self.guard.is_holding = True
            self.machine.advance(CancelRequested(), self.guard.now())
            return None
        return RunOutcome(self.run_id, RunStatus.PENDING)

    async def _perform(self, commands: list[Command]) -> None:
        if stops := [c.key for c in commands if isinstance(c, Stop)]:
            await self.performer.stop(stops)
        for command in commands:
            match command:
                case Start():
                    self.performer.start(command)
                case Wake():
                    self.performer.wake(command)
                case TakeDefault(label=label, answer=answer):
                    await self._take_default(label, answer)
                case Stop():
                    pass

    async def _take_default(self, label: str, answer: str) -> None:
        # A person may have been quicker: then theirs stands, and is heard like this one.
        with suppress(ConflictError, NotFoundError):
            await self.journal.decide(self.run_id, label, answer, by="deadline")
        await self.guard.listen()

    async def _suspend(self) -> RunOutcome | None:
        """Give the run up until somebody answers; None when that happened meanwhile."""
        now, moments = self.guard.now(), list[float]()
        for asked in self.machine.suspensions.values():
            if asked.default is not None and asked.deadline is not None:
                moments.append(asked.deadline)
                if asked.deadline <= now:
                    await self._take_default(asked.label, asked.default)
        if not self.inbox.is_empty:
            return None
        self.guard.is_holding = False
        try:
            await self.storage.append(
                self.guard.lease,
                (),
                status=RunStatus.SUSPENDED,
                release=True,
                wake_at=min(moments, default=None),
            )
        except ConflictError:  # a cancel was requested
            self.guard.is_holding = True
            self.inbox.put(CancelRequested())
            return None
        # Whoever answered before the release saw a driven run and left the rest to us.
        await self.guard.listen()
        if self.inbox.is_empty:
            return self._waiting()
        asked_at = self.clock.ticks()
        try:
            lease = await self.journal.claim(
                self.run_id, self.terms.owner, ttl_s=self.terms.lease_ttl_s
            )
        except (RunOwnedError, ConflictError):
            return await outcome_of(self.journal, self.flow, self.run_id)
        self.guard.claimed(lease, asked_at)
        return None

    def _waiting(self) -> RunOutcome:
        asked = tuple(
            OpenSuspension(s.label, key, s.payload, s.deadline)
            for key, s in self.machine.suspensions.items()
        )
        return RunOutcome(self.run_id, RunStatus.SUSPENDED, suspensions=asked)

    async def _finish(self, status: RunStatus) -> RunOutcome:
        records = self.machine.take_records()
        await self.performer.stop_all()
        self.guard.is_holding = False
        if status is not RunStatus.CANCELLED:
            with suppress(ConflictError):  # a cancel was requested: it wins over a late end
                ending = NewRecord(RecordKind.FINISHED, body=await self._ending(status))
                await self.storage.append(
                    self.guard.lease, [*records, ending], status=status, release=True
                )
                return await self._ended(status)
        asked = await self.journal.read(self.run_id, kinds=[RecordKind.CANCEL])
        by = json.loads(asked[-1].body)["by"] if asked else self.terms.owner
        ending = NewRecord(RecordKind.FINISHED, body=cancelled_body(by))
        await self.storage.append(
            self.guard.lease, [*records, ending], status=RunStatus.CANCELLED, release=True
        )
        return await outcome_of(self.journal, self.flow, self.run_id)

    async def _ending(self, status: RunStatus) -> str:
        output, error = self.machine.output, self.machine.error
        if output is None:
            assert error is not None, "a run that is not done has an error"
            return json.dumps({"status": status.value, "error": error.model_dump(mode="json")})
        if not isinstance(output, Stored):
            whole = await loaded(self.journal, output.look)
            output = await self.storage.store(self.flow.codec, whole)
        return output.text.write(f'"status":"{status.value}",')

    async def _ended(self, status: RunStatus) -> RunOutcome:
        output = self.machine.output
        value = None if output is None else await loaded(self.journal, output.take)
        return RunOutcome(self.run_id, status, value, error=self.machine.error)
