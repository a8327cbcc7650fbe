"""Leaves of the tree: steps, maps and sleeps."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from orchestration.errors import UsageError
from orchestration.ids import StepKey
from orchestration.workflow.facts import ErrorInfo, Past, Phase, Text, read_output
from orchestration.workflow.frame import Block, Frame, Place
from orchestration.workflow.journal import NewRecord, RecordKind
from orchestration.workflow.keys import joined
from orchestration.workflow.shape import JoinNode, MapNode, SleepNode, StepNode
from orchestration.workflow.signals import (
    Bailed,
    Decided,
    Event,
    Raised,
    Start,
    Stop,
    Succeeded,
    Suspended,
    TakeDefault,
    Wake,
    Woke,
)
from orchestration.workflow.state import decode_update
from orchestration.workflow.step import Suspension
from orchestration.workflow.values import Stored, Value


class StepFrame(Frame):
    """A step: from its first attempt to its last."""

    def __init__(self, place: Place, node: StepNode[Any, Any], key: StepKey, value: Value) -> None:
        super().__init__(place, key, value)
        self.node = node
        self.past = Past()

    @property
    def block(self) -> Block:
        frame = self.parent
        while not isinstance(frame, Block):
            assert frame is not None, "the root is a workflow"
            frame = frame.parent
        return frame

    def start(self) -> None:
        self.past = self.core.history.steps.pop(self.key, self.past)
        self.core.live[self.key] = self
        if self.past.phase is Phase.DONE:
            self._walk_past()
        elif self.past.phase is Phase.FAILED:
            self.fail(self.past.error)
        elif self.past.phase is Phase.SUSPENDED:
            self._wait_for_answer(self.past.suspension)
        elif self.past.phase is not Phase.WITHDRAWN:  # its block is about to end
            self.attempt()

    def attempt(self) -> None:
        """Start, or go on waiting to start, once all limits above have room."""
        for frame, slot in self._above():
            if not frame.has_room(slot):
                frame.park(slot, self)
                return
        self.activate()
        if self.past.phase is Phase.WAITING:
            self.command(Wake(self.key, self.past.retry_at))
        else:
            self._begin()

    def on(self, event: Event) -> None:
        """Take an event that is addressed to this step."""
        past = self.past
        match event:
            case Succeeded() | Bailed() if past.phase is Phase.STARTED:
                self._succeeded(event)
            case Raised() if past.phase is Phase.STARTED:
                self._raised(event)
            case Suspended(suspension=suspension) if past.phase is Phase.STARTED:
                self._suspend(suspension, event)
            case Decided(answer=answer) if past.phase is Phase.SUSPENDED:
                del self.core.labels[past.suspension.label]
                past.phase, past.answer, past.failures = Phase.DECIDED, answer, 0
                self.attempt()
            case Woke(at=at) if past.phase is Phase.WAITING and at >= past.retry_at:
                self._begin()
            case Woke(at=at) if past.phase is Phase.SUSPENDED:
                self._deadline(at)
            case _:
                pass  # late news of an attempt that no longer counts

    def withdraw(self) -> None:
        super().withdraw()
        self.core.live.pop(self.key, None)
        if self.past.phase in {Phase.STARTED, Phase.SUSPENDED, Phase.WAITING}:
            if self.past.phase is Phase.SUSPENDED:
                del self.core.labels[self.past.suspension.label]
            self.command(Stop(self.key))
            self._record(RecordKind.FAILED, json.dumps({"withdrawn": True}))
            self.past.phase = Phase.WITHDRAWN

    def _above(self) -> Iterator[tuple[Frame, int]]:
        frame: Frame = self
        while frame.parent is not None and frame.active == 0:
            yield frame.parent, frame.slot
            frame = frame.parent

    def _begin(self) -> None:
        past = self.past
        counting = past.clock_from or None
        if past.phase in {Phase.NEW, Phase.DECIDED}:
            past.clock_from, counting = self.core.now, None
        past.phase, past.attempt = Phase.STARTED, past.attempt + 1
        self._record(RecordKind.STARTED, "{}")
        self.command(
            Start(
                self.key,
                self.node,
                past.attempt,
                self.value,
                past.answer,
                counting,
                self.block.gives,
                None if self.scope is None else self.scope.snapshot(),
            )
        )

    def _succeeded(self, event: Succeeded | Bailed) -> None:
        is_bail = isinstance(event, Bailed)
        head = '"bail":true,' if is_bail else ""
        if event.updates:
            head += f'"state":{json.dumps(dict(event.updates))},'
        self._record(RecordKind.DONE, event.output.text.write(head))
        self._end(event.output, event.updates, is_bail=is_bail)

    def _end(self, output: Stored, updates: Mapping[str, str], *, is_bail: bool) -> None:
        if updates and self.scope is not None:
            model = self.scope.model
            try:
                self.scope.apply({n: decode_update(model, n, t) for n, t in updates.items()})
            except Exception as error:  # noqa: BLE001 - the door to a user's reducer
                self.fail(blame(error, f"the state's reducers after {self.key}", self.key))
                return
        if is_bail:
            self._bail(output)
        else:
            self.done(output)

    def _raised(self, event: Raised) -> None:
        past = self.past
        past.failures += 1
        error = ErrorInfo.of(event.error, self.key)
        retry_at = event.at + self.node.retry.delay(past.failures, event.dice)
        again = self.node.retry.allows(event.error, past.failures)
        if self.node.total_s is not None:
            again = again and retry_at < past.clock_from + self.node.total_s
        body: dict[str, object] = {"error": error.model_dump(mode="json"), "final": not again}
        if again:
            past.retry_at = body["retry_at"] = retry_at
            past.phase = Phase.WAITING
        self._record(RecordKind.FAILED, json.dumps(body))
        if again:
            self.command(Wake(self.key, past.retry_at))
        else:
            self.fail(error)

    def _suspend(self, suspension: Suspension, event: Suspended) -> None:
        other = self.core.labels.get(suspension.label)
        if other is not None:
            error = UsageError(
                f"{self.key} suspends as {suspension.label!r}, as {other} does already",
                "use a label that is unique among the run's open suspensions",
            )
            self._raised(Raised(event.key, error, self.core.now, 0.5))
            return
        self.past.phase, self.past.body = Phase.SUSPENDED, suspension.model_dump_json()
        self._record(RecordKind.SUSPENDED, self.past.body)
        self.deactivate()
        self._wait_for_answer(suspension)

    def _wait_for_answer(self, suspension: Suspension) -> None:
        self.core.labels[suspension.label] = self.key
        if suspension.deadline is not None and suspension.default is not None:
            self.command(Wake(self.key, suspension.deadline))

    def _deadline(self, at: float) -> None:
        asked = self.past.suspension
        if asked.default is not None and asked.deadline is not None and at >= asked.deadline:
            self.command(TakeDefault(self.key, asked.label, asked.default))

    def _walk_past(self) -> None:
        head, text = read_output(self.past.body)
        is_bail = bool(head.get("bail"))
        output = Stored(text, self.block.gives if is_bail else self.node.codec)
        updates = cast("Mapping[str, str]", head.get("state") or {})
        self._end(output, updates, is_bail=is_bail)

    def _bail(self, output: Stored) -> None:
        block = self.block
        self._leave(None)
        block.push(lambda: block.bail(output))

    def _record(self, kind: RecordKind, body: str) -> None:
        self.core.records.append(NewRecord(kind, self.key, self.past.attempt, body))


class MapFrame(Frame):
    """A pure function. Its result is journaled, so that even an impure one never changes."""

    def __init__(self, place: Place, node: MapNode[Any, Any], key: StepKey, value: Value) -> None:
        super().__init__(place, key, value)
        self.node = node

    def start(self) -> None:
        past = self.core.history.steps.get(self.key)
        if past is not None:
            self.core.history.steps.pop(self.key)
            self.done(Stored(read_output(past.body)[1], self.node.codec))
            return
        value = self.value.look()
        try:
            text, output = self.node.codec.encode(self.node.call(value))
        except Exception as error:  # noqa: BLE001 - the door to a user's function
            self.fail(blame(error, f"map {self.node.id!r}", self.key))
            return
        stored = Stored(Text(inline=text), self.node.codec, output)
        self.core.records.append(NewRecord(RecordKind.DONE, self.key, 1, stored.text.write()))
        self.done(stored)


class JoinFrame(Frame):
    """The body's output joined with the value that went in, by a pure function; journaled too."""

    def __init__(self, place: Place, node: JoinNode[Any, Any], key: StepKey, value: Value) -> None:
        super().__init__(place, key, value)
        self.node = node
        self.body: Frame | None = None

    def start(self) -> None:
        self.body = self.open(self.node.body, self.key, 0, self.value)

    def below(self) -> list[Frame]:
        return [] if self.body is None or self.body.dead else [self.body]

    def child_done(self, slot: int, value: Value) -> None:
        key = joined(self.key)
        past = self.core.history.steps.pop(key, None)
        if past is not None:
            self.done(Stored(read_output(past.body)[1], self.node.codec))
            return
        before, given = self.value.look(), value.look()
        try:
            text, output = self.node.codec.encode(self.node.into(before, given))
        except Exception as error:  # noqa: BLE001 - the door to a user's function
            self.fail(blame(error, f"the join after {self.node.id!r}", key))
            return
        stored = Stored(Text(inline=text), self.node.codec, output)
        self.core.records.append(NewRecord(RecordKind.DONE, key, 1, stored.text.write()))
        self.done(stored)


class SleepFrame(Frame):
    """A wait until a journaled moment."""

    def __init__(self, place: Place, node: SleepNode[Any, Any], key: StepKey, value: Value) -> None:
        super().__init__(place, key, value)
        self.node = node

    def start(self) -> None:
        if self.core.history.steps.pop(self.key, None) is not None:
            self.done(self.value)
            return
        until = self.core.history.sleeps.get(self.key)
        if until is None:
            try:
                until = self._until()
            except Exception as error:  # noqa: BLE001 - the door to a user's function
                self.fail(blame(error, f"sleep {self.node.id!r}", self.key))
                return
            body = json.dumps({"until": until})
            self.core.records.append(NewRecord(RecordKind.SLEEPING, self.key, 0, body))
        self.core.live[self.key] = self
        self.activate()
        self.command(Wake(self.key, until))

    def on(self, event: Event) -> None:
        if isinstance(event, Woke):
            body = Text(inline="null").write()
            self.core.records.append(NewRecord(RecordKind.DONE, self.key, 1, body))
            self.done(self.value)

    def withdraw(self) -> None:
        super().withdraw()
        if self.core.live.pop(self.key, None) is not None:
            self.command(Stop(self.key))

    def _until(self) -> float:
        if self.node.until is not None:
            return float(self.node.until(self.value.look()))
        seconds = self.node.seconds
        if callable(seconds):
            seconds = seconds(self.value.look())
        return self.core.now + float(cast("float", seconds))


def blame(error: Exception, who: str, key: StepKey) -> ErrorInfo:
    """Describe what a user's pure function raised, naming the function."""
    info = ErrorInfo.of(error, key)
    return info.model_copy(update={"what": f"{who} raised {info.name}: {info.what}"})


def boolean(answer: object) -> bool:
    """A condition's answer.

    Raises:
        UsageError: it is neither True nor False.
    """
    if not isinstance(answer, bool):
        raise UsageError(f"a condition answered {type(answer).__name__}", "return True or False")
    return answer
