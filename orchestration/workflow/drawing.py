"""A workflow as a drawing: JSON for programs, Mermaid for pages, an outline for terminals."""

from collections.abc import Iterator
from typing import Any

from orchestration.workflow.codec import type_name
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

_KINDS: dict[type[Node[Any, Any]], str] = {
    StepNode: "step",
    MapNode: "map",
    SleepNode: "sleep",
    JoinNode: "join",
    BranchNode: "branch",
    ParallelNode: "parallel",
    LoopNode: "loop",
    ForeachNode: "foreach",
    Flow: "workflow",
}


def describe(node: Node[Any, Any]) -> dict[str, Any]:
    """A workflow as plain data, ready for JSON: every node with its kind, types and options."""
    described: dict[str, Any] = {
        "id": node.id,
        "kind": _KINDS[type(node)],
        "takes": type_name(node.takes),
        "gives": type_name(node.gives),
    }
    described |= _options(node)
    below = [describe(one) for one in node.children()]
    if below:
        described["nodes"] = below
    return described


def _options(node: Node[Any, Any]) -> dict[str, Any]:
    match node:
        case StepNode():
            return {
                "attempts": node.retry.attempts,
                "timeout_s": node.timeout_s,
                "total_s": node.total_s,
                "answers": None if node.answers is None else type_name(node.answers),
            }
        case BranchNode():
            conditions = [getattr(condition, "__name__", "?") for condition, _ in node.arms]
            return {
                "mode": node.mode,
                "conditions": conditions,
                "default": node.default.id if node.default else None,
            }
        case ParallelNode():
            return {"limit": node.limit}
        case LoopNode():
            verb = "dountil" if node.stop_when else "dowhile"
            condition = getattr(node.condition, "__name__", "?")
            return {"verb": verb, "condition": condition, "at_most": node.at_most}
        case ForeachNode():
            graph = node.after is not None
            until = getattr(node.until, "__name__", None)
            return {
                "concurrency": node.concurrency,
                "collect": node.collect,
                "ordered": graph,
                "until": until,
            }
        case Flow():
            state = node.state.__name__ if node.state else None
            return {"definition": node.definition, "state": state}
        case _:
            return {}


def outline(flow: Flow[Any, Any]) -> str:
    """A tree of lines for a terminal."""
    return "\n".join([flow.id, *_outline(flow, "")])


def _outline(node: Node[Any, Any], margin: str) -> Iterator[str]:
    below = list(_shown(node))
    for number, one in enumerate(below):
        is_last = number + 1 == len(below)
        yield f"{margin}{'└─ ' if is_last else '├─ '}{_label(one)}"
        yield from _outline(one, margin + ("   " if is_last else "│  "))


def _shown(node: Node[Any, Any]) -> Iterator[Node[Any, Any]]:
    """Children, without repeating the body that a block is named after."""
    for one in node.children():
        if isinstance(node, LoopNode | ForeachNode | JoinNode):
            yield from _shown(one)
        else:
            yield one


def _label(node: Node[Any, Any]) -> str:
    match node:
        case LoopNode():
            word = "until" if node.stop_when else "while"
            condition = getattr(node.condition, "__name__", "?")
            return f"{node.id}  ↻ {word} {condition}, at most {node.at_most}"
        case ForeachNode():
            order = ", in order" if node.after else ""
            until = f", until {getattr(node.until, '__name__', '?')}" if node.until else ""
            return f"{node.id}  × each item, {node.concurrency} at once{order}{until}"
        case BranchNode():
            return f"{node.id}  ◇ {node.mode}"
        case ParallelNode():
            return f"{node.id}  ∥"
        case StepNode() if node.answers is not None:
            return f"{node.id}  ? may ask for {type_name(node.answers)}"
        case StepNode() if node.retry.attempts > 1:
            return f"{node.id}  up to {node.retry.attempts} attempts"
        case _:
            return node.id


def mermaid(flow: Flow[Any, Any]) -> str:
    """A Mermaid flowchart."""
    drawing = _Mermaid()
    first, last = drawing.chain(flow, "  ")
    lines = ["flowchart TD", f'  start(["{flow.id}"])', *drawing.lines]
    lines += [f"  start --> {first}", f"  {last} --> done([done])"]
    return "\n".join(lines)


class _Mermaid:
    """Draws nodes depth first. Every node has an entry and an exit to draw arrows between."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._count = 0

    def chain(self, flow: Flow[Any, Any], margin: str) -> tuple[str, str]:
        """The nodes of a workflow, one after the other."""
        first = last = ""
        for node in flow.nodes:
            entry, leave = self.node(node, margin)
            if last:
                self.lines.append(f"{margin}{last} --> {entry}")
            first, last = first or entry, leave
        return first, last

    def node(self, node: Node[Any, Any], margin: str) -> tuple[str, str]:
        match node:
            case BranchNode() | ParallelNode():
                return self._fan(node, margin)
            case LoopNode() | ForeachNode() | JoinNode():
                return self._around(node.body, _label(node), margin, loops=_repeats(node))
            case Flow():
                return self._around(node, node.id, margin, loops="")
            case _:
                name = self._name()
                self.lines.append(f'{margin}{name}["{_label(node)}"]')
                return name, name

    def _around(
        self, body: Node[Any, Any], label: str, margin: str, *, loops: str
    ) -> tuple[str, str]:
        box = self._name()
        self.lines.append(f'{margin}subgraph {box}["{label}"]')
        if isinstance(body, Flow):
            entry, leave = self.chain(body, margin + "  ")
        else:
            entry, leave = self.node(body, margin + "  ")
        self.lines.append(f"{margin}end")
        if loops:
            self.lines.append(f"{margin}{leave} -. {loops} .-> {entry}")
        return entry, leave

    def _fan(
        self, node: BranchNode[Any, Any] | ParallelNode[Any, Any], margin: str
    ) -> tuple[str, str]:
        fork, join = self._name(), self._name()
        is_branch = isinstance(node, BranchNode)
        opening = f'{{"{node.mode}"}}' if is_branch else '[["parallel"]]'
        self.lines.append(f"{margin}{fork}{opening}")
        self.lines.append(f"{margin}{join}(( ))")
        names = [getattr(c, "__name__", "?") for c, _ in node.arms] if is_branch else []
        for number, arm in enumerate(node.children()):
            entry, leave = self.node(arm, margin)
            said = names[number] if number < len(names) else "default"
            arrow = f"-- {said.strip('<>')} -->" if is_branch else "-->"
            self.lines += [f"{margin}{fork} {arrow} {entry}", f"{margin}{leave} --> {join}"]
        return fork, join

    def _name(self) -> str:
        self._count += 1
        return f"n{self._count}"


def _repeats(node: Node[Any, Any]) -> str:
    return "again" if isinstance(node, LoopNode) else ""
