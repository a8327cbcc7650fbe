"""When a provider is asked again, and how long before."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from actors.models.failures import PASSING, Failure, Trouble
from orchestration.clock import Clock

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with full jitter; a provider's own Retry-After goes before it."""

    attempts: int = 6
    """Tries of one route before it has failed for good."""
    attempts_with_fallback: int = 2
    """Tries of a route while another one stands behind it."""
    first_s: float = 1.0
    longest_s: float = 60.0
    longest_rate_limit_s: float = 6 * 3600.0
    """A rate limit is waited out for so long in all, however many tries that takes, unless a
    fallback stands behind. A provider that asks for more at once has failed."""

    def delay(
        self,
        attempt: int,
        retry_after_s: float | None,
        jitter: Callable[[], float] = random.random,
    ) -> float | None:
        """Seconds to wait after the given attempt (from 1); None when it is no use."""
        if retry_after_s is not None:
            if retry_after_s > self.longest_rate_limit_s:
                return None
            # A little late and spread out: a fleet that was told the same second must not
            # come back in the same second.
            return retry_after_s + jitter() * min(1.0, self.first_s)
        ceiling = min(self.longest_s, self.first_s * 2 ** (attempt - 1))
        return ceiling * (0.5 + 0.5 * jitter())


async def persist(
    call: Callable[[], Awaitable[T]],
    policy: RetryPolicy,
    clock: Clock,
    *,
    is_last: bool = True,
    waiting: Callable[[Failure, float], Awaitable[None]] | None = None,
) -> T:
    """Call until it works.

    Args:
        call: one try.
        policy: how long.
        clock: waits.
        is_last: whether no fallback stands behind it.
        waiting: told of each failure and the seconds until the next try, before they pass.

    Raises:
        Failure: it cannot pass, it would have to wait too long, or the tries are used up.
    """
    tries = policy.attempts if is_last else policy.attempts_with_fallback
    began, attempt = clock.now(), 0
    while True:
        attempt += 1
        try:
            return await call()
        except Failure as failure:
            failure.attempts = attempt
            wait = policy.delay(attempt, failure.retry_after_s)
            if wait is None or failure.trouble not in PASSING:
                raise
            if failure.trouble is Trouble.RATE and is_last:
                is_over = clock.now() + wait - began > policy.longest_rate_limit_s
            else:
                is_over = attempt >= tries
            if is_over:
                raise
            if waiting:
                await waiting(failure, wait)
            await clock.sleep(wait)
