"""Who may call the provider next: requests and tokens per minute, shared fairly between runs.

Pure: time is passed in, nothing waits here. Two buckets fill at the provider's rate; a
reservation takes from both before the call and is settled with the real count after it. Among
runs that wait, the one that was served least goes next, and one run's calls go in their order.
When that run's call does not fit yet, everybody waits: letting smaller calls pass would starve it.
"""

from collections import deque
from dataclasses import dataclass, field

_MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Rate:
    """What a provider allows per minute."""

    requests: float
    tokens: float


@dataclass(frozen=True, slots=True)
class Ticket:
    """A place in the queue, and later the reservation itself."""

    number: int
    run: str
    tokens: int


@dataclass(slots=True)
class _Bucket:
    """Holds at most a minute's worth; below zero, somebody took more than was reserved."""

    per_minute: float
    level: float

    def fill(self, seconds: float) -> None:
        self.level = min(self.per_minute, self.level + seconds * self.per_minute / _MINUTE)

    def wait_s(self, amount: float) -> float:
        """Seconds until `amount` fits; what is larger than the bucket waits for a full one."""
        missing = min(amount, self.per_minute) - self.level
        return max(0.0, missing * _MINUTE / self.per_minute)


@dataclass(slots=True)
class _Share:
    """One run's queue, and what it has been served, in tokens."""

    served: float
    waiting: deque[Ticket] = field(default_factory=deque[Ticket])


class Limiter:
    """Reservations against one provider's limits. `now` is in seconds and never goes back."""

    def __init__(self, rate: Rate, now: float) -> None:
        self._requests = _Bucket(rate.requests, rate.requests)
        self._tokens = _Bucket(rate.tokens, rate.tokens)
        self._now = now
        self._paused_until = now
        self._shares: dict[str, _Share] = {}
        self._floor = 0.0
        self._count = 0

    def ask(self, run: str, tokens: int) -> Ticket:
        """Queue a call that will take about so many tokens."""
        self._count += 1
        ticket = Ticket(self._count, run, tokens)
        share = self._shares.setdefault(run, _Share(self._floor))
        if not share.waiting:
            # Who comes back from a pause has saved nothing up.
            share.served = max(share.served, self._floor)
        share.waiting.append(ticket)
        return ticket

    def grant(self, now: float) -> list[Ticket]:
        """The calls that may go now, in order; their reservations are taken."""
        self._fill(now)
        granted: list[Ticket] = []
        while (ticket := self._next()) and self._wait_s(ticket) <= 0:
            share = self._shares[ticket.run]
            share.waiting.popleft()
            self._floor = share.served
            share.served += ticket.tokens
            self._requests.level -= 1
            self._tokens.level -= ticket.tokens
            granted.append(ticket)
        self._forget_idle()
        return granted

    def wait_s(self, now: float) -> float | None:
        """Seconds until the next grant is possible; None when nobody waits."""
        self._fill(now)
        ticket = self._next()
        return self._wait_s(ticket) if ticket else None

    def settle(self, ticket: Ticket, tokens: int) -> None:
        """Correct a granted reservation by what was really used."""
        spared = ticket.tokens - tokens
        self._tokens.level = min(self._tokens.per_minute, self._tokens.level + spared)
        if share := self._shares.get(ticket.run):
            share.served -= spared

    def withdraw(self, ticket: Ticket) -> None:
        """Leave the queue. Nothing happens to a ticket that was granted already."""
        share = self._shares.get(ticket.run)
        if share and ticket in share.waiting:
            share.waiting.remove(ticket)

    def pause(self, now: float, seconds: float) -> None:
        """Grant nothing for a while: the provider said so."""
        self._paused_until = max(self._paused_until, now + seconds)

    def change(self, rate: Rate) -> None:
        """The provider allows another rate from now on; what was taken stays taken."""
        for bucket, per_minute in ((self._requests, rate.requests), (self._tokens, rate.tokens)):
            bucket.level += per_minute - bucket.per_minute
            bucket.per_minute = per_minute

    def _fill(self, now: float) -> None:
        seconds = max(0.0, now - self._now)
        self._now = max(self._now, now)
        self._requests.fill(seconds)
        self._tokens.fill(seconds)

    def _forget_idle(self) -> None:
        """Drop runs that wait for nothing and would come back like new ones."""
        self._shares = {
            run: share
            for run, share in self._shares.items()
            if share.waiting or share.served > self._floor
        }

    def _next(self) -> Ticket | None:
        waiting = [share for share in self._shares.values() if share.waiting]
        if not waiting:
            return None
        return min(waiting, key=lambda s: (s.served, s.waiting[0].number)).waiting[0]

    def _wait_s(self, ticket: Ticket) -> float:
        return max(
            self._paused_until - self._now,
            self._requests.wait_s(1),
            self._tokens.wait_s(ticket.tokens),
        )
