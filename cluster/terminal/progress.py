"""A run's progress for people and programs: a live tree, plain lines, or JSON lines.

Everything that agents, tools and repositories said is untrusted: it is neutralised and never read
as markup.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

from actors.tools.text import neutralise
from cluster.brain import Brain
from cluster.desk.overhearing import Speaking, overheard
from cluster.runs.view import RunView, fold, step_in_words
from cluster.terminal.figures import duration, totals
from cluster.terminal.options import SCHEMA
from cluster.terminal.painting import Painter, without_echo
from cluster.terminal.tree import PLAIN, RECORDED, Glyphs, Scene, draw
from orchestration.errors import MantaError
from orchestration.events import Event, EventKind, EventSink
from orchestration.messages import FeatureRequest, Plan

TICK_S = 0.2
AskPlan = Callable[[], Awaitable[Plan | None]]
"""The plan as it stands; asked when it was made or edited."""


@contextmanager
def open_sink(
    request: FeatureRequest,
    *,
    as_json: bool,
    out: TextIO | None = None,
    plan: AskPlan | None = None,
) -> Generator[EventSink]:
    """The sink that fits: JSON lines if asked for, a live tree on a terminal, else lines."""
    stream = sys.stdout if out is None else out
    if as_json:
        yield JsonSink(request, stream)
    elif is_screen(stream):
        with without_echo(stream), TreeSink(request, stream, plan) as sink:
            yield sink
    else:
        yield LineSink(request, stream)


@contextmanager
def busy(doing: str, *, as_json: bool) -> Generator[Callable[[str], None]]:
    """A sign of life on a terminal while something takes time; call it to say what comes next.

    Nothing at all where nobody looks on.
    """
    if as_json or not is_screen(sys.stderr):
        yield lambda _: None
        return
    console = Console(stderr=True, highlight=False)
    with console.status(Text(doing, style="dim"), spinner="dots") as status:
        yield lambda words: status.update(Text(words, style="dim"))


def is_screen(stream: TextIO) -> bool:
    """Whether pictures can be painted there."""
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


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
        self._write({"type": "event", **facts_of(event)})

    def _write(self, line: dict[str, object]) -> None:
        self._out.write(json.dumps({"v": SCHEMA, **line}) + "\n")
        self._out.flush()


def facts_of(event: Event) -> dict[str, Any]:
    """Those fields of an event that say something, for programs."""
    fields = {name: value for name, value in asdict(event).items() if name != "usage" and value}
    return fields | ({"usage": event.usage.model_dump()} if event.usage else {})


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
        case "failed" if not step:
            return ""  # of the whole; its end is told
        case "failed" | "retry":
            return f"{step} failed: {text}{' (trying again)' if event.status == 'retry' else ''}"
        case "done" if event.step == "merge":
            return "merge done"
        case _:
            return ""


class TreeSink:
    """A tree that is painted anew as events come and time goes by."""

    def __init__(self, request: FeatureRequest, out: TextIO, plan: AskPlan | None = None) -> None:
        self._painter = Painter(out)
        glyphs = PLAIN if self._painter.is_ascii else Glyphs()
        self._scene = Scene(request, RunView(), time.time(), None, is_recorded(request), glyphs)
        self._ask_plan = plan
        self._timer: asyncio.TimerHandle | None = None
        self._words: Sequence[Speaking] = ()

    def __enter__(self) -> "TreeSink":
        self._tick()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer:
            self._timer.cancel()
        self._painter.leave(draw(self._now(), self._painter.room[0]))

    async def emit(self, event: Event, /) -> None:
        self._scene = replace(self._scene, view=fold(self._scene.view, event))
        is_planned = event.kind is EventKind.STEP and event.step in {"plan", "ask_plan"}
        if self._ask_plan and is_planned and event.status == "done":
            with suppress(MantaError):  # the tree is drawn without it
                self._scene = replace(self._scene, plan=await self._ask_plan())

    def hear(self, words: Sequence[Speaking]) -> None:
        """What models say right now; it is painted until something else is said."""
        self._words = words

    def _tick(self) -> None:
        self._scene = replace(self._now(), tick=self._scene.tick + 1)
        speaking = replace(self._scene, view=overheard(self._scene.view, self._words))
        self._painter.paint(draw(speaking, *self._painter.room))
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _now(self) -> Scene:
        return replace(self._scene, now=time.time())
