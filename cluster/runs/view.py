"""What a person sees of a run: a pure fold of its events, drawn by `cluster.terminal.progress`."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from orchestration.events import Event, EventKind
from orchestration.messages import Usage

TEAM = ""
"""Row of what belongs to no task: recalling, planning, delivering."""

_DOING = {
    "recall": "recalling",
    "plan": "planning",
    "ask_plan": "plan gate",
    "begin": "beginning",
    "write_test": "writing a failing test",
    "prove_red": "red gate",
    "write_code": "writing code",
    "prove_green": "green gate",
    "review": "review",
    "audit": "security",
    "challenge": "mutants",
    "agree": "",
    "choose": "",
    "settle": "",
    "merge": "merging",
    "conclude": "testing the whole",
    "ask_delivery": "delivery gate",
    "deliver": "delivering",
}
STAGES = ("test", "red", "code", "green", "review", "merge")
"""What a task goes through, in order."""
_STAGE = {
    "write_test": 0,
    "prove_red": 1,
    "write_code": 2,
    "prove_green": 3,
    "review": 4,
    "audit": 4,
    "challenge": 4,
    "merge": 5,
}
_RIVAL = re.compile(r"/attempt\[(?!1\])")
"""In the key of a step of a second or later coder who competes for a task."""
THINKING = "thinking"
_ENDS = {"done", "failed", "retry", "withdrawn"}


@dataclass(frozen=True, slots=True)
class Act:
    """A step that runs now."""

    name: str
    """What people call it; empty where it takes no time."""
    who: str = ""
    """The player at work, once heard of."""
    said: str = ""
    """What the player does, in its words. Untrusted."""
    key: str = ""
    """The step's."""


@dataclass(frozen=True, slots=True)
class Row:
    """One task, or the team as a whole."""

    task: str
    state: str = "working"
    """working, waiting, done or failed."""
    running: Mapping[str, Act] = field(default_factory=lambda: MappingProxyType({}))
    """Steps that run now, by key."""
    stage: int = 0
    """How many of `STAGES` lie behind it in this round."""
    said: str = ""
    """What was heard last: a tool call, a note, a failure. Untrusted."""
    rounds: int = 0
    """Times that code was written."""
    turns: int = 0
    usage: Usage = field(default_factory=Usage)
    began: float = 0.0
    heard: float = 0.0

    @property
    def doing(self) -> str:
        """What goes on now, in words."""
        if self.state in {"done", "failed"} and not self.running:
            return self.state
        again = f" (round {self.rounds})" if self.rounds > 1 else ""
        return (joined([act.name for act in self.running.values()]) or "…") + again

    @property
    def is_over(self) -> bool:
        return self.state in {"done", "failed"}


@dataclass(frozen=True, slots=True)
class RunView:
    """A run as it stands after its last event."""

    status: str = "pending"
    rows: Mapping[str, Row] = field(default_factory=lambda: MappingProxyType({}))
    waiting: tuple[str, ...] = ()
    """Labels of questions that wait for a person."""
    seq: int = 0
    began: float = 0.0
    heard: float = 0.0

    @property
    def usage(self) -> Usage:
        """Of all agents together."""
        return sum((row.usage for row in self.rows.values()), Usage())

    @property
    def turns(self) -> int:
        return sum(row.turns for row in self.rows.values())


def joined(names: Iterable[str]) -> str:
    """Such as `review, security and mutants`: each once, empty ones left out."""
    *first, last = list(dict.fromkeys(filter(None, names))) or [""]
    return f"{', '.join(first)} and {last}" if first else last


def step_in_words(step: str) -> str:
    """What people call a step; nothing where it takes no time."""
    return _DOING.get(step, step.replace("_", " "))


def fold(view: RunView, event: Event) -> RunView:
    """The view after one more event; one that was seen already changes nothing."""
    if event.seq <= view.seq:
        return view
    view = replace(view, seq=event.seq, began=view.began or event.at, heard=event.at)
    if change := _OF_ROWS.get(event.kind):
        view = _put(view, change(_row(view, event), event))
    match event.kind:
        case EventKind.RUN:
            return replace(view, status="running")
        case EventKind.CANCEL:
            return replace(view, status="being cancelled")
        case EventKind.WAITING:
            return replace(view, waiting=(*view.waiting, event.label))
        case EventKind.DECIDED:
            return replace(view, waiting=tuple(i for i in view.waiting if i != event.label))
        case EventKind.FINISHED:
            return _finish(view, event)
        case _:
            return view


def _row(view: RunView, event: Event) -> Row:
    known = view.rows.get(event.task) or Row(event.task, began=event.at)
    return replace(known, heard=event.at)


def _put(view: RunView, row: Row) -> RunView:
    return replace(view, rows=MappingProxyType({**view.rows, row.task: row}))


def _step(row: Row, event: Event) -> Row:
    if event.status == "started":
        return _begun(row, event)
    if event.status not in _ENDS:
        return row
    state, said, stage = row.state, event.text or row.said, row.stage
    if event.status == "failed":
        state = "failed"
    elif event.status == "done" and event.step == "merge":
        state, stage = "done", len(STAGES)
    return replace(row, state=state, said=said, stage=stage, running=_without(row, event))


def _begun(row: Row, event: Event) -> Row:
    name = step_in_words(event.step)
    again = f", attempt {event.attempt}" if name and event.attempt > 1 else ""
    running = MappingProxyType({**row.running, event.key: Act(name + again, key=event.key)})
    is_rival = bool(_RIVAL.search(event.key))
    begins_round = event.step == "write_code" and event.attempt <= 1 and not is_rival
    stage = row.stage if is_rival else _STAGE.get(event.step, row.stage)
    rounds = row.rounds + begins_round
    return replace(row, state="working", rounds=rounds, stage=stage, running=running)


def _without(row: Row, event: Event) -> Mapping[str, Act]:
    return MappingProxyType({key: act for key, act in row.running.items() if key != event.key})


def _heard(row: Row, event: Event, said: str) -> Mapping[str, Act]:
    """What runs, with the latest of the step that an event is about."""
    act = row.running.get(event.key)
    if act is None:
        return row.running
    told = replace(act, who=event.who or act.who, said=said)
    return MappingProxyType({**row.running, event.key: told})


def _turn(row: Row, event: Event) -> Row:
    if event.status != "reply":
        return replace(row, running=_heard(row, event, THINKING))
    usage = row.usage + event.usage if event.usage else row.usage
    said = f"{event.who}: {event.text}" if event.who and event.text else event.text
    running = _heard(row, event, event.text)
    return replace(row, turns=row.turns + 1, usage=usage, said=said or row.said, running=running)


def _waiting(row: Row, event: Event) -> Row:
    return replace(row, state="waiting", said=event.text, running=_without(row, event))


def _note(row: Row, event: Event) -> Row:
    return replace(row, said=event.text, running=_heard(row, event, event.text))


_OF_ROWS: Mapping[EventKind, Callable[[Row, Event], Row]] = {
    EventKind.STEP: _step,
    EventKind.TURN: _turn,
    EventKind.NOTE: _note,
    EventKind.WAITING: _waiting,
}
"""Events that are about one row, and what they do to it."""


def _finish(view: RunView, event: Event) -> RunView:
    """All rows come to rest; one that was at work has failed unless the run is done."""
    rest = "done" if event.status == "done" else "failed"
    rows = {
        task: row if row.is_over else replace(row, state=rest, running=MappingProxyType({}))
        for task, row in view.rows.items()
    }
    return replace(view, status=event.status or "done", rows=MappingProxyType(rows))
