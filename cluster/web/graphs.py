"""A plan's tasks in columns: each stands right of what it comes after."""

from collections.abc import Mapping
from dataclasses import dataclass

from cluster.view import TEAM, Row
from orchestration.messages import CodeTask, Plan


@dataclass(frozen=True, slots=True)
class Card:
    """One task, and what goes on in it. The team as a whole has no task."""

    name: str
    task: CodeTask | None
    row: Row | None

    @property
    def state(self) -> str:
        return self.row.state if self.row else "planned"


def columns(plan: Plan | None, rows: Mapping[str, Row]) -> list[list[Card]]:
    """Cards by how many tasks have to come before. What belongs to no task comes first."""
    tasks = plan.tasks if plan else ()
    depth: dict[str, int] = {}
    waiting = list(tasks)
    while waiting:
        ready = [task for task in waiting if all(before in depth for before in task.after)]
        for task in ready:
            depth[task.id] = max((depth[before] + 1 for before in task.after), default=0)
        waiting = [task for task in waiting if task.id not in depth]
    found: list[list[Card]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for task in tasks:
        found[depth[task.id]].append(Card(task.id, task, rows.get(task.id)))
    others = [Card(name or "team", None, row) for name, row in rows.items() if name not in depth]
    others.sort(key=lambda card: card.row is not None and card.row.task != TEAM)
    return [others, *found] if others else found
