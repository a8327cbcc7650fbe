"""The fleet's one governor, and the gateway that asks it before every call."""

import asyncio
import json
from typing import Protocol

from actors.models.gateway import ModelGateway, ModelReply, ModelRequest, Role
from actors.models.limiter import Limiter, Rate, Ticket
from orchestration.clock import Clock, SystemClock

_CHARS_PER_TOKEN = 4
_EXPECTED_OUTPUT = 1_000
"""Tokens reserved for a reply; the real number settles it."""
_SHORTEST_S = 0.001
"""Of a wait: shorter ones are rounding errors, and would make a busy loop."""


class Governor(Protocol):
    """Hands out leave to call a provider, fairly between runs."""

    async def reserve(self, run: str, tokens: int) -> Ticket:
        """Wait for one's turn. Cancelling gives the place up."""
        ...

    async def settle(self, ticket: Ticket, tokens: int) -> None:
        """Say what the call really took; 0 when it failed."""
        ...


class LocalGovernor:
    """A governor in one process; its ledger is the limiter."""

    def __init__(self, rate: Rate, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._limiter = Limiter(rate, self._clock.now())
        self._leave: dict[int, asyncio.Future[None]] = {}
        self._alarm: asyncio.Task[None] | None = None

    async def reserve(self, run: str, tokens: int) -> Ticket:
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

    async def settle(self, ticket: Ticket, tokens: int) -> None:
        self._limiter.settle(ticket, tokens)
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


class GovernedGateway:
    """Wraps a gateway: one run's calls wait for the governor's leave."""

    def __init__(self, inner: ModelGateway, governor: Governor, run: str) -> None:
        self._inner = inner
        self._governor = governor
        self._run = run

    async def complete(self, request: ModelRequest) -> ModelReply:
        ticket = await self._governor.reserve(self._run, expected_tokens(request))
        used = 0
        try:
            reply = await self._inner.complete(request)
            used = reply.usage.input_tokens + reply.usage.output_tokens
        finally:
            await self._governor.settle(ticket, used)
        return reply

    async def acknowledge(self, key: str) -> None:
        await self._inner.acknowledge(key)

    async def check(self, role: Role) -> str:
        return await self._inner.check(role)

    async def context_tokens(self, role: Role) -> int:
        return await self._inner.context_tokens(role)


def expected_tokens(request: ModelRequest) -> int:
    """A rough count of what a call will take; cheap, because the real one follows."""
    sent = len(json.dumps([request.messages, request.tools], default=str)) // _CHARS_PER_TOKEN
    return sent + min(request.max_output_tokens or _EXPECTED_OUTPUT, _EXPECTED_OUTPUT)
