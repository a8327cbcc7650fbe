"""Performs the machine's commands: runs attempts, waits for moments, stops both in time."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from orchestration.clock import Clock
from orchestration.errors import (
    BudgetExceededError,
    GroundError,
    StaleOwnerError,
    StepFailedError,
    StoreError,
    UsageError,
)
from orchestration.ids import StepGrant, StepKey
from orchestration.workflow.codec import Codec, codec
from orchestration.workflow.context import RunningStep
from orchestration.workflow.guard import Guard
from orchestration.workflow.inbox import Inbox, Lost
from orchestration.workflow.signals import (
    Bailed,
    Event,
    Raised,
    Start,
    Succeeded,
    Suspended,
    Wake,
    Woke,
)
from orchestration.workflow.step import Bail, Suspend
from orchestration.workflow.storage import Storage
from orchestration.workflow.values import Stored

Task = asyncio.Task[None]
_NAP_S = 30.0
"""A timer looks at the time so often: the store's clock may be set, this machine may sleep."""


class Performer:
    """The attempts and timers of one run.

    They are plain tasks, not a task group: a step that refuses to be cancelled is waited for no
    longer than `grace_s`, then left behind with a void grant, and the run goes on without it.
    """

    def __init__(
        self,
        storage: Storage,
        clock: Clock,
        guard: Guard,
        inbox: Inbox,
        dice: Callable[[], float],
        *,
        grace_s: float,
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._guard = guard
        self._inbox = inbox
        self._dice = dice
        self._grace_s = grace_s
        self._attempts: dict[StepKey, Task] = {}
        self._timers: dict[StepKey, Task] = {}

    @property
    def is_idle(self) -> bool:
        """Whether no attempt runs."""
        return not self._attempts

    def start(self, command: Start) -> None:
        """Run an attempt; how it ends arrives in the inbox."""
        self._attempts[command.key] = asyncio.create_task(self._attempt(command))

    def wake(self, command: Wake) -> None:
        """Put `Woke` into the inbox at that moment."""
        if (older := self._timers.pop(command.key, None)) is not None:
            older.cancel()
        self._timers[command.key] = asyncio.create_task(self._sleep(command))

    async def stop(self, keys: Iterable[StepKey]) -> None:
        """Stop these attempts and timers; return when they ended, or refused for too long."""
        found = [t for key in keys for t in self._pop(key) if not t.done()]
        for task in found:
            task.cancel()
        if found:
            await asyncio.wait(found, timeout=self._grace_s)

    async def stop_all(self) -> None:
        """Stop whatever runs."""
        await self.stop({*self._attempts, *self._timers})

    def _pop(self, key: StepKey) -> list[Task]:
        found = (self._attempts.pop(key, None), self._timers.pop(key, None))
        return [task for task in found if task is not None]

    async def _sleep(self, command: Wake) -> None:
        while (left := command.at - self._guard.now()) > 0:
            await self._clock.sleep(min(left, _NAP_S))
        self._timers.pop(command.key, None)
        self._inbox.put(Woke(command.key, self._guard.now()))

    async def _attempt(self, command: Start) -> None:
        event = await self._outcome(command)
        if self._attempts.get(command.key) is asyncio.current_task():
            del self._attempts[command.key]
            self._inbox.put(event)

    async def _outcome(self, command: Start) -> Event | Lost:
        key, node = command.key, command.node
        ctx: RunningStep | None = None
        try:
            await self._guard.check()
            ctx = self._context(command)
            output = await self._limited(command, ctx)
            return Succeeded(key, await self._store(node.codec, output, key), ctx.updates)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return self._raised(key, RuntimeError("the step cancelled itself"))
        except (StoreError, StaleOwnerError) as error:
            # The ground gave way, not the step: the run stays as it is, to be resumed.
            return Lost(error)
        except GroundError as error:
            if node.retry.allows(error, command.attempt):
                return self._raised(key, error)
            if ctx:
                await ctx.note(f"the run has lost its ground, and can be resumed: {error}")
            return Lost(error)
        except Exception as error:  # noqa: BLE001 - the door to users' steps
            return self._raised(key, error)
        except (Suspend, Bail, BaseExceptionGroup) as signal:
            return await self._obey(command, signal, ctx)

    async def _obey(self, command: Start, signal: BaseException, ctx: RunningStep | None) -> Event:
        """A step unwound to ask or to bail, perhaps from within a task group."""
        if isinstance(signal, BaseExceptionGroup):
            signals = signal.subgroup((Suspend, Bail))
            while isinstance(signals, BaseExceptionGroup):
                signals = signals.exceptions[0]
            signal = signals or signal
        if isinstance(signal, Suspend):
            return Suspended(command.key, signal.suspension)
        if isinstance(signal, Bail):
            try:
                output = await self._store(command.bail_codec, signal.value, command.key)
                return Bailed(command.key, output, ctx.updates if ctx else {})
            except Exception as error:  # noqa: BLE001 - the door to users' steps
                return self._raised(command.key, error)
        return self._raised(command.key, signal)

    def _raised(self, key: StepKey, error: BaseException) -> Raised:
        return Raised(key, error, self._guard.now(), self._dice())

    def _context(self, command: Start) -> RunningStep:
        answer, answers = command.answer, command.node.answers
        if answer is not None and answers is not None:
            answer = codec(answers).decode(answer)
        lease = self._guard.lease
        grant = StepGrant(lease.run_id, command.key, lease.epoch, command.attempt)
        return RunningStep(grant, answer, self._storage, self._guard, command.state)

    async def _call(self, command: Start, ctx: RunningStep) -> Any:
        node = command.node
        value = await self._storage.loaded(command.value.take)
        return await (node.call(value, ctx) if node.wants_ctx else node.call(value))

    async def _limited(self, command: Start, ctx: RunningStep) -> Any:
        node, now = command.node, self._guard.now()
        limits: list[tuple[float, Exception]] = []
        if node.timeout_s is not None:
            late = TimeoutError(f"{command.key} ran for longer than {node.timeout_s:g} s")
            limits.append((node.timeout_s, late))
        if node.total_s is not None:
            left = node.total_s - (now - (command.clock_from or now))
            spent = BudgetExceededError(
                f"all attempts of {command.key} took longer than {node.total_s:g} s",
                "give the step more time, or find out what holds it up",
            )
            limits.append((left, spent))
        if not limits:
            return await self._call(command, ctx)
        seconds, error = min(limits, key=lambda limit: limit[0])
        return await self._race(self._call(command, ctx), seconds, error)

    async def _race(self, work: Coroutine[Any, Any, Any], seconds: float, error: Exception) -> Any:
        task = asyncio.create_task(work)
        timer = asyncio.create_task(self._clock.sleep(seconds))
        try:
            await asyncio.wait({task, timer}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise error
        finally:
            timer.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=self._grace_s)
            if task.done() and not task.cancelled():
                task.exception()  # seen: what it says on being stopped is not news

    async def _store(self, to: Codec[Any], output: object, key: StepKey) -> Stored:
        try:
            return await self._storage.store(to, output)
        except UsageError as error:
            raise StepFailedError(
                f"step {key} returned what it did not declare: {error.what}", error.fix
            ) from error
