"""Frames that fan out: parallel arms, chosen branches, and the items of a foreach."""

import json
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any, cast

from orchestration.errors import UsageError
from orchestration.ids import StepKey
from orchestration.workflow.facts import Collected, ErrorInfo
from orchestration.workflow.frame import Frame, Place
from orchestration.workflow.journal import NewRecord, RecordKind
from orchestration.workflow.keys import child, item, joined
from orchestration.workflow.leaves import StepFrame, blame, boolean
from orchestration.workflow.shape import BranchNode, ForeachNode, Node, ParallelNode
from orchestration.workflow.state import Scope
from orchestration.workflow.values import DictOf, Element, Held, ListOf, Value


@dataclass(slots=True)
class Arm:
    """One of several things that run beside each other."""

    name: str
    node: Node[Any, Any]
    key: StepKey
    value: Value
    waits_for: set[str] = field(default_factory=set[str])
    """Names of arms that must be done before."""


class Fan(Frame):
    """Arms beside each other, within a limit and an order. A suspended arm makes room."""

    limit: int | None = None
    collects = False

    def __init__(self, place: Place, key: StepKey, value: Value) -> None:
        super().__init__(place, key, value)
        self.arms: list[Arm] = []
        self.pending: deque[int] = deque()
        self.blocked: set[int] = set()
        self.running: dict[int, Frame] = {}
        self.parked: deque[tuple[int, Frame]] = deque()
        self.results: dict[int, Value] = {}
        self.errors: dict[int, ErrorInfo] = {}
        self.followers: dict[str, list[int]] = {}
        self.forks: dict[int, Scope] = {}
        """The shared state as each arm sees it."""

    def gather(self) -> Value:
        """The block's value, once every arm has ended."""
        raise NotImplementedError

    def spread(self, arms: list[Arm]) -> None:
        """Start the arms, as far as limit and order allow."""
        self.arms = arms
        for slot, arm in enumerate(arms):
            for name in arm.waits_for:
                self.followers.setdefault(name, []).append(slot)
            if arm.waits_for:
                self.blocked.add(slot)
            else:
                self.pending.append(slot)
        self.push(self.pump)

    def pump(self) -> None:
        """Start one arm if there is room, then look again."""
        if len(self.results) + len(self.errors) == len(self.arms):
            self._end()
            return
        leaf = self._parked()
        if leaf is not None:
            self.push(self.pump)
            leaf.push(cast("StepFrame", leaf).attempt)
        elif self.pending and self._room():
            slot = self.pending.popleft()
            arm = self.arms[slot]
            self.push(self.pump)
            if self.scope is not None:
                self.forks[slot] = self.scope.fork()
            fork = self.forks.get(slot)
            self.running[slot] = self.open(arm.node, arm.key, slot, arm.value, fork)

    def has_room(self, slot: int) -> bool:
        return self._room() or self.running[slot].active > 0

    def park(self, slot: int, leaf: Frame) -> None:
        self.parked.append((slot, leaf))

    def child_quiet(self, slot: int) -> None:
        if self.limit is not None:
            self.push(self.pump)

    def child_done(self, slot: int, value: Value) -> None:
        del self.running[slot]
        self.results[slot] = value
        name = self.arms[slot].name
        for follower in self.followers.get(name, ()):
            self.arms[follower].waits_for.discard(name)
            if not self.arms[follower].waits_for and follower in self.blocked:
                self.blocked.remove(follower)
                self.pending.append(follower)
        self.push(self.pump)

    def child_failed(self, slot: int, error: ErrorInfo) -> None:
        self.running.pop(slot, None)
        if not self.collects:
            outcomes = tuple(self._outcomes(slot))
            self.fail(error.model_copy(update={"siblings": error.siblings + outcomes}))
            return
        self.errors[slot] = error
        for follower in self.followers.get(self.arms[slot].name, ()):
            if follower in self.blocked:
                self.blocked.remove(follower)
                self.push(lambda f=follower: self.child_failed(f, self._skipped(f, slot)))
        self.push(self.pump)

    def below(self) -> list[Frame]:
        return [frame for frame in self.running.values() if not frame.dead]

    def _end(self) -> None:
        value = self.gather()
        if self.scope is not None:
            done = [(self.arms[s].name, self.forks[s]) for s in sorted(self.results)]
            try:
                self.scope.join(done)
            except Exception as error:  # noqa: BLE001 - the door to a user's reducer
                self.fail(blame(error, f"merging the state after {self.key}", self.key))
                return
        self.done(value)

    def _parked(self) -> Frame | None:
        for _ in range(len(self.parked)):
            slot, leaf = self.parked.popleft()
            if leaf.dead:
                continue
            if self.has_room(slot):
                return leaf
            self.parked.append((slot, leaf))
        return None

    def _room(self) -> bool:
        return self.limit is None or self.active < self.limit

    def _skipped(self, slot: int, because: int) -> ErrorInfo:
        return ErrorInfo(
            name="SkippedError",
            what=f"{self.arms[slot].name!r} comes after {self.arms[because].name!r}, which failed",
            fix="mend what failed, then run again",
            step_key=self.arms[slot].key,
        )

    def _outcomes(self, failed: int) -> Iterable[str]:
        for slot, arm in enumerate(self.arms):
            if slot == failed:
                continue
            frame = self.running.get(slot)
            how = "not started" if frame is None else "cancelled"
            if frame is not None and not frame.active:
                how = "cancelled while it waited for an answer"
            yield f"{arm.key}: {'done' if slot in self.results else how}"


class ParallelFrame(Fan):
    """All arms on the same value; a dict of outputs by step id."""

    def __init__(
        self, place: Place, node: ParallelNode[Any, Any], key: StepKey, value: Value
    ) -> None:
        super().__init__(place, key, value)
        self.limit = node.limit
        self.nodes: Iterable[Node[Any, Any]] = node.arms

    def start(self) -> None:
        above = StepKey(self.key.rpartition("/")[0])
        self.spread([Arm(n.id, n, child(above, n.id), self.value) for n in self.nodes])

    def gather(self) -> Value:
        return DictOf({arm.name: self.results[slot] for slot, arm in enumerate(self.arms)})


class BranchFrame(Fan):
    """The arms whose conditions hold; the choice is journaled before anything acts on it."""

    def __init__(
        self, place: Place, node: BranchNode[Any, Any], key: StepKey, value: Value
    ) -> None:
        super().__init__(place, key, value)
        self.node = node

    def start(self) -> None:
        chosen = self.core.history.chosen.get(self.key)
        try:
            names = json.loads(chosen)["arms"] if chosen else self._choose()
        except Exception as error:  # noqa: BLE001 - the door to a user's condition
            self.fail(blame(error, f"branch {self.node.id!r}", self.key))
            return
        if chosen is None:
            body = json.dumps({"arms": names})
            self.core.records.append(NewRecord(RecordKind.CHOSEN, self.key, 0, body))
        above = StepKey(self.key.rpartition("/")[0])
        arms = [n for n in self.node.children() if n.id in names]
        self.spread([Arm(n.id, n, child(above, n.id), self.value) for n in arms])

    def gather(self) -> Value:
        if self.node.mode == "first":
            return self.results[0]
        return DictOf({arm.name: self.results[slot] for slot, arm in enumerate(self.arms)})

    def _choose(self) -> list[str]:
        value = self.value.look()
        names: list[str] = []
        for condition, arm in self.node.arms:
            if _holds(condition, value, arm.id):
                names.append(arm.id)
                if self.node.mode == "first":
                    break
        if names:
            return names
        if self.node.default is None:
            raise UsageError(
                f"no condition of branch {self.node.id!r} holds and it has no default",
                "give it a default, or a condition for this value",
            )
        return [self.node.default.id]


class ForeachFrame(Fan):
    """The body for every item; a list of outputs in the input's order."""

    def __init__(
        self, place: Place, node: ForeachNode[Any, Any], key: StepKey, value: Value
    ) -> None:
        super().__init__(place, key, value)
        self.node = node
        self.limit = node.concurrency
        self.collects = node.collect

    def start(self) -> None:
        chosen = self.core.history.chosen.get(self.key)
        try:
            graph = json.loads(chosen)["items"] if chosen else self._items()
        except Exception as error:  # noqa: BLE001 - the door to a user's key and after functions
            self.fail(blame(error, f"foreach {self.node.id!r}", self.key))
            return
        if chosen is None:
            body = json.dumps({"items": graph})
            self.core.records.append(NewRecord(RecordKind.CHOSEN, self.key, 0, body))
        self.spread(
            [
                Arm(name, self.node.body, item(self.key, name), Element(self.value, i), set(after))
                for i, (name, after) in enumerate(graph)
            ]
        )

    def child_done(self, slot: int, value: Value) -> None:
        try:
            enough = self._is_enough(slot, value)
        except Exception as error:  # noqa: BLE001 - the door to a user's condition
            self.fail(blame(error, f"foreach {self.node.id!r}", self.key))
            return
        super().child_done(slot, value)
        if enough:
            self._end()

    def _is_enough(self, slot: int, value: Value) -> bool:
        """Whether this output ends the block; journaled before anything acts on it."""
        if self.node.until is None:
            return False
        name, at = self.arms[slot].name, joined(self.key)
        if won := self.core.history.chosen.get(at):
            return json.loads(won)["won"] == name
        enough = _holds(self.node.until, value.look(), name)
        if enough:
            body = json.dumps({"won": name})
            self.core.records.append(NewRecord(RecordKind.CHOSEN, at, 0, body))
        return enough

    def gather(self) -> Value:
        slots = [s for s in range(len(self.arms)) if s in self.results or s in self.errors]
        if not self.collects:
            return ListOf([self.results[slot] for slot in slots])
        return ListOf([self._collected(slot) for slot in slots])

    def _collected(self, slot: int) -> Value:
        kind = Collected[self.node.body.gives]  # pyright: ignore[reportInvalidTypeArguments] - made at run time
        name, done = self.arms[slot].name, self.results.get(slot)
        if done is None:
            return Held(kind(key=name, error=self.errors[slot]))
        return Held(kind(key=name, value=done.take()))

    def _items(self) -> list[tuple[str, list[str]]]:
        items = self.value.look()
        if not isinstance(items, list | tuple):
            raise UsageError(f"it was given {type(items).__name__}", "give it a list or a tuple")
        graph: dict[str, list[str]] = {}
        for number, one in enumerate(cast("list[object]", items)):
            name = str(number) if self.node.key is None else str(self.node.key(one))
            if name in graph:
                raise UsageError(
                    f"two items are called {name!r}", "give every item a key of its own"
                )
            graph[name] = [] if self.node.after is None else [str(a) for a in self.node.after(one)]
        _check_order(graph)
        return list(graph.items())


def _check_order(graph: dict[str, list[str]]) -> None:
    for name, after in graph.items():
        if unknown := sorted(set(after) - graph.keys()):
            raise UsageError(
                f"item {name!r} comes after {', '.join(map(repr, unknown))}, which is no item",
                f"known are {', '.join(map(repr, graph))}",
            )
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = " -> ".join(cast("list[str]", error.args[1]))
        raise UsageError(
            f"its items wait for each other in a circle: {circle}", "break the circle"
        ) from None


def _holds(condition: Callable[[Any], bool], value: object, arm: str) -> bool:
    try:
        return boolean(condition(value))
    except Exception as error:
        name = getattr(condition, "__name__", "?")
        raise UsageError(
            f"condition {name!r} of {arm!r} raised {type(error).__name__}: {error}",
            "a condition is a pure function that answers true or false for any value",
        ) from error
