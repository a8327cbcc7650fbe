"""The fleet's one governor: every call to a provider asks it first.

It lets a call go once the run's budget pays for it and its lane (a model, at an endpoint, with a
key) has room, fairly between runs. Its ledger is rebuilt from the store when it restarts.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from actors.models.budget import Account, refused, unlimited
from actors.models.limiter import Limiter, Rate, Ticket
from orchestration.clock import Clock, SystemClock
from orchestration.messages import Usage

_SHORTEST_S = 0.001
"""Of a wait: shorter ones are rounding errors, and would make a busy loop."""
_FRESH_S = 60.0
"""An account that nobody asked for longer is read anew: the run may have waited for people."""
_LOOK_AGAIN_S = 60.0
"""A caller that waits for another's money looks again, for that one may have died."""
_UNLIMITED = 1e15
FREE_S = 2.0
"""For so long at most, calls without limits go on in other processes while a lane is paused."""


@dataclass(frozen=True, slots=True)
class Lane:
    """What shares a provider's limits. The rates are per minute; None is no limit."""

    name: str
    requests: float | None = None
    tokens: float | None = None

    @property
    def is_unlimited(self) -> bool:
        return self.requests is None and self.tokens is None

    @property
    def rate(self) -> Rate:
        return Rate(self.requests or _UNLIMITED, self.tokens or _UNLIMITED)


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt to reach a provider, and what it is expected to take."""

    run: str
    lane: Lane
    tokens: int
    usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Leave:
    """Permission for one call; to be settled."""

    number: int
    """0 where nobody was asked; see `free_s`."""
    call: Call
    ticket: Ticket
    free_s: float = 0.0
    """For so many seconds such a run need not ask for leave in this lane: neither has a limit. What
    it takes is settled all the same."""


class Governor(Protocol):
    """Hands out leave to call a provider."""

    async def reserve(self, call: Call) -> Leave:
        """Wait for one's turn. Cancelling gives the place up.

        Raises:
            RunBudgetError: the run may spend no more.
        """
        ...

    async def settle(self, leave: Leave, usage: Usage) -> str:
        """Say what the call really took; nothing when it failed. What to tell people, or ""."""
        ...

    async def pause(self, lane: Lane, seconds: float) -> None:
        """The provider wants to be left alone for so long, by the whole fleet."""
        ...


OpenAccount = Callable[[str], Awaitable[Account]]
"""Reads a run's account from the store."""


class LocalGovernor:
    """A governor in one process. It runs as a resident, and alone in tests."""

    def __init__(self, open_account: OpenAccount | None = None, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._open_account = open_account
        self._lanes: dict[str, LaneQueue] = {}
        self._accounts: dict[str, Account] = {}
        self._asked_at: dict[str, float] = {}
        self._opening: dict[str, asyncio.Lock] = {}
        self._settled = asyncio.Event()
        self._count = 0

    async def reserve(self, call: Call) -> Leave:
        self._count += 1
        number = self._count
        is_free = await self._is_free(call)
        await self._hold(number, call)
        try:
            ticket = await self._lane(call.lane).enter(call.run, call.tokens)
        except BaseException:
            await self._let_go(call.run, number, Usage())
            raise
        return Leave(number, call, ticket, FREE_S if is_free else 0.0)

    async def settle(self, leave: Leave, usage: Usage) -> str:
        if leave.number:
            taken = usage.input_tokens + usage.output_tokens
            self._lane(leave.call.lane).settle(leave.ticket, taken)
        return await self._let_go(leave.call.run, leave.number, usage)

    async def pause(self, lane: Lane, seconds: float) -> None:
        self._lane(lane).pause(seconds)

    async def account(self, run: str) -> Account:
        """The run's account as it stands, for people and tests."""
        return await self._account(run)

    async def _is_free(self, call: Call) -> bool:
        return call.lane.is_unlimited and not (await self._account(call.run)).budget.is_limited

    async def _hold(self, number: int, call: Call) -> None:
        """Set aside what the call may take, once it is there or never will be."""
        while True:
            settled = self._settled
            account, now = await self._account(call.run), self._clock.now()
            if why := account.refusal(call.usd, call.tokens, now):
                self._asked_at.pop(call.run, None)  # the next to ask may have a larger budget
                raise refused(why)
            if account.has_room(call.usd, call.tokens, now):
                account.hold(number, call.usd, call.tokens, now)
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(settled.wait(), _LOOK_AGAIN_S)

    async def _let_go(self, run: str, number: int, usage: Usage) -> str:
        notice = (await self._account(run)).settle(number, usage, self._clock.now())
        self._settled.set()
        self._settled = asyncio.Event()
        return notice

    async def _account(self, run: str) -> Account:
        async with self._opening.setdefault(run, asyncio.Lock()):
            now = self._clock.now()
            known = self._accounts.get(run)
            if known is None or now - self._asked_at.get(run, -_FRESH_S) >= _FRESH_S:
                self._accounts[run] = await self._opened(run, known)
            self._asked_at[run] = now
            return self._accounts[run]

    async def _opened(self, run: str, known: Account | None) -> Account:
        if self._open_account is None:
            return known or unlimited(self._clock.now())
        account = await self._open_account(run)
        if known is not None:
            account.held = known.held
            account.was_warned = known.was_warned and known.budget == account.budget
        return account

    def _lane(self, lane: Lane) -> "LaneQueue":
        """The lane's queue; whoever knows its rates last is right."""
        queue = self._lanes.get(lane.name)
        if queue is None:
            queue = self._lanes[lane.name] = LaneQueue(lane.rate, self._clock)
        elif queue.rate != lane.rate:
            queue.change(lane.rate)
        return queue


class LaneQueue:
    """Callers waiting for one lane's limiter."""

    def __init__(self, rate: Rate, clock: Clock) -> None:
        self.rate, self._clock = rate, clock
        self._limiter = Limiter(rate, clock.now())
        self._leave: dict[int, asyncio.Future[None]] = {}
        self._alarm: asyncio.Task[None] | None = None

    async def enter(self, run: str, tokens: int) -> Ticket:
        """Wait until so many tokens, and a request, are there for the run."""
        ticket = self._limiter.ask(run, tokens)
        leave: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._leave[ticket.number] = leave
        self._serve()
        try:
            await leave
        except asyncio.CancelledError:
            self._give_up(ticket, was_granted=leave.done() and not leave.cancelled())
            raise
        return ticket

    def settle(self, ticket: Ticket, tokens: int) -> None:
        self._limiter.settle(ticket, tokens)
        self._serve()

    def pause(self, seconds: float) -> None:
        self._limiter.pause(self._clock.now(), seconds)
        self._serve()

    def change(self, rate: Rate) -> None:
        self.rate = rate
        self._limiter.change(rate)
        self._serve()

    def _give_up(self, ticket: Ticket, was_granted: bool) -> None:
        self._leave.pop(ticket.number, None)
        self._limiter.withdraw(ticket)
        if was_granted:
            self._limiter.settle(ticket, 0)
        self._serve()

    def _serve(self) -> None:
        """Let go whoever may go, and wake up again for the next one."""
        for ticket in self._limiter.grant(self._clock.now()):
            leave = self._leave.pop(ticket.number)
            if leave.cancelled():  # given up a moment ago
                self._limiter.settle(ticket, 0)
            else:
                leave.set_result(None)
        if self._alarm:
            self._alarm.cancel()
            self._alarm = None
        wait = self._limiter.wait_s(self._clock.now())
        if wait is not None:
            self._alarm = asyncio.create_task(self._wake(wait))

    async def _wake(self, seconds: float) -> None:
        await self._clock.sleep(max(seconds, _SHORTEST_S))
        self._alarm = None
        self._serve()
