"""One hard budget per run: what was spent, what is held for calls in flight, what is left. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from orchestration.errors import BudgetExceededError
from orchestration.messages import Budget, Usage

SOFT = 0.8
"""The share of a limit at which people are warned, once."""
_LOST_AFTER_S = 1800.0
"""Money held for a call that nobody settled is free again then: whoever asked has died."""


class RunBudgetError(BudgetExceededError):
    """The run may spend no more. It waits for a larger budget, with all its work kept."""


@dataclass(frozen=True, slots=True)
class Hold:
    """What a call in flight is expected to take."""

    usd: float
    tokens: int
    at: float


@dataclass(slots=True)
class Account:
    """One run's budget and spending. Times are in seconds of the governor's clock."""

    budget: Budget
    spent: Usage
    seconds: float
    """Driven before `opened_at`."""
    opened_at: float
    held: dict[int, Hold] = field(default_factory=dict[int, Hold])
    was_warned: bool = False

    def refusal(self, usd: float, tokens: int, now: float) -> str:
        """Why a call that takes so much may never be made; empty if it may, now or later."""
        limits = list(self._limits(usd, tokens, now))
        return self._state(now) if any(used > limit for used, limit in limits) else ""

    def has_room(self, usd: float, tokens: int, now: float) -> bool:
        """Whether it may be made now, beside the calls in flight."""
        alive = [hold for hold in self.held.values() if now - hold.at < _LOST_AFTER_S]
        usd += sum(hold.usd for hold in alive)
        tokens += sum(hold.tokens for hold in alive)
        return all(used <= limit for used, limit in self._limits(usd, tokens, now))

    def hold(self, number: int, usd: float, tokens: int, now: float) -> None:
        """Set aside what a call may take, until it is settled."""
        self.held[number] = Hold(usd, tokens, now)

    def settle(self, number: int, usage: Usage, now: float) -> str:
        """Count what a call took; the warning that is due now, once, or empty."""
        self.held.pop(number, None)
        self.spent += usage
        share = max((used / limit for used, limit in self._limits(0, 0, now)), default=0.0)
        if share < SOFT or self.was_warned:
            return ""
        self.was_warned = True
        return f"the run's budget is nearly spent: {self._state(now)}"

    def elapsed(self, now: float) -> float:
        """Seconds that the run has been driven."""
        return self.seconds + max(0.0, now - self.opened_at)

    def _limits(self, usd: float, tokens: int, now: float) -> Iterator[tuple[float, float]]:
        """What would be used, and the limit of it."""
        budget, spent = self.budget, self.spent
        if budget.usd is not None:
            yield spent.cost_usd + usd, budget.usd
        if budget.tokens is not None:
            yield spent.input_tokens + spent.output_tokens + tokens, budget.tokens
        if budget.seconds is not None:
            yield self.elapsed(now), budget.seconds

    def _state(self, now: float) -> str:
        budget, spent = self.budget, self.spent
        parts: list[str] = []
        if budget.usd is not None:
            parts.append(f"${spent.cost_usd:.2f} of ${budget.usd:.2f}")
        if budget.tokens is not None:
            parts.append(
                f"{spent.input_tokens + spent.output_tokens:,} of {budget.tokens:,} tokens"
            )
        if budget.seconds is not None:
            parts.append(f"{self.elapsed(now):,.0f} of {budget.seconds:,.0f} seconds")
        return ", ".join(parts)


def unlimited(now: float) -> Account:
    """An account that never refuses."""
    return Account(Budget(), Usage(), 0.0, now)


def refused(why: str) -> RunBudgetError:
    """The error of a call that the budget does not pay."""
    return RunBudgetError(
        f"the run's budget does not pay for another call: {why}",
        "go on with `manta resume RUN --budget MORE`, such as --budget 10usd; all work is kept",
    )
