"""What happened, for people: events are read off the journal, in order, with its numbers.

A client that reconnects asks for what follows the last number it saw, so that it misses nothing
and sees nothing twice.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from orchestration.ids import RunId
from orchestration.messages import Usage
from orchestration.workflow.journal import Record, RecordKind


class EventKind(StrEnum):
    """What a person may want to hear about."""

    RUN = "run"
    """The run was created, claimed, recovered or taken over."""
    STEP = "step"
    """A step began, ended, failed or is tried again; `status` says which."""
    TURN = "turn"
    """An agent's model answered or its tools did."""
    NOTE = "note"
    WAITING = "waiting"
    """A person is asked; `text` is the question's title, `label` addresses it."""
    DECIDED = "decided"
    CANCEL = "cancel"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `text` is untrusted and already neutralised for terminals."""

    run_id: RunId
    seq: int
    at: float
    kind: EventKind
    status: str = ""
    """started, done, failed, retry, ... for steps; the run's status for run and finished."""
    task: str = ""
    """The task's id, where the event belongs to one."""
    step: str = ""
    """The step's own id (the last part of its key), such as `write_code`."""
    key: str = ""
    """The whole step key."""
    attempt: int = 0
    who: str = ""
    """The player's readable name, such as `coder-1`."""
    text: str = ""
    label: str = ""
    usage: Usage | None = None
    """Of one model call, on its TURN event."""


class EventSink(Protocol):
    """Somebody who listens. Sinks never fail the run: they raise nothing."""

    async def emit(self, event: Event, /) -> None: ...


_ITEM = re.compile(r"\[([^\]]*)\]")
_TEXT = 300
"""Characters of an event's text."""
_STEP_STATUS = {
    RecordKind.STARTED: "started",
    RecordKind.DONE: "done",
    RecordKind.ITERATION: "round",
    RecordKind.SLEEPING: "sleeping",
}
_SILENT = {RecordKind.EFFECT, RecordKind.CHOSEN, RecordKind.SANDBOX}


def event_of(record: Record) -> Event | None:
    """What a record means to people, or None for the engine's own bookkeeping."""
    if record.kind in _SILENT:
        return None
    body: dict[str, Any] = {}
    if record.kind not in _STEP_STATUS:
        body = json.loads(record.body)
    kind, status, said = _told(record, body)
    items = _ITEM.findall(record.step_key)
    return Event(
        run_id=record.run_id,
        seq=record.seq,
        at=record.at,
        kind=kind,
        status=status,
        task=items[0] if items else "",
        step=re.sub(r"[#\[].*", "", record.step_key.rpartition("/")[2]),
        key=record.step_key,
        attempt=record.attempt,
        who=str(body.get("who", "")),
        text=_plain(said),
        label=str(body.get("label", "")),
        usage=_usage(body) if record.kind is RecordKind.TURN else None,
    )


def _told(record: Record, body: dict[str, Any]) -> tuple[EventKind, str, str]:
    """Kind, status and text."""
    if record.kind in _STEP_STATUS:
        return EventKind.STEP, _STEP_STATUS[record.kind], ""
    kind, tell = _TELLING[record.kind]
    return kind, *tell(body)


def _failed(body: dict[str, Any]) -> tuple[str, str]:
    status = "failed" if body.get("final") else "retry"
    return "withdrawn" if body.get("withdrawn") else status, str(
        _part(body, "error").get("what", "")
    )


def _waiting(body: dict[str, Any]) -> tuple[str, str]:
    payload = json.loads(body.get("payload", "{}"))
    return "", str(payload.get("title", "")) if isinstance(payload, dict) else ""


def _decided(body: dict[str, Any]) -> tuple[str, str]:
    return str(_part(body, "answer").get("answer", "")), _by(body)


def _finished(body: dict[str, Any]) -> tuple[str, str]:
    return str(body.get("status", "")), str(_part(body, "error").get("what", ""))


def _turn(body: dict[str, Any]) -> tuple[str, str]:
    return "reply" if body.get("reply") else "results", _doing(body)


def _by(body: dict[str, Any]) -> str:
    return f"by {body.get('by', 'somebody')}"


def _part(body: dict[str, Any], name: str) -> dict[str, Any]:
    part = body.get(name)
    return part if isinstance(part, dict) else {}


_TELLING: dict[RecordKind, tuple[EventKind, Callable[[dict[str, Any]], tuple[str, str]]]] = {
    RecordKind.CREATED: (EventKind.RUN, lambda _: ("created", "")),
    RecordKind.CLAIMED: (EventKind.RUN, lambda body: ("claimed", str(body.get("was", "")))),
    RecordKind.FAILED: (EventKind.STEP, _failed),
    RecordKind.SUSPENDED: (EventKind.WAITING, _waiting),
    RecordKind.DECIDED: (EventKind.DECIDED, _decided),
    RecordKind.CANCEL: (EventKind.CANCEL, lambda body: ("", _by(body))),
    RecordKind.FINISHED: (EventKind.FINISHED, _finished),
    RecordKind.NOTE: (EventKind.NOTE, lambda body: ("", str(body.get("text", "")))),
    RecordKind.TURN: (EventKind.TURN, _turn),
}


def _doing(body: dict[str, Any]) -> str:
    """What an agent does in this turn: its tool calls, or its words."""
    reply = _part(body, "reply")
    calls = [_call(call) for call in reply.get("tool_calls", [])]
    return ", ".join(calls) or str(reply.get("text", ""))


def _call(call: dict[str, Any]) -> str:
    """`edit wordkit/counting.py`: the name and the argument that says most."""
    try:
        arguments = json.loads(call["arguments"])
    except ValueError:
        arguments = {}
    named = arguments if isinstance(arguments, dict) else {}
    said = next(
        (str(named[a]) for a in ("path", "command", "pattern", "query", "title") if a in named), ""
    )
    return f"{call['name']} {said}".strip()


def _usage(body: dict[str, Any]) -> Usage | None:
    usage = _part(body, "reply").get("usage")
    return Usage.model_validate(usage) if usage else None


def _plain(text: str) -> str:
    """One line without control characters."""
    line = " ".join(text.split())
    printable = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)
    return printable if len(printable) <= _TEXT else f"{printable[: _TEXT - 1]}…"
