"""Pages from templates. Whatever a template shows is neutralised first, then escaped."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from pydantic import BaseModel
from starlette.responses import HTMLResponse

from actors.tools.text import neutralise

HERE = Path(__file__).parent


def _safe(value: object) -> object:
    """Without characters that act on their reader. Our own markup passes."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return neutralise(value)
    return value


def exact(value: BaseModel) -> str:
    """JSON for a form: what would be neutralised is escaped, so that it comes back unchanged."""
    text = value.model_dump_json(indent=2)
    if neutralise(text) == text:
        return text
    return json.dumps(value.model_dump(mode="json"), indent=2)


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _span(seconds: float) -> str:
    """`4 s`, `3 min`, `2 h 05 min`."""
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_safe,
    )
    made.filters.update(moment=_moment, span=_span, money=lambda usd: f"${usd:,.2f}")
    return made


_ENVIRONMENT = _environment()


def page(template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A template, filled in."""
    return HTMLResponse(_ENVIRONMENT.get_template(template).render(**values), status)
