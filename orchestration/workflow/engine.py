"""The engine: one small loop that makes facts durable, then acts on them.

    outcome = await Engine(journal, owner="me").start(workflow, value, run_id=run_id)

Each round appends the machine's records in one transaction, performs its commands, and feeds back
what happens. Whatever kills the process, the next `start` or `resume` continues from the journal.
"""

import asyncio
import json
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from orchestration.clock import Clock, SystemClock
from orchestration.errors import ConflictError, MantaError, NotFoundError, RunOwnedError
from orchestration.ids import RunId
from orchestration.workflow.codec import codec
from orchestration.workflow.facts import History, read_output
from orchestration.workflow.guard import Guard
from orchestration.workflow.inbox import Inbox, Lost
from orchestration.workflow.journal import (
    Journal,
    Lease,
    NewRecord,
    RecordKind,
    RunInfo,
    RunStatus,
    cancelled_body,
)
from orchestration.workflow.machine import Machine
from orchestration.workflow.outcome import OpenSuspension, RunOutcome, check_workflow, outcome_of
from orchestration.workflow.performer import Performer
from orchestration.workflow.shape import Flow
from orchestration.workflow.signals import CancelRequested, Start, Stop, TakeDefault, Wake
from orchestration.workflow.storage import Storage, fetch, load, loaded
from orchestration.workflow.values import Stored

In = TypeVar("In")
Out = TypeVar("Out")

MAX_RECOVERIES = 3
"""Recoveries without progress after which a run becomes a dead letter."""


class Engine:
    """Drives runs as one owner."""

    def __init__(
        self,
        journal: Journal,
        *,
        owner: str,
        clock: Clock | None = None,
        lease_ttl_s: float = 15.0,
        poll_s: float = 1.0,
        grace_s: float = 10.0,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self.journal = journal
        self.owner = owner
        self.clock = clock or SystemClock()
        self.lease_ttl_s = lease_ttl_s
        self.poll_s = poll_s
        """How soon a cancel or an answer stored by others is noticed."""
        self.grace_s = grace_s
        """How long a cancelled step may take to end."""
        self.dice = dice

    async def start(
        self, workflow: Flow[In, Out], value: In, *, run_id: RunId, title: str = ""
    ) -> RunOutcome:
        """Create the run, or attach to it where it exists, and drive it as far as it goes.

        Raises:
            RunOwnedError: somebody else drives it.
            ConflictError: the run exists with another input, workflow or definition.
            StaleOwnerError: the run was taken over meanwhile.
            UsageError: the value is not what the workflow takes.
        """
        storage = Storage(self.journal, self.clock, lambda: False)
        given = await storage.store(codec(workflow.takes), value)
        head = f'"lines":{json.dumps(workflow.lines)},'
        is_new = await self.journal.create_run(
            run_id,
            workflow=workflow.id,
            definition=workflow.definition,
            title=title or workflow.id,
            body=given.text.write(head),
        )
        info = await self.journal.info(run_id)
        if not is_new:
            check_workflow(info, workflow)
            await self._check_input(run_id, given)
        if info.status.ended or info.status is RunStatus.DEAD_LETTER:
            return await outcome_of(self.journal, workflow, run_id)
        return await self._drive(workflow, info, take_over=False)

    async def resume(
        self, workflow: Flow[Any, Out], run_id: RunId, *, take_over: bool = False
    ) -> RunOutcome:
        """Go on with a run that is suspended, crashed, or a dead letter.

        Raises:
            NotFoundError: there is no such run.
            ConflictError: it has ended, or belongs to another workflow or definition.
            RunOwnedError: somebody else drives it.
        """
        info = await self.journal.info(run_id)
        check_workflow(info, workflow)
        if info.status.ended:
            raise ConflictError(
                f"run {run_id} has ended ({info.status})", "read its outcome, or fork it"
            )
        return await self._drive(workflow, info, take_over=take_over)

    async def _drive(
        self, workflow: Flow[Any, Any], info: RunInfo, *, take_over: bool
    ) -> RunOutcome:
        run_id = info.run_id
        await self._check_definition(workflow, info)
        lease = await self.journal.claim(
            run_id, self.owner, ttl_s=self.lease_ttl_s, take_over=take_over
        )
        history = await load(self.journal, run_id)
        if history.recoveries > MAX_RECOVERIES:
            await self.journal.append(lease, (), status=RunStatus.DEAD_LETTER, release=True)
            return await outcome_of(self.journal, workflow, run_id)
        return await _Drive(self, workflow, lease, history).go()

    async def _check_input(self, run_id: RunId, given: Stored) -> None:
        created = (await load(self.journal, run_id, kinds=[RecordKind.CREATED])).created
        stands = read_output(created)[1]
        if stands != given.text:
            raise ConflictError(
                f"run {run_id} exists with another input", "choose another run id, or resume it"
            )

    async def _check_definition(self, workflow: Flow[Any, Any], info: RunInfo) -> None:
        if info.definition in {workflow.definition, *workflow.compatible_with}:
            return
        created = (await load(self.journal, info.run_id, kinds=[RecordKind.CREATED])).created
        before = [str(line) for line in read_output(created)[0].get("lines") or ()]  # pyright: ignore[reportGeneralTypeIssues] - JSON of our own
        gone = [f"- {line}" for line in before if line not in workflow.lines]
        new = [f"+ {line}" for line in workflow.lines if line not in before]
        raise ConflictError(
            f"workflow {workflow.id!r} has changed since run {info.run_id} began:\n"
            + "\n".join([*gone, *new] or ["its steps are in another order"]),
            f"finish the run with the older version, or declare the change compatible: "
            f"commit(compatible_with=[{info.definition!r}])",
        )


class _Drive:
    """One run being driven under one lease."""

    def __init__(
        self, engine: Engine, flow: Flow[Any, Any], lease: Lease, history: History
    ) -> None:
        self.engine, self.flow, self.run_id = engine, flow, lease.run_id
        self.journal, self.clock = engine.journal, engine.clock
        self.inbox = Inbox()
        self.guard = Guard(
            engine.journal,
            engine.clock,
            lease,
            ttl_s=engine.lease_ttl_s,
            poll_s=engine.poll_s,
            inbox=self.inbox,
            listening=lambda: bool(self.machine.suspensions),
        )
        self.guard.heard(history.seq)
        self.storage = Storage(self.journal, self.clock, lambda: not self.guard.is_late)
        self.performer = Performer(
            self.storage,
            self.clock,
            self.guard,
            self.inbox,
            engine.dice,
            grace_s=engine.grace_s,
        )
        value = Stored(read_output(history.created)[1], codec(flow.takes))
        self.machine = Machine(flow, history, value, self.clock.now())
        if history.cancel_requested:
            self.machine.advance(CancelRequested(), self.clock.now())

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
        records = machine.take_records()
        if records:
            await self.storage.append(self.guard.lease, records)
        await self._perform()
        if machine.waits_for_people and self.inbox.is_empty:
            return await self._suspend()
        for event in await self.inbox.take():
            if isinstance(event, Lost):
                raise event.error
            machine.advance(event, self.clock.now())
        return None

    async def _perform(self) -> None:
        commands = self.machine.take_commands()
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
        now = self.clock.now()
        for asked in self.machine.suspensions.values():
            if asked.default is not None and asked.deadline is not None and asked.deadline <= now:
                await self._take_default(asked.label, asked.default)
        if not self.inbox.is_empty:
            return None
        self.guard.is_holding = False
        try:
            await self.storage.append(
                self.guard.lease, (), status=RunStatus.SUSPENDED, release=True
            )
        except ConflictError:  # a cancel was requested
            self.guard.is_holding = True
            self.inbox.put(CancelRequested())
            return None
        # Whoever answered before the release saw a driven run and left the rest to us.
        await self.guard.listen()
        if self.inbox.is_empty:
            return self._waiting()
        try:
            lease = await self.journal.claim(
                self.run_id, self.engine.owner, ttl_s=self.engine.lease_ttl_s
            )
        except (RunOwnedError, ConflictError):
            return await outcome_of(self.journal, self.flow, self.run_id)
        self.guard.claimed(lease)
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
        by = json.loads(asked[-1].body)["by"] if asked else self.engine.owner
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
