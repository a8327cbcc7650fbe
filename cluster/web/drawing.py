"""Pages from templates. Whatever a template shows is neutralised first, then escaped."""

import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse

from actors.tools.text import neutralise
from cluster.runs.view import step_in_words
from orchestration.events import Event, EventKind

HERE = Path(__file__).parent


def _safe(value: object) -> object:
    """Without characters that act on their reader. Our own markup passes."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return neutralise(value)
    return value


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _span(seconds: float) -> str:
    """`4 s`, `3 min`, `2 h 05 min`."""
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%H:%M:%S")


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _ago(at: float) -> str:
    """`12 s ago`, `3 min ago`, `5 h ago`, and days after that."""
    seconds = max(time.time() - at, 0)
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def _money(usd: float) -> str:
    """Cents, and what is less than one."""
    return f"${usd:,.4f}" if 0 < usd < 0.01 else f"${usd:,.2f}"


def _short(number: int) -> str:
    """`950`, `12.3k`, `1.2M`."""
    for unit, size in (("M", 1_000_000), ("k", 1_000)):
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return str(number)


def _told(event: Event) -> str:
    """What happened, in a few words; nothing where that would say nothing."""
    match event.kind:
        case EventKind.STEP:
            return _step_told(event)
        case EventKind.RUN:
            return f"run {event.status} {event.text and f'({event.text})'}"
        case EventKind.WAITING:
            return f"waits for a person: {event.text}"
        case EventKind.DECIDED:
            return f"{event.label}: {event.status} {event.text}"
        case EventKind.CANCEL:
            return f"cancel asked for {event.text}"
        case EventKind.FINISHED:
            return f"{event.status} {event.text}"
        case EventKind.NOTE | EventKind.TURN:
            return event.text


def _step_told(event: Event) -> str:
    words = step_in_words(event.step)
    match event.status:
        case "started" if words:
            return words if event.attempt <= 1 else f"{words}, attempt {event.attempt}"
        case "failed" | "retry":
            again = " (trying again)" if event.status == "retry" else ""
            return f"{words or event.step} failed: {event.text}{again}"
        case "done" if event.step == "merge":
            return "merged"
        case _:
            return ""


_QUOTED = re.compile(r"`([^`\n]+)`")


def _code(text: str) -> Markup:
    """Text with what stands in backticks as code."""
    *parts, rest = _QUOTED.split(neutralise(text))
    said = zip(parts[::2], parts[1::2], strict=True)
    return Markup("").join(
        [*(Markup("{}<code>{}</code>").format(*each) for each in said), escape(rest)]
    )


_WORDS = re.compile(r"\w+|\s+|.")


def _parted(before: str, after: str) -> tuple[tuple[str, str, str], tuple[str, str, str]]:
    """Two versions of a line, each as what is alike, what differs, and what is alike again."""
    old, new = (_WORDS.findall(neutralise(text)) for text in (before, after))
    shorter = min(len(old), len(new))
    start = next((n for n in range(shorter) if old[n] != new[n]), shorter)
    rest = shorter - start
    end = next((n for n in range(rest) if old[-n - 1] != new[-n - 1]), rest)
    return _cut(old, start, end), _cut(new, start, end)


def _cut(words: list[str], start: int, end: int) -> tuple[str, str, str]:
    until = len(words) - end
    return "".join(words[:start]), "".join(words[start:until]), "".join(words[until:])


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_safe,
    )
    filters: dict[str, Any] = {
        "moment": _moment, "clock": _clock, "iso": _iso, "ago": _ago, "span": _span,
        "money": _money, "short": _short, "told": _told, "parted": _parted, "code": _code,
    }  # fmt: skip
    made.filters.update(filters)
    return made


_ENVIRONMENT = _environment()


def page(template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A template, filled in."""
    return HTMLResponse(_ENVIRONMENT.get_template(template).render(**values), status)
