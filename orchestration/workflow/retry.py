"""How often, and how patiently, a failing step is tried again."""

from dataclasses import dataclass

from orchestration.errors import InvalidWorkflowError, LimitError, RejectedError, UsageError

Errors = tuple[type[BaseException], ...]


@dataclass(frozen=True, slots=True)
class Retry:
    """Attempts with exponential backoff. Crashes of the process do not count as attempts."""

    attempts: int = 1
    delay_s: float = 0.5
    factor: float = 2.0
    max_delay_s: float = 30.0
    jitter: float = 0.1
    """Share of the delay by which it varies, to both sides."""
    on: Errors = (Exception,)
    never: Errors = (UsageError, LimitError, RejectedError)
    """Wins over `on`: what another attempt cannot mend."""

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.delay_s < 0 or not 0 <= self.jitter <= 1:
            raise InvalidWorkflowError(
                f"{self} makes no sense",
                "at least one attempt, no negative delay, jitter between 0 and 1",
            )

    def allows(self, error: BaseException, failures: int) -> bool:
        """Whether to try again after this many failures, the last of them being `error`."""
        if failures >= self.attempts or isinstance(error, self.never):
            return False
        return isinstance(error, self.on)

    def delay(self, failures: int, dice: float) -> float:
        """Seconds to wait after so many failures; `dice` is between 0 and 1."""
        grown = min(self.max_delay_s, self.delay_s * self.factor ** (failures - 1))
        return grown * (1 + self.jitter * (2 * dice - 1))


NO_RETRY = Retry()
