"""Guards: every rule about when an agent goes on, is nudged, or stops is a value in a list."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from actors.agent.agent import AgentLimits
from actors.context.entry import CallFacts
from orchestration.errors import BudgetExceededError, MantaError, RunFailedError
from orchestration.messages import Usage

_LEAST_CONTEXT, _MOST_CONTEXT = 64_000, 160_000
"""Bytes between which a context is compacted, whatever the model could take."""


class AgentFailedError(RunFailedError):
    """The agent got nowhere. `details`: (the model's last words,)."""


class Action(Enum):
    """What a guard wants."""

    CONTINUE = "continue"
    STOP = "stop"
    COMPACT = "compact"
    INJECT = "inject"


@dataclass(frozen=True, slots=True)
class Ruling:
    """A guard's answer: with INJECT what to tell the model, with STOP why."""

    action: Action
    text: str = ""
    error: type[MantaError] = AgentFailedError
    fix: str = ""


CONTINUE = Ruling(Action.CONTINUE)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an agent has come, counted over all attempts of its step."""

    turns: int = 0
    """Replies received."""
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    silent: int = 0
    """Replies in a row without a tool call."""
    is_cut_off: bool = False
    """Whether the last reply reached the output limit."""
    unreadable: int = 0
    """Replies in a row none of whose calls had arguments that could be read."""
    refused: int = 0
    """Final answers that were sent back."""
    calls: Sequence[CallFacts] = ()
    """The latest tool calls, oldest first."""
    notices: frozenset[str] = frozenset()
    """What the loop has told the model so far."""
    size: int = 0
    """Bytes of context."""
    floor: int = 0
    """Bytes of context right after the last compaction."""
    fits: Callable[[], bool] = lambda: True
    """Whether the next prompt stays within the hard limit. May have to count."""


class Guard(Protocol):
    """Judges after every turn, from the progress alone."""

    def judge(self, progress: Progress) -> Ruling: ...


@dataclass(frozen=True, slots=True)
class Budget:
    """Stops once `cap` of something is used up, and says so shortly before."""

    what: str
    cap: float
    used: Callable[[Progress], float]
    warn_at: float = 0.85

    def judge(self, progress: Progress) -> Ruling:
        used = self.used(progress)
        if used >= self.cap:
            return Ruling(
                Action.STOP,
                f"the agent has used up its {self.cap:g} {self.what}",
                BudgetExceededError,
                "raise the limit, or split the task into smaller ones",
            )
        warning = (
            f"More than {self.warn_at:.0%} of your {self.cap:g} {self.what} are used. Bring the "
            "work to an end and call `finish`."
        )
        return _once(warning, progress) if used >= self.warn_at * self.cap else CONTINUE


@dataclass(frozen=True, slots=True)
class ToolUse:
    """Reminds a model that only talks; stops one that keeps doing so."""

    reminders: int

    def judge(self, progress: Progress) -> Ruling:
        if progress.silent == 0:
            return CONTINUE
        if progress.silent > self.reminders:
            return Ruling(
                Action.STOP,
                f"the model answered {progress.silent} times in a row without using a tool",
                fix="use a model that can call tools",
            )
        return Ruling(Action.INJECT, "Go on with a tool call, or hand in your answer by `finish`.")


@dataclass(frozen=True, slots=True)
class WholeReplies:
    """Tells a model that what it wrote last was cut off."""

    def judge(self, progress: Progress) -> Ruling:
        if not progress.is_cut_off:
            return CONTINUE
        return Ruling(
            Action.INJECT,
            "Your last reply was cut off at the output limit. Write less at once: large files in "
            "several edits, and no long explanations.",
        )


@dataclass(frozen=True, slots=True)
class ReadableCalls:
    """Stops a model that writes calls nobody can read, however they differ."""

    repairs: int

    def judge(self, progress: Progress) -> Ruling:
        if progress.unreadable <= self.repairs:
            return CONTINUE
        return Ruling(
            Action.STOP,
            f"the model wrote {progress.unreadable} replies in a row without one readable call",
            fix="use a model that can call tools, or set `tools` on its route to text",
        )


@dataclass(frozen=True, slots=True)
class AnswerRepairs:
    """Stops once the final answer was sent back too often."""

    repairs: int

    def judge(self, progress: Progress) -> Ruling:
        if progress.refused <= self.repairs:
            return CONTINUE
        return Ruling(
            Action.STOP,
            f"the final answer was refused {progress.refused} times",
            fix="use a stronger model; what was wrong is in the transcript",
        )


@dataclass(frozen=True, slots=True)
class SameCalls:
    """The same call over and over: failing with nothing changed in between, or undoing itself."""

    nudge_at: int = 3
    stop_at: int = 5

    def judge(self, progress: Progress) -> Ruling:
        if not progress.calls:
            return CONTINUE
        last = progress.calls[-1]
        times = _failures_in_vain(progress.calls) if not last.ok else _changes(progress.calls)
        did = "failed" if not last.ok else "made the same change"
        call = f"`{last.name}` ({last.brief})"
        if times >= self.stop_at:
            return Ruling(
                Action.STOP,
                f"the agent is stuck: {call} {did} {times} times",
                fix="look at the transcript; describe the task in more detail",
            )
        nudge = (
            f"{call} {did} again and again, with nothing changed in between. Repeating it will "
            "not help: find out why, and do something else."
        )
        return _once(nudge, progress) if times >= self.nudge_at else CONTINUE


def _once(text: str, progress: Progress) -> Ruling:
    return CONTINUE if text in progress.notices else Ruling(Action.INJECT, text)


def _failures_in_vain(calls: Sequence[CallFacts]) -> int:
    """How often the last call failed since anything may have changed."""
    times = 0
    for call in reversed(calls):
        if call.ok and (call.writes or call.exit_code is not None):
            break
        times += call.same == calls[-1].same and not call.ok
    return times


def _changes(calls: Sequence[CallFacts]) -> int:
    """How often the last call changed a file; twice means that it was undone in between."""
    return sum(call.same == calls[-1].same and bool(call.writes) for call in calls)


@dataclass(frozen=True, slots=True)
class NewInformation:
    """Every call an exact repetition, answer included: nothing is learnt any more."""

    nudge_at: int = 6
    stop_at: int = 15

    def judge(self, progress: Progress) -> Ruling:
        left = Counter((call.same, call.digest) for call in progress.calls)
        repeated = 0
        for call in reversed(progress.calls):
            left[call.same, call.digest] -= 1
            if left[call.same, call.digest] == 0:
                break
            repeated += 1
        if repeated >= self.stop_at:
            return Ruling(
                Action.STOP,
                f"the agent is stuck: its last {repeated} calls brought nothing new",
                fix="look at the transcript; describe the task in more detail",
            )
        nudge = (
            "Your last calls told you nothing that you did not know. Decide on what you know, or "
            "look elsewhere."
        )
        return _once(nudge, progress) if repeated >= self.nudge_at else CONTINUE


@dataclass(frozen=True, slots=True)
class ContextPressure:
    """Compacts rarely and much at once: a rewritten prompt is paid for in full."""

    soft: int
    """Bytes of context at which compaction pays."""

    def judge(self, progress: Progress) -> Ruling:
        pays = progress.size > max(self.soft, progress.floor + self.soft // 2)
        return Ruling(Action.COMPACT) if pays or not progress.fits() else CONTINUE


def standard_guards(limits: AgentLimits, context_limit: int) -> tuple[Guard, ...]:
    """The guards that every agent has.

    As long as the context has no more bytes than it may have tokens, nothing need be counted. So,
    where that leaves enough, it is compacted then: the tables for counting take 40 MB.
    """
    soft = max(_LEAST_CONTEXT, min(context_limit, _MOST_CONTEXT))
    return (
        Budget("turns", limits.turns, lambda progress: progress.turns),
        Budget("tokens", limits.tokens, _tokens),
        Budget("US dollars", limits.cost_usd, lambda progress: progress.usage.cost_usd),
        Budget("seconds", limits.seconds, lambda progress: progress.seconds),
        ToolUse(limits.reminders),
        WholeReplies(),
        ReadableCalls(2 * limits.repairs),
        AnswerRepairs(limits.repairs),
        SameCalls(),
        NewInformation(),
        ContextPressure(soft),
    )


def _tokens(progress: Progress) -> int:
    return progress.usage.input_tokens + progress.usage.output_tokens
