"""What happened, for people: events are read off the journal, in order, with its numbers.

A client that reconnects asks for what follows the last number it saw, so that it misses nothing
and sees nothing twice.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from orchestration.ids import RunId
from orchestration.messages import Usage


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


class InMemorySink:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def emit(self, event: Event, /) -> None:
        self.events.append(event)
