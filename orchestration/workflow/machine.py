"""The machine: events in, records and commands out. It never touches the world.

    machine = Machine(flow, history, value, now)   # a fresh run, or one read from the journal
    machine.advance(event, now)                    # moves on
    machine.take_records(), machine.take_commands()

Whoever drives it makes the records durable first and performs the commands afterwards. What the
history already holds is walked past, so that resuming a run is starting it: there is one path
through the code, and a run that was cut anywhere continues as if it had not been.
"""

from collections.abc import Callable
from typing import Any

from orchestration.errors import RunCancelledError
from orchestration.ids import StepKey
from orchestration.workflow.blocks import FlowFrame, LoopFrame
from orchestration.workflow.facts import ErrorInfo, History
from orchestration.workflow.fans import BranchFrame, ForeachFrame, ParallelFrame
from orchestration.workflow.frame import Core, Frame, Place, starts
from orchestration.workflow.journal import NewRecord, RunStatus
from orchestration.workflow.keys import ROOT
from orchestration.workflow.leaves import JoinFrame, MapFrame, SleepFrame, StepFrame
from orchestration.workflow.shape import (
    BranchNode,
    Flow,
    ForeachNode,
    JoinNode,
    LoopNode,
    MapNode,
    Node,
    ParallelNode,
    SleepNode,
    StepNode,
)
from orchestration.workflow.signals import CancelRequested, Command, Event
from orchestration.workflow.step import Suspension
from orchestration.workflow.values import MissingBlobError, Stored, Value


class Machine:
    """Walks one run of a committed workflow."""

    def __init__(self, flow: Flow[Any, Any], history: History, value: Value, now: float) -> None:
        self._core = Core(history, open_frame, now)
        self._root = _Root(self._core, flow, value)
        self._root.start()
        self._settle()

    def advance(self, event: Event, now: float) -> None:
        """Take one event and move on as far as possible."""
        self._core.now = now
        if isinstance(event, CancelRequested):
            self._root.cancel()
            return
        frame = self._core.live.get(event.key)
        if isinstance(frame, StepFrame | SleepFrame):
            frame.push(lambda: frame.on(event))
        self._settle()

    @property
    def missing(self) -> Stored | None:
        """A value whose blob the next piece of work needs; load it, then call `supplied`."""
        return self._core.missing

    def supplied(self) -> None:
        """Go on: the missing value was loaded."""
        self._core.missing = None
        self._settle()

    def take_records(self) -> list[NewRecord]:
        """Facts since the last call, to be made durable before any command is performed."""
        records, self._core.records = self._core.records, []
        return records

    def take_commands(self) -> list[Command]:
        """What to do since the last call."""
        commands, self._core.commands = self._core.commands, []
        return starts(commands)

    @property
    def ended(self) -> RunStatus | None:
        """Done, failed or cancelled; None while it goes on."""
        return self._root.ended

    @property
    def output(self) -> Value | None:
        """What the workflow gave, once it is done."""
        return self._root.output

    @property
    def error(self) -> ErrorInfo | None:
        """Why it failed."""
        return self._root.error

    @property
    def waits_for_people(self) -> bool:
        """Nothing can go on until somebody answers."""
        return self._root.ended is None and self._root.active == 0

    @property
    def is_asking(self) -> bool:
        """Whether a question is open."""
        return bool(self._core.labels)

    @property
    def suspensions(self) -> dict[StepKey, Suspension]:
        """The open questions."""
        found: dict[StepKey, Suspension] = {}
        for key in self._core.labels.values():
            frame = self._core.live[key]
            assert isinstance(frame, StepFrame), "only steps ask"
            found[key] = frame.past.suspension
        return found

    def _settle(self) -> None:
        core = self._core
        while core.stack and core.missing is None:
            work = core.stack.pop()
            try:
                work()
            except MissingBlobError as missing:
                core.stack.append(work)
                core.missing = missing.stored


class _Root(Frame):
    """Above the workflow: hears how it ended."""

    def __init__(self, core: Core, flow: Flow[Any, Any], value: Value) -> None:
        super().__init__(Place(core, None, 0, None), ROOT, value)
        self.flow = flow
        self.frame: Frame | None = None
        self.ended: RunStatus | None = None
        self.output: Value | None = None
        self.error: ErrorInfo | None = None

    def start(self) -> None:
        self.frame = self.open(self.flow, ROOT, 0, self.value)

    def child_done(self, slot: int, value: Value) -> None:
        self.ended, self.output = RunStatus.DONE, value

    def child_failed(self, slot: int, error: ErrorInfo) -> None:
        self.ended, self.error = RunStatus.FAILED, error

    def cancel(self) -> None:
        if self.ended is None and self.frame is not None:
            self.frame.withdraw()
            self.core.stack.clear()
            self.core.missing = None
            error = RunCancelledError("the run was cancelled", "start it anew, or fork it")
            self.ended, self.error = RunStatus.CANCELLED, ErrorInfo.of(error, ROOT)


def open_frame(place: Place, node: Node[Any, Any], key: StepKey, value: Value) -> Frame:
    """Make the frame for a node."""
    return _FRAMES[type(node)](place, node, key, value)


_FRAMES: dict[type[Node[Any, Any]], Callable[..., Frame]] = {
    StepNode: StepFrame,
    MapNode: MapFrame,
    SleepNode: SleepFrame,
    JoinNode: JoinFrame,
    BranchNode: BranchFrame,
    ParallelNode: ParallelFrame,
    LoopNode: LoopFrame,
    ForeachNode: ForeachFrame,
    Flow: FlowFrame,
}
