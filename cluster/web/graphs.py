"""A plan's tasks as a graph: each stands right of what it comes after, and lines join them."""

from collections.abc import Mapping
from dataclasses import dataclass

from cluster.runs.view import STAGES, TEAM, Act, Row
from orchestration.messages import CodeTask, Plan

CARD = (272, 180)
"""Width and height of a card; `page.css` has the same numbers, in rem of 16."""
GAP = (48, 16)


@dataclass(frozen=True, slots=True)
class Card:
    """One task, and what goes on in it."""

    name: str
    task: CodeTask | None
    """None for work that belongs to no task of the plan."""
    row: Row | None

    @property
    def state(self) -> str:
        return self.row.state if self.row else "planned"

    @property
    def acts(self) -> tuple[Act, ...]:
        """Who does what now."""
        running = self.row.running.values() if self.row else ()
        return tuple(act for act in running if act.name)

    @property
    def stages(self) -> tuple[tuple[str, str], ...]:
        """What it goes through, and how far that is: done, now, or to come."""
        at = self.row.stage if self.row else -1
        if self.state == "done":
            at = len(STAGES)
        return tuple(
            (name, "done" if n < at else "now" if n == at else "to-come")
            for n, name in enumerate(STAGES)
        )


@dataclass(frozen=True, slots=True)
class Edge:
    """A line from one card's right side to another's left side."""

    path: str
    """As SVG draws it."""
    is_done: bool
    """What it leads on from is merged."""


@dataclass(frozen=True, slots=True)
class Graph:
    """Cards in columns, from top to bottom, and the lines between them."""

    columns: tuple[tuple[Card, ...], ...]
    edges: tuple[Edge, ...]
    team: Card | None
    """What belongs to no task: planning, testing the whole, delivering."""
    width: int
    height: int


def graph(plan: Plan | None, rows: Mapping[str, Row]) -> Graph:
    """The plan's tasks by how many have to come before, with what goes on in them.

    Tasks of earlier plans stand in a column of their own, where something was done for them.
    """
    tasks = plan.tasks if plan else ()
    known = {str(task.id) for task in tasks}
    older = [Card(n, None, row) for n, row in rows.items() if n != TEAM and n not in known]
    columns = [older, *_columns(tasks, rows)] if older else _columns(tasks, rows)
    places = {card.name: (x, y) for x, cards in enumerate(columns) for y, card in enumerate(cards)}
    edges = [
        Edge(_line(places[before], places[task.id]), _is_done(rows, before))
        for task in tasks
        for before in _direct(task, tasks)
    ]
    tallest = max(map(len, columns), default=0)
    return Graph(
        columns=tuple(map(tuple, columns)),
        edges=tuple(edges),
        team=Card("team", None, rows[TEAM]) if TEAM in rows else None,
        width=len(columns) * (CARD[0] + GAP[0]) - GAP[0],
        height=tallest * (CARD[1] + GAP[1]) - GAP[1],
    )


def _columns(tasks: tuple[CodeTask, ...], rows: Mapping[str, Row]) -> list[list[Card]]:
    """By depth; within a column, those next to each other that come after the same."""
    depth: dict[str, int] = {}
    waiting = list(tasks)
    while waiting:
        ready = [task for task in waiting if all(before in depth for before in task.after)]
        for task in ready:
            depth[task.id] = max((depth[before] + 1 for before in task.after), default=0)
        waiting = [task for task in waiting if task.id not in depth]
    columns: list[list[Card]] = []
    height: dict[str, float] = {}
    for column in range(max(depth.values(), default=-1) + 1):
        here = [task for task in tasks if depth[task.id] == column]
        here.sort(key=lambda task: _mean([height[before] for before in task.after]))
        height |= {task.id: float(place) for place, task in enumerate(here)}
        columns.append([Card(task.id, task, rows.get(task.id)) for task in here])
    return columns


def _mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers) if numbers else 0.0


def _direct(task: CodeTask, tasks: tuple[CodeTask, ...]) -> list[str]:
    """What it comes after and none of that comes after: other lines would say nothing new."""
    after = {str(one.id): set(map(str, one.after)) for one in tasks}
    implied: set[str] = set()
    waiting = [before for named in task.after for before in after[named]]
    while waiting:
        each = waiting.pop()
        if each not in implied:
            implied.add(each)
            waiting += after[each]
    return [str(before) for before in task.after if before not in implied]


def _is_done(rows: Mapping[str, Row], task: str) -> bool:
    return task in rows and rows[task].state == "done"


def _line(start: tuple[int, int], end: tuple[int, int]) -> str:
    x1, y1 = start[0] * (CARD[0] + GAP[0]) + CARD[0], _middle(start[1])
    x2, y2 = end[0] * (CARD[0] + GAP[0]), _middle(end[1])
    bend = GAP[0] // 2
    return f"M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}"


def _middle(place: int) -> int:
    return place * (CARD[1] + GAP[1]) + CARD[1] // 2
