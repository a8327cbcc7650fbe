"""Frames that hold others one after the other: workflows and loops."""

import json
from typing import Any

from orchestration.errors import CircuitBreakerOpen
from orchestration.ids import StepKey
from orchestration.workflow.facts import ErrorInfo
from orchestration.workflow.frame import Block, Frame, Notes, Place
from orchestration.workflow.journal import NewRecord, RecordKind
from orchestration.workflow.keys import child, iteration
from orchestration.workflow.leaves import blame, boolean
from orchestration.workflow.shape import Flow, LoopNode, LoopView
from orchestration.workflow.state import Scope
from orchestration.workflow.values import Results, Value


class FlowFrame(Block):
    """A workflow: its nodes one after the other."""

    def __init__(self, place: Place, node: Flow[Any, Any], key: StepKey, value: Value) -> None:
        super().__init__(place, key, value)
        self.node = node
        self.gives = node.codec
        if node.state is not None:
            self.scope = Scope(node.state())
        self.current: Frame | None = None

    def start(self) -> None:
        self._step_into(0, self.value)

    def child_done(self, slot: int, value: Value) -> None:
        self.current = None
        if slot + 1 == len(self.node.nodes):
            self.done(value)
        else:
            self._step_into(slot + 1, value)

    def below(self) -> list[Frame]:
        return [] if self.current is None or self.current.dead else [self.current]

    def _step_into(self, index: int, value: Value) -> None:
        node = self.node.nodes[index]
        self.current = self.open(node, child(self.key, node.id), index, value)


class LoopFrame(Frame):
    """The body again and again, until the condition says so or the cap is reached."""

    def __init__(self, place: Place, node: LoopNode[Any, Any], key: StepKey, value: Value) -> None:
        super().__init__(place, key, value)
        self.node = node
        self.outer = place.notes
        self.current: Frame | None = None

    def start(self) -> None:
        self._iterate(1, self.value)

    def child_done(self, slot: int, value: Value) -> None:
        key = iteration(self.key, slot)
        judged = self.core.history.iterations.get(key)
        try:
            stop = json.loads(judged)["stop"] if judged else self._judge(slot, value)
        except Exception as error:  # noqa: BLE001 - the door to a user's condition
            name = getattr(self.node.condition, "__name__", "?")
            who = f"condition {name!r} of loop {self.node.id!r}, iteration {slot},"
            self.fail(blame(error, who, key))
            return
        if judged is None:
            body = json.dumps({"iteration": slot, "stop": stop})
            self.core.records.append(NewRecord(RecordKind.ITERATION, key, slot, body))
        if stop:
            self.notes = self.outer
            self.done(value)
        elif slot >= self.node.at_most:
            self._break(value)
        else:
            self._iterate(slot + 1, value)

    def below(self) -> list[Frame]:
        return [] if self.current is None or self.current.dead else [self.current]

    def _iterate(self, number: int, value: Value) -> None:
        key = iteration(self.key, number)
        self.notes = Notes(key, {})
        self.current = self.open(self.node.body, key, number, value)

    def _judge(self, number: int, value: Value) -> bool:
        assert self.notes is not None, "an iteration has its notes"
        state = None if self.scope is None else self.scope.snapshot()
        view = LoopView(value.look(), number, Results(self.notes.results), state)
        return boolean(self.node.condition(view)) is self.node.stop_when

    def _break(self, value: Value) -> None:
        text, _ = self.node.codec.encode(value.look())
        info = ErrorInfo.of(
            CircuitBreakerOpen(
                f"loop {self.node.id!r} did not end within {self.node.at_most} iterations",
                "read its iterations' results; then allow more, or change the task",
            ),
            self.key,
        )
        self.fail(info.model_copy(update={"result": text}))
