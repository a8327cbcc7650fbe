"""A frame: one node being walked. Frames form a tree that mirrors where a run stands.

Frames never touch the world. They push work onto the core's stack (depth first, so that what a
frame starts is settled before its siblings move), write records, and hand out commands. They walk
past whatever the history already holds, which is all that resuming is.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from orchestration.ids import StepKey
from orchestration.workflow.codec import Codec
from orchestration.workflow.facts import ErrorInfo, History
from orchestration.workflow.journal import NewRecord
from orchestration.workflow.keys import relative
from orchestration.workflow.shape import Node
from orchestration.workflow.signals import Command, Start
from orchestration.workflow.state import Scope
from orchestration.workflow.values import Stored, Value

Work = Callable[[], None]


@dataclass(slots=True)
class Core:
    """What all frames of a run share."""

    history: History
    open_frame: "Callable[[Place, Node[Any, Any], StepKey, Value], Frame]"
    """Makes the frame for a node."""
    now: float = 0.0
    stack: list[Work] = field(default_factory=list[Work])
    records: list[NewRecord] = field(default_factory=list[NewRecord])
    commands: "list[tuple[Frame, Command]]" = field(default_factory=list["tuple[Frame, Command]"])
    live: "dict[StepKey, Frame]" = field(default_factory=dict[StepKey, "Frame"])
    """Leaves that wait for an event."""
    labels: dict[str, StepKey] = field(default_factory=dict[str, StepKey])
    """Open questions: which step waits under which label."""
    missing: Stored | None = None
    """A value the next piece of work needs, not loaded yet."""


class Notes(NamedTuple):
    """Where the steps of a loop's iteration leave their results for its condition."""

    iteration: StepKey
    results: dict[str, Value]


class Place(NamedTuple):
    """Where a frame hangs: its core, its parent, its slot there, and what it shares."""

    core: Core
    parent: "Frame | None"
    slot: int
    notes: Notes | None
    scope: Scope | None = None
    """The workflow's shared state, where one is declared."""


class Frame:
    """Base of all frames; the root's place has no parent."""

    def __init__(self, place: Place, key: StepKey, value: Value) -> None:
        self.core = place.core
        self.parent = place.parent
        self.slot = place.slot
        self.notes = place.notes
        self.scope = place.scope
        self.key = key
        self.value = value
        self.active = 0
        """How many children (for a leaf: itself) can go on without a person."""
        self.dead = False

    # --- what a kind of frame does ---

    def start(self) -> None:
        """Begin; called once."""
        raise NotImplementedError

    def child_done(self, slot: int, value: Value) -> None:
        raise NotImplementedError

    def child_failed(self, slot: int, error: ErrorInfo) -> None:
        """A child failed for good. Most blocks fail with it."""
        self.fail(error)

    def child_quiet(self, slot: int) -> None:
        """A child cannot go on by itself any more (it ended, or waits for a person)."""

    def has_room(self, slot: int) -> bool:
        """Whether the child there may become active."""
        return True

    def park(self, slot: int, leaf: "Frame") -> None:
        """Start this leaf, below that slot, once there is room."""
        raise NotImplementedError

    def below(self) -> "list[Frame]":
        """Children that have not ended."""
        return []

    # --- what all frames share ---

    def push(self, work: Work) -> None:
        """Do this next, unless the frame has been withdrawn by then."""
        self.core.stack.append(lambda: None if self.dead else work())

    def open(
        self,
        node: Node[Any, Any],
        key: StepKey,
        slot: int,
        value: Value,
        scope: Scope | None = None,
    ) -> "Frame":
        """Make a child and start it next, with this frame's state or one of its own."""
        place = Place(self.core, self, slot, self.notes, scope or self.scope)
        frame = self.core.open_frame(place, node, key, value)
        frame.push(frame.start)
        return frame

    def done(self, value: Value) -> None:
        self._leave(value)
        parent, slot = self.parent, self.slot
        if parent is not None:
            parent.push(lambda: parent.child_done(slot, value))

    def fail(self, error: ErrorInfo) -> None:
        self._leave(None)
        parent, slot = self.parent, self.slot
        if parent is not None:
            parent.push(lambda: parent.child_failed(slot, error))

    def withdraw(self) -> None:
        """End this frame and all below, because the block around it goes on without it."""
        for frame in self.below():
            frame.withdraw()
        self.deactivate()
        self.dead = True

    def command(self, command: Command) -> None:
        self.core.commands.append((self, command))

    def activate(self) -> None:
        self.active += 1
        if self.active == 1 and self.parent is not None:
            self.parent.activate()

    def deactivate(self) -> None:
        """Of a leaf, or of what is left when a frame ends."""
        if self.active == 0:
            return
        self.active = 0
        if self.parent is not None:
            self.parent.one_less(self.slot)

    def one_less(self, slot: int) -> None:
        self.active -= 1
        if not self.dead:
            self.child_quiet(slot)
        if self.active == 0 and self.parent is not None:
            self.parent.one_less(self.slot)

    def _leave(self, value: Value | None) -> None:
        for frame in self.below():
            frame.withdraw()
        self.deactivate()
        self.dead = True
        self.core.live.pop(self.key, None)
        if value is not None and self.notes is not None:
            self.notes.results[relative(self.key, self.notes.iteration)] = value


class Block(Frame):
    """A frame that a `bail` below it ends: a workflow."""

    gives: Codec[Any]

    def bail(self, value: Value) -> None:
        """End with this value; what still runs below is withdrawn."""
        self.done(value)


def starts(commands: "list[tuple[Frame, Command]]") -> list[Command]:
    """The commands that still hold: not to start what was withdrawn since."""
    return [c for frame, c in commands if not (isinstance(c, Start) and frame.dead)]
