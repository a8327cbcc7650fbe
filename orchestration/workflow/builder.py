"""Builds workflows: a chain of verbs, each joint checked as it is made.

    greet = (
        Workflow("greet", Request)
        .then(plan)
        .foreach(build, concurrency=4, key=task_id, after=task_after)
        .then(deliver)
        .commit()
    )

A bare async function is a step named after itself; `step(...)` gives it options; a committed
workflow is a step too.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Generic, Literal, TypeVar, overload

from pydantic import BaseModel

from orchestration.errors import InvalidWorkflowError
from orchestration.workflow.checks import check_ids, check_joint, pure
from orchestration.workflow.codec import codec, type_name
from orchestration.workflow.facts import Collected
from orchestration.workflow.joints import (
    dict_of,
    element_of,
    fits,
    gives_of,
    require_type,
    union,
)
from orchestration.workflow.keys import is_step_id
from orchestration.workflow.shape import (
    BranchNode,
    Flow,
    ForeachNode,
    JoinNode,
    LoopNode,
    LoopView,
    MapNode,
    Mode,
    Node,
    ParallelNode,
    SleepNode,
)
from orchestration.workflow.state import check_state
from orchestration.workflow.stepping import Function, step

In = TypeVar("In")
Out = TypeVar("Out")
Next = TypeVar("Next")
Item = TypeVar("Item")

Step = Function[Out, Next] | Node[Out, Next]
"""What a verb accepts: an async function, `step(...)`, or a committed workflow."""
Condition = Callable[[LoopView[Any]], bool]


class Workflow(Generic[In, Out]):
    """A workflow being built. Every verb gives a new one; `commit` ends the building."""

    @overload
    def __init__(
        self: "Workflow[Item, Item]",
        id: str,
        takes: type[Item],
        *,
        state: type[BaseModel] | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: "Workflow[Any, Any]",
        id: str,
        takes: object,
        *,
        state: type[BaseModel] | None = None,
    ) -> None: ...
    def __init__(
        self,
        id: str,  # noqa: A002 - as `step(id=...)`
        takes: object,
        *,
        state: type[BaseModel] | None = None,
    ) -> None:
        if not is_step_id(id):
            raise InvalidWorkflowError(
                f"{id!r} is no id for a workflow", "start with a letter; letters, digits, _ . : -"
            )
        require_type(takes, f"the input of workflow {id!r}")
        codec(takes)
        if state is not None:
            check_state(state, id)
        self._id, self._takes, self._gives, self._state = id, takes, takes, state
        self._nodes: tuple[Node[Any, Any], ...] = ()

    @overload
    def then(self, step: Step[Out, Next]) -> "Workflow[In, Next]": ...
    @overload
    def then(
        self, step: Step[Out, Item], *, into: Callable[[Out, Item], Next]
    ) -> "Workflow[In, Next]": ...
    def then(
        self, step: Step[Out, Any], *, into: Callable[[Out, Any], Any] | None = None
    ) -> "Workflow[In, Any]":
        """Run a step on the value; with `into`, join its output with the value that went in.

        `into` is a pure function of both; what it gives goes on.
        """
        node = self._fit(step)
        if into is None:
            return self._plus(node)
        gives = gives_of(into, f"the join after {node.id!r}")
        codec(gives)
        return self._plus(
            JoinNode(id=node.id, takes=self._gives, gives=gives, body=node, into=into)
        )

    def map(
        self,
        fn: Callable[[Out], Next],
        *,
        returns: object = None,
        id: str | None = None,  # noqa: A002 - as `step(id=...)`
    ) -> "Workflow[In, Next]":
        """Change the value by a pure function. A lambda needs `returns`, its output's type."""
        named = id or getattr(fn, "__name__", "")
        name = named if is_step_id(named) else f"map-{1 + self._count(MapNode)}"
        gives = gives_of(fn, f"map {name!r}") if returns is None else returns
        require_type(gives, f"the output of map {name!r}")
        codec(gives)
        return self._plus(MapNode(id=name, takes=self._gives, gives=gives, call=fn))

    def branch(
        self,
        *arms: tuple[Callable[[Out], bool], Step[Out, Next]],
        default: Step[Out, Next] | None = None,
        mode: Mode = "first",
        id: str | None = None,  # noqa: A002 - as `step(id=...)`
    ) -> "Workflow[In, Next]":
        """Run the first arm whose condition holds; with mode "all", every such arm at once.

        "first" gives that arm's output; "all" a dict of the outputs by step id. No match without
        a default is an error.
        """
        if not arms:
            raise InvalidWorkflowError(f"a branch in {self._id!r} has no arms", "give it some")
        if mode not in {"first", "all"}:
            raise InvalidWorkflowError(f"branch mode {mode!r} is unknown", "use first or all")
        fitted = tuple((pure(condition, "a branch"), self._fit(arm)) for condition, arm in arms)
        last = None if default is None else self._fit(default)
        steps = [arm for _, arm in fitted] + ([last] if last else [])
        gives = (union if mode == "first" else dict_of)(arm.gives for arm in steps)
        name = id or f"branch({'|'.join(arm.id for arm in steps)})"
        return self._plus(
            BranchNode(
                id=_short(name),
                takes=self._gives,
                gives=gives,
                arms=fitted,
                default=last,
                mode=mode,
            )
        )

    def parallel(
        self,
        *steps: Step[Out, Next],
        limit: int | None = None,
        id: str | None = None,  # noqa: A002 - as `step(id=...)`
    ) -> "Workflow[In, dict[str, Next]]":
        """Run all steps on the same value at once; gives a dict of their outputs by step id."""
        if not steps:
            raise InvalidWorkflowError(f"a parallel in {self._id!r} has no arms", "give it some")
        if limit is not None and limit < 1:
            raise InvalidWorkflowError(f"a parallel's limit is {limit}", "allow at least one")
        arms = tuple(self._fit(arm) for arm in steps)
        name = id or f"parallel({','.join(arm.id for arm in arms)})"
        gives = dict_of(arm.gives for arm in arms)
        return self._plus(
            ParallelNode(id=_short(name), takes=self._gives, gives=gives, arms=arms, limit=limit)
        )

    def dountil(
        self, body: Step[Out, Out], until: Condition, *, at_most: int
    ) -> "Workflow[In, Out]":
        """Run the body until the condition holds, at least once, at most so many times."""
        return self._loop(body, until, at_most, stop_when=True)

    def dowhile(
        self, body: Step[Out, Out], condition: Condition, *, at_most: int
    ) -> "Workflow[In, Out]":
        """Run the body while the condition holds, at least once, at most so many times."""
        return self._loop(body, condition, at_most, stop_when=False)

    @overload
    def foreach(
        self,
        body: Step[Any, Next],
        *,
        collect: Literal[True],
        concurrency: int = 1,
        key: Callable[[Any], str] | None = None,
        after: Callable[[Any], Iterable[str]] | None = None,
        until: Callable[[Any], bool] | None = None,
    ) -> "Workflow[In, list[Collected[Next]]]": ...
    @overload
    def foreach(
        self,
        body: Step[Any, Next],
        *,
        collect: bool = False,
        concurrency: int = 1,
        key: Callable[[Any], str] | None = None,
        after: Callable[[Any], Iterable[str]] | None = None,
        until: Callable[[Any], bool] | None = None,
    ) -> "Workflow[In, list[Next]]": ...
    def foreach(
        self,
        body: Step[Any, Any],
        *,
        concurrency: int = 1,
        key: Callable[[Any], str] | None = None,
        after: Callable[[Any], Iterable[str]] | None = None,
        collect: bool = False,
        until: Callable[[Any], bool] | None = None,
    ) -> "Workflow[In, list[Any]]":
        """Run the body for every item of a list or tuple; gives a list in the input's order.

        Args:
            body: Takes one item.
            concurrency: How many items run at once. A suspended item makes room.
            key: Names an item (its number by default); names are part of step keys.
            after: The names of the items that must be done before this one.
            collect: Give a `Collected` per item, failures too, instead of failing with the first.
            until: Ends the block with the first output that it holds for: items that still run
                are cancelled, and they and those that never began are left out of the list.
        """
        node = _node(body)
        item = element_of(self._gives)
        if item is None:
            raise InvalidWorkflowError(
                f"foreach {node.id!r} in {self._id!r} is given {type_name(self._gives)}",
                "give it a list or a tuple of a declared type",
            )
        if concurrency < 1:
            raise InvalidWorkflowError(f"concurrency is {concurrency}", "allow at least one")
        check_joint(f"each item of {self._left()}", item, node)
        gives = Collected[node.gives] if collect else node.gives
        return self._plus(
            ForeachNode(
                id=node.id,
                takes=self._gives,
                gives=list[gives],
                body=node,
                concurrency=concurrency,
                key=key,
                after=after,
                collect=collect,
                until=None if until is None else pure(until, f"foreach {node.id!r}"),
            )
        )

    def sleep(self, seconds: float | Callable[[Out], float]) -> "Workflow[In, Out]":
        """Wait so many seconds; the value passes through."""
        if not callable(seconds) and seconds < 0:
            raise InvalidWorkflowError(f"a sleep of {seconds} seconds", "give zero or more")
        return self._sleep(SleepNode(id="", takes=None, gives=None, seconds=seconds))

    def sleep_until(self, moment: Callable[[Out], float]) -> "Workflow[In, Out]":
        """Wait until a moment, in seconds since the epoch by the store's clock.

        The value passes through.
        """
        return self._sleep(SleepNode(id="", takes=None, gives=None, until=moment))

    def commit(self, *, compatible_with: Iterable[str] = ()) -> Flow[In, Out]:
        """End the building.

        Args:
            compatible_with: Definitions (`Flow.definition`) of older versions whose runs may be
                continued by this one.

        Raises:
            InvalidWorkflowError: it has no steps, or two of the same id.
        """
        if not self._nodes:
            raise InvalidWorkflowError(f"workflow {self._id!r} is empty", "add a step")
        check_ids(self._id, self._nodes)
        return Flow(
            id=self._id,
            takes=self._takes,
            gives=self._gives,
            nodes=self._nodes,
            state=self._state,
            compatible_with=tuple(compatible_with),
        )

    def _plus(self, node: Node[Any, Next]) -> "Workflow[In, Next]":
        grown: Workflow[In, Next] = Workflow(self._id, self._takes, state=self._state)
        grown._gives, grown._nodes = node.gives, (*self._nodes, node)
        return grown

    def _fit(self, body: "Step[Any, Next]") -> Node[Any, Next]:
        node = _node(body)
        check_joint(self._left(), self._gives, node)
        return node

    def _left(self) -> str:
        return repr(self._nodes[-1].id) if self._nodes else f"the input of {self._id!r}"

    def _count(self, kind: type[Node[Any, Any]]) -> int:
        return sum(isinstance(node, kind) for node in self._nodes)

    def _sleep(self, node: SleepNode[Any, Any]) -> "Workflow[In, Out]":
        name = f"sleep-{1 + self._count(SleepNode)}"
        return self._plus(replace(node, id=name, takes=self._gives, gives=self._gives))

    def _loop(
        self, body: Step[Out, Out], condition: Condition, at_most: int, *, stop_when: bool
    ) -> "Workflow[In, Out]":
        node = self._fit(body)
        if at_most < 1:
            raise InvalidWorkflowError(
                f"loop {node.id!r} runs at most {at_most} times", "allow one"
            )
        if not fits(node.gives, node.takes):
            raise InvalidWorkflowError(
                f"loop {node.id!r} gives {type_name(node.gives)} but takes {type_name(node.takes)}",
                "a loop's body is given its own output again, so both must be alike",
            )
        return self._plus(
            LoopNode(
                id=node.id,
                takes=self._gives,
                gives=node.gives,
                body=node,
                condition=pure(condition, f"loop {node.id!r}"),
                stop_when=stop_when,
                at_most=at_most,
            )
        )


def _node(body: "Step[Any, Next]") -> Node[Any, Next]:
    if isinstance(body, Node):
        return body
    if isinstance(body, Workflow):
        raise InvalidWorkflowError("a workflow that is not committed was used", "call .commit()")
    return step(body)


def _short(name: str) -> str:
    return name if len(name) <= 100 else name[:99] + ")"
