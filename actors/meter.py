"""What is measured, and the socket through which it is.

The table below is the whole list: what Prometheus, the dashboard and the docs know is in it.
Tags have few values by nature (a role, a model, a step's name): never a run, a task or a path.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Protocol

PREFIX = "manta_"
"""Ray puts its own `ray_` before it, and `_total` behind what only grows."""
SOON_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0)
LONG_S = (0.01, 0.05, 0.25, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0, 600.0, 1800.0, 7200.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """What is measured: `name` without the prefix, one sentence about it, and its tags."""

    name: str
    about: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Count(Metric):
    """Only grows."""


@dataclass(frozen=True, slots=True)
class Level(Metric):
    """Stands at some value in a process, and is gone with it."""


@dataclass(frozen=True, slots=True)
class Spread(Metric):
    """Durations in seconds, counted by how long they were."""

    bounds: tuple[float, ...] = LONG_S


# --- a run, as its journal tells it --------------------------------------------------------------

RUNS_NOW = Level("runs_driven", "Runs that a supervisor drives now.")
RUNS = Count(
    "runs",
    "Drives of runs by how they began (started, resumed, recovered) and came to rest (done, "
    "failed, cancelled, suspended, dead-letter).",
    ("status",),
)
TASKS_NOW = Level("tasks", "Tasks of the runs that are driven now, by state.", ("state",))
TASKS = Count("tasks_ended", "Tasks that were merged, or given up.", ("outcome",))
STEPS = Spread("step_seconds", "Steps that were done, from their start to their end.", ("step",))
STEP_FAILURES = Count(
    "step_failures", "Attempts of steps that failed, to be tried again or for good.",
    ("step", "outcome"),
)  # fmt: skip
VERDICTS = Count(
    "gate_verdicts",
    "What gates said: red, green, review and merge by what was proven; plan, delivery, tool and "
    "others by people.",
    ("gate", "verdict"),
)
RECOVERIES = Count(
    "recoveries",
    "What was made good after a death: a supervisor restarted, a lease retaken, a worker replaced.",
    ("what",),
)

# --- players and their hands ---------------------------------------------------------------------

LEASE_WAIT = Spread("lease_wait_seconds", "Waiting for a worker, until it was ready.", ("role",))
WORKSPACES = Spread(
    "workspace_seconds", "Sandboxes, until their workspace was ready.", ("level",), SOON_S
)
COMMANDS = Spread(
    "command_seconds", "Commands in sandboxes, by how they ended.", ("level", "ended"), SOON_S
)
RECALLS = Spread(
    "recall_seconds", "Questions to memory; `missed` where it did not answer.", ("outcome",), SOON_S
)

# --- models --------------------------------------------------------------------------------------

TURNS = Count("model_turns", "Replies of models.", ("role", "model"))
TOKENS = Count(
    "model_tokens",
    "Tokens: input (cached ones among them), cached, output.",
    ("role", "model", "kind"),
)
COST = Count("model_cost_usd", "US dollars by the local price table.", ("role", "model"))
REPLIES = Spread(
    "model_seconds", "From question to reply, with all waiting and retries.", ("role", "model")
)

ALL: tuple[Metric, ...] = (
    RUNS_NOW, RUNS, TASKS_NOW, TASKS, STEPS, STEP_FAILURES, VERDICTS, RECOVERIES,
    LEASE_WAIT, WORKSPACES, COMMANDS, RECALLS,
    TURNS, TOKENS, COST, REPLIES,
)  # fmt: skip
"""Every metric there is."""


class Meter(Protocol):
    """Somebody who counts. It raises nothing and keeps nobody waiting."""

    def add(self, count: Count, amount: float = 1.0, /, **tags: str) -> None:
        """So much more of it."""
        ...

    def set(self, level: Level, value: float, /, **tags: str) -> None:
        """It stands at this value now."""
        ...

    def observe(self, spread: Spread, seconds: float, /, **tags: str) -> None:
        """It took so long this time."""
        ...


class Silence:
    """Nobody counts."""

    def add(self, count: Count, amount: float = 1.0, /, **tags: str) -> None: ...

    def set(self, level: Level, value: float, /, **tags: str) -> None: ...

    def observe(self, spread: Spread, seconds: float, /, **tags: str) -> None: ...


Key = tuple[str, ...]
"""Values of a metric's tags, in its order."""


def key_of(metric: Metric, tags: dict[str, str]) -> Key:
    """The tags' values in the metric's order.

    Raises:
        ValueError: tags are missing, or are not the metric's.
    """
    if tags.keys() != set(metric.tags):
        raise ValueError(f"{metric.name} has the tags {metric.tags}, not {tuple(tags)}")
    return tuple(tags[name] for name in metric.tags)


class InMemoryMeter:
    """Keeps all that it is told, to be looked at."""

    def __init__(self) -> None:
        self.counts: defaultdict[tuple[str, Key], float] = defaultdict(float)
        self.levels: dict[tuple[str, Key], float] = {}
        self.spreads: defaultdict[tuple[str, Key], list[float]] = defaultdict(list)

    def add(self, count: Count, amount: float = 1.0, /, **tags: str) -> None:
        self.counts[count.name, key_of(count, tags)] += amount

    def set(self, level: Level, value: float, /, **tags: str) -> None:
        self.levels[level.name, key_of(level, tags)] = value

    def observe(self, spread: Spread, seconds: float, /, **tags: str) -> None:
        self.spreads[spread.name, key_of(spread, tags)].append(seconds)
