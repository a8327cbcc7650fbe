"""What a builder refuses."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from orchestration.errors import InvalidWorkflowError
from orchestration.workflow.codec import type_name
from orchestration.workflow.joints import fits
from orchestration.workflow.shape import BranchNode, Node, ParallelNode


def pure(condition: Callable[..., bool], where: str) -> Callable[..., bool]:
    """Refuse a condition that cannot be called, or that is async."""
    if not callable(condition) or inspect.iscoroutinefunction(condition):
        raise InvalidWorkflowError(
            f"the condition of {where} is {condition!r}", "use a pure, sync function"
        )
    return condition


def check_joint(left: str, gives: object, node: Node[Any, Any]) -> None:
    """Refuse a joint whose sides do not fit, showing both."""
    if not fits(gives, node.takes):
        raise InvalidWorkflowError(
            f"the joint between {left} and {node.id!r} does not fit: "
            f"{left} gives {type_name(gives)}, {node.id!r} takes {type_name(node.takes)}",
            "change one of the two, or put a .map between them",
        )


def check_ids(workflow: str, nodes: Iterable[Node[Any, Any]]) -> None:
    """Refuse two steps of one id: their keys would be the same."""
    seen: set[str] = set()
    for node in nodes:
        arms = list(node.children()) if isinstance(node, BranchNode | ParallelNode) else []
        for one in (node, *arms):
            if one.id in seen:
                raise InvalidWorkflowError(
                    f"workflow {workflow!r} has two steps called {one.id!r}",
                    "name one of them: step(fn, id=...)",
                )
            seen.add(one.id)
