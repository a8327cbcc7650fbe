"""What whoever submits may wish, and what the hall makes of it: never less careful than it is."""

from dataclasses import dataclass, field
from typing import get_args

from cluster.settings import Settings
from orchestration.approval import Gate
from orchestration.errors import UsageError
from orchestration.messages import Budget

GATES: tuple[Gate, ...] = get_args(Gate)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What whoever submits may ask of a hall. Nothing of it can make the hall less careful."""

    approve: tuple[str, ...] = ()
    """Gates that wait for a person."""
    budget: Budget = field(default_factory=Budget)
    """Limits; the hall's own stay where they are lower."""
    model: str | None = None
    """PROVIDER/NAME; the hall has its key."""
    test_command: str | None = None


def heeding(settings: Settings, wishes: Wishes) -> Settings:
    """The hall's settings for one run.

    Raises:
        UsageError: a gate is unknown.
    """
    asked = tuple(_gate(name) for name in wishes.approve)
    return settings.model_copy(
        update={
            "approve": tuple(dict.fromkeys((*settings.approve, *asked))),
            "budget": stricter(settings.budget, wishes.budget),
            "model": wishes.model or settings.model,
            "test_command": wishes.test_command or settings.test_command,
        }
    )


def stricter(one: Budget, other: Budget) -> Budget:
    """The lower of two limits, each by itself; none only where neither sets one."""
    wanted = other.model_dump(exclude_none=True)
    lower = {
        name: amount if (own := getattr(one, name)) is None else min(own, amount)
        for name, amount in wanted.items()
    }
    return one.model_copy(update=lower)


def _gate(name: str) -> Gate:
    for gate in GATES:
        if gate == name:
            return gate
    raise UsageError(f"there is no gate {name[:40]!r}", f"gates are: {', '.join(GATES)}")
