"""A run's progress for people and programs: a live table, plain lines, or JSON lines.

Everything that agents, tools and repositories said is untrusted: it is neutralised and never read
as markup.
"""

import json
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from actors.tools.text import neutralise
from cluster.brain import Brain
from cluster.options import SCHEMA
from cluster.view import TEAM, Row, RunView, fold, step_in_words
from orchestration.events import Event, EventKind, EventSink
from orchestration.messages import FeatureRequest, Usage

RECORDED = "The model's replies are a recording; everything else is real."

_MARKS = {"working": ("●", "cyan"), "waiting": ("?", "yellow"), "done": ("✓", "green")}
_FAILED = ("✗", "red")


@contextmanager
def open_sink(
    request: FeatureRequest, *, as_json: bool, out: TextIO | None = None
) -> Generator[EventSink]:
    """The sink that fits: JSON lines if asked for, a live table on a terminal, else lines."""
    stream = sys.stdout if out is None else out
    if as_json:
        yield JsonSink(request, stream)
    elif stream.isatty():
        with TableSink(request, Console(file=stream, highlight=False)) as sink:
            yield sink
    else:
        yield LineSink(request, stream)


def is_recorded(request: FeatureRequest) -> bool:
    """Whether a recording answers in place of models."""
    return bool(request.brain and Brain.model_validate_json(request.brain).replay)


def headline(request: FeatureRequest) -> str:
    """One line: which run this is."""
    return neutralise(
        f"Run {request.run_id} on {request.repository}: {' '.join(request.text.split())}"
    )


class JsonSink:
    """One JSON object per line: `v`, `type` and those fields of the event that say something."""

    def __init__(self, request: FeatureRequest, out: TextIO) -> None:
        self._out = out
        self._write(
            {
                "type": "watching",
                "run_id": request.run_id,
                "repository": request.repository,
                "recorded": is_recorded(request),
            }
        )

    async def emit(self, event: Event, /) -> None:
        fields = {name: value for name, value in asdict(event).items() if name != "usage" and value}
        if event.usage:
            fields["usage"] = event.usage.model_dump()
        self._write({"type": "event", **fields})

    def _write(self, line: dict[str, object]) -> None:
        self._out.write(json.dumps({"v": SCHEMA, **line}) + "\n")
        self._out.flush()


class LineSink:
    """One plain line for each thing worth telling; what tools did is left out."""

    def __init__(self, request: FeatureRequest, out: TextIO) -> None:
        self._out = out
        self._view = RunView()
        if is_recorded(request):
            self._say(RECORDED)
        self._say(headline(request))

    async def emit(self, event: Event, /) -> None:
        if event.seq <= self._view.seq:
            return
        self._view = fold(self._view, event)
        if line := line_of(event, self._view):
            self._say(f"{duration(event.at - self._view.began):>6}  {line}")

    def _say(self, line: str) -> None:
        encoding = self._out.encoding or "utf-8"
        self._out.write(line.encode(encoding, "replace").decode(encoding) + "\n")
        self._out.flush()


def line_of(event: Event, view: RunView) -> str:
    """What to tell of an event, or nothing."""
    text = neutralise(event.text)
    match event.kind:
        case EventKind.STEP:
            line = _step_line(event, text)
        case EventKind.NOTE:
            line = text
        case EventKind.WAITING:
            line = f"waits for a person: {text} [{neutralise(event.label)}]"
        case EventKind.DECIDED:
            line = f"{neutralise(event.label)}: {event.status} {text}"
        case EventKind.CANCEL:
            line = f"cancel asked for {text}"
        case EventKind.FINISHED:
            line = f"{event.status}{f': {text}' if text else ''} ({totals(view)})"
        case EventKind.RUN:
            line = f"run {event.status} {text}" if event.status != "claimed" or text else ""
        case EventKind.TURN:
            line = ""
    return f"{neutralise(event.task)}: {line.strip()}" if event.task and line else line.strip()


def _step_line(event: Event, text: str) -> str:
    step = step_in_words(neutralise(event.step))
    match event.status:
        case "started":
            return step if event.attempt <= 1 or not step else f"{step}, attempt {event.attempt}"
        case "failed" | "retry":
            return f"{step} failed: {text}{' (trying again)' if event.status == 'retry' else ''}"
        case "done" if event.step == "merge":
            return "merge done"
        case _:
            return ""


class TableSink:
    """A table that is drawn anew as events come and time goes by."""

    def __init__(self, request: FeatureRequest, console: Console) -> None:
        self._request = request
        self._view = RunView()
        self._live = Live(
            console=console, get_renderable=self._draw, refresh_per_second=4, transient=False
        )
        if is_recorded(request):
            console.print(Text(RECORDED, style="yellow"))

    def __enter__(self) -> "TableSink":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    async def emit(self, event: Event, /) -> None:
        self._view = fold(self._view, event)

    def _draw(self) -> RenderableType:
        return draw(self._request, self._view, now=time.time())


def draw(request: FeatureRequest, view: RunView, *, now: float) -> RenderableType:
    """The run as a table of its tasks."""
    table = Table(box=None, pad_edge=False, expand=True)
    table.add_column("", width=1)
    table.add_column("Task", no_wrap=True)
    table.add_column("Now", no_wrap=True)
    table.add_column("Last heard", ratio=1, no_wrap=True, overflow="ellipsis")
    for title in ("Turns", "Cost", "Time"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in view.rows.values():
        table.add_row(*_cells(row, now))
    head = Text(headline(request), no_wrap=True, overflow="ellipsis")
    return Group(head, table, Text(f"{view.status} · {totals(view)}", style="dim"))


def _cells(row: Row, now: float) -> tuple[Text, ...]:
    """One row, each cell plain text: nothing in it is markup."""
    mark, colour = _MARKS.get(row.state, _FAILED)
    end = row.heard if row.is_over else max(now, row.heard)
    return (
        Text(mark, style=colour),
        Text("the team" if row.task == TEAM else neutralise(row.task), style="bold"),
        Text(neutralise(row.doing)),
        Text(" ".join(neutralise(row.said).split()), style="dim"),
        Text(str(row.turns or "")),
        Text(cost(row.usage)),
        Text(duration(end - row.began)),
    )


def totals(view: RunView) -> str:
    """What the run took so far."""
    tokens = view.usage.input_tokens + view.usage.output_tokens
    spent = [duration(view.heard - view.began), f"{view.turns} turns", f"{tokens:,} tokens"]
    return ", ".join([*spent, cost(view.usage)] if view.usage.cost_usd else spent)


def cost(usage: Usage) -> str:
    """Dollars; empty where models have no price."""
    return f"${usage.cost_usd:.2f}" if usage.cost_usd else ""


def duration(seconds: float) -> str:
    """Such as 8s, 2m05s or 1h02m."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02}m"
