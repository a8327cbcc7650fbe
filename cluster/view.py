"""What a person sees of a run: a pure fold of its events, drawn by `cluster.progress`."""

import re
from collections.abc import Callable, Mapping
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
_RIVAL = re.compile(r"/attempt\[(?!1\])")
"""In the key of a step of a second or later coder who competes for a task."""
_ENDS = {"done", "failed", "retry", "withdrawn"}


@dataclass(frozen=True, slots=True)
class Row:
    """One task, or the team as a whole."""

    task: str
    state: str = "working"
    """working, waiting, done or failed."""
    running: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Steps that run now: key to what people call it."""
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
        return (" and ".join(filter(None, dict.fromkeys(self.running.values()))) or "…") + again

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
    running = {key: name for key, name in row.running.items() if key != event.key}
    if event.status == "started":
        running[event.key] = step_in_words(event.step)
        begins_round = event.step == "write_code" and event.attempt <= 1
        rounds = row.rounds + (begins_round and not _RIVAL.search(event.key))
        return replace(row, state="working", rounds=rounds, running=MappingProxyType(running))
    if event.status not in _ENDS:
        return row
    state, said = row.state, event.text or row.said
    if event.status == "failed":
        state = "failed"
    elif event.status == "done" and event.step == "merge":
        state = "done"
    return replace(row, state=state, said=said, running=MappingProxyType(running))


def _turn(row: Row, event: Event) -> Row:
    if event.status != "reply":
        return row
    usage = row.usage + event.usage if event.usage else row.usage
    said = f"{event.who}: {event.text}" if event.who and event.text else event.text
    return replace(row, turns=row.turns + 1, usage=usage, said=said or row.said)


def _waiting(row: Row, event: Event) -> Row:
    running = {key: name for key, name in row.running.items() if key != event.key}
    return replace(row, state="waiting", said=event.text, running=MappingProxyType(running))


def _note(row: Row, event: Event) -> Row:
    return replace(row, said=event.text)


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
