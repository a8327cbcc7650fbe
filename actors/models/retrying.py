"""When a provider is asked again, and how long before."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from actors.models.failures import PASSING, Failure
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
    longest_retry_after_s: float = 900.0
    """A provider that asks for more has failed: waiting that long is a person's decision."""

    def delay(
        self,
        attempt: int,
        retry_after_s: float | None,
        jitter: Callable[[], float] = random.random,
    ) -> float | None:
        """Seconds to wait after the given attempt (from 1); None when it is no use."""
        if retry_after_s is not None:
            if retry_after_s > self.longest_retry_after_s:
                return None
            # A little late and spread out: a fleet that was told the same second must not
            # come back in the same second.
            return retry_after_s + jitter() * min(1.0, self.first_s)
        ceiling = min(self.longest_s, self.first_s * 2 ** (attempt - 1))
        return ceiling * (0.5 + 0.5 * jitter())


async def persist(
    call: Callable[[], Awaitable[T]], policy: RetryPolicy, clock: Clock, tries: int
) -> T:
    """Call until it works.

    Raises:
        Failure: it cannot pass, it would have to wait too long, or the tries are used up.
    """
    attempt = 0
    while True:
        attempt += 1
        try:
            return await call()
        except Failure as failure:
            failure.attempts = attempt
            wait = policy.delay(attempt, failure.retry_after_s)
            if failure.trouble not in PASSING or attempt >= tries or wait is None:
                raise
            await clock.sleep(wait)
