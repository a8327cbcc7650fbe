"""A workflow as data: what a builder makes, a machine walks, and a drawing shows.

Every node takes one value and gives one. A `Flow` is a committed workflow and a node like the
others, so that workflows nest wherever a step may stand.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel

from orchestration.ids import StepKey
from orchestration.workflow.codec import Codec, codec, type_name
from orchestration.workflow.keys import ROOT, child, static
from orchestration.workflow.retry import NO_RETRY, Retry

In = TypeVar("In", contravariant=True)
Out = TypeVar("Out", covariant=True)
Mode = Literal["first", "all"]


@dataclass(frozen=True, slots=True)
class LoopView(Generic[Out]):
    """What a loop's condition sees after an iteration."""

    output: Out
    iteration: int
    """From 1."""
    results: Mapping[str, Any]
    """This iteration's steps by their id (inside nested workflows: by their path)."""
    state: Any = None
    """The shared state, where the workflow declares one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node(Generic[In, Out]):
    """Anything that takes a value and gives one."""

    id: str
    takes: object
    gives: object

    @property
    def codec(self) -> Codec[Any]:
        """Of what the node gives."""
        return codec(self.gives)

    def children(self) -> "Iterable[Node[Any, Any]]":
        return ()

    def signature(self) -> str:
        """One line that changes when the node's meaning to old runs does."""
        kind = type(self).__name__.removesuffix("Node").lower()
        return f"{kind}: {type_name(self.takes)} -> {type_name(self.gives)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepNode(Node[In, Out]):
    """One async function."""

    call: Callable[..., Awaitable[Any]]
    wants_ctx: bool
    retry: Retry = NO_RETRY
    timeout_s: float | None = None
    """Of one attempt."""
    total_s: float | None = None
    """Of all attempts together, waits between them included, people's answers not."""
    answers: object | None = None
    """Type of the answers to this step's suspensions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapNode(Node[In, Out]):
    """A pure function."""

    call: Callable[[Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SleepNode(Node[In, Out]):
    """Wait; the value passes through."""

    seconds: float | Callable[[Any], float] | None = None
    until: Callable[[Any], float] | None = None
    """Gives seconds since the epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchNode(Node[In, Out]):
    """One arm, or all, whose condition holds."""

    arms: tuple[tuple[Callable[[Any], bool], Node[Any, Any]], ...]
    default: Node[Any, Any] | None
    mode: Mode

    def children(self) -> Iterator[Node[Any, Any]]:
        yield from (arm for _, arm in self.arms)
        if self.default is not None:
            yield self.default

    def signature(self) -> str:
        return f"branch {self.mode}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelNode(Node[In, Out]):
    """All arms on the same value."""

    arms: tuple[Node[Any, Any], ...]
    limit: int | None

    def children(self) -> Iterable[Node[Any, Any]]:
        return self.arms

    def signature(self) -> str:
        return "parallel"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopNode(Node[In, Out]):
    """The body, again and again. Named after it."""

    body: Node[Any, Any]
    condition: Callable[[LoopView[Any]], bool]
    stop_when: bool
    """True for dountil, False for dowhile: the condition's answer that ends the loop."""
    at_most: int

    def children(self) -> Iterable[Node[Any, Any]]:
        return (self.body,)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeachNode(Node[In, Out]):
    """The body for every item. Named after it."""

    body: Node[Any, Any]
    concurrency: int
    key: Callable[[Any], str] | None
    after: Callable[[Any], Iterable[str]] | None
    collect: bool
    until: Callable[[Any], bool] | None = None

    def children(self) -> Iterable[Node[Any, Any]]:
        return (self.body,)


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinNode(Node[In, Out]):
    """The body, then its output joined with the value that went in. Named after the body."""

    body: Node[Any, Any]
    into: Callable[[Any, Any], Any]

    def children(self) -> Iterable[Node[Any, Any]]:
        return (self.body,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow(Node[In, Out]):
    """A committed workflow."""

    nodes: tuple[Node[Any, Any], ...]
    state: type[BaseModel] | None = None
    """Of the shared state; without one, steps see that of the workflow around."""
    compatible_with: tuple[str, ...] = ()
    """Definitions of older versions whose runs this one may continue."""
    lines: tuple[str, ...] = field(init=False, compare=False)
    """The definition, a line per node: its path and signature."""
    definition: str = field(init=False)
    """Hash of `lines`."""
    index: Mapping[str, Node[Any, Any]] = field(init=False, compare=False)
    """Every node by its static path."""

    def __post_init__(self) -> None:
        index = dict(_walk(self, ROOT))
        below = (f"{path}: {node.signature()}" for path, node in index.items())
        lines = (f"{self.id}: {self.signature()}", *below)
        digest = hashlib.sha256(json.dumps(lines).encode()).hexdigest()[:16]
        for name, value in (("index", index), ("lines", lines), ("definition", digest)):
            object.__setattr__(self, name, value)

    def children(self) -> Iterable[Node[Any, Any]]:
        return self.nodes

    def at(self, key: StepKey) -> Node[Any, Any] | None:
        """The node that runs under this key; a block's body rather than the block."""
        path = static(key)
        return self.index.get(f"{path}*", self.index.get(path))

    def step_at(self, key: StepKey) -> StepNode[Any, Any] | None:
        """The step that runs under this key."""
        found = self.at(key)
        return found if isinstance(found, StepNode) else None

    def signature(self) -> str:
        shared = f", state {self.state.__name__}" if self.state else ""
        return f"workflow: {type_name(self.takes)} -> {type_name(self.gives)}{shared}"


def _walk(node: Node[Any, Any], path: StepKey) -> Iterator[tuple[str, Node[Any, Any]]]:
    """Every node below, with its static path.

    Arms stand beside their block. A loop, a foreach and a join share their body's path, so a star
    tells the body apart.
    """
    for below in node.children():
        key = child(path, below.id)
        yield key, below
        if isinstance(below, LoopNode | ForeachNode | JoinNode):
            yield f"{key}*", below.body
            yield from _walk(below.body, key)
        else:
            yield from _walk(below, key if isinstance(below, Flow) else path)
