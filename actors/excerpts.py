"""What a coder is shown of the files that it is to change: small ones whole, of large ones what is
where, and the symbols that its task names. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from actors.memory.outline import Span, outline
from actors.tools.editing import numbered
from actors.tools.quoting import fenced
from actors.tools.text import neutralise, one_line

_ENTRIES = 200
"""Of one file's outline."""
_SYMBOLS = 12_000
"""Characters of named symbols that are shown in full, all files together."""
_LARGEST = 1_000_000
"""Characters of a file that is looked into."""


@dataclass(frozen=True, slots=True)
class Excerpts:
    """Files to be shown."""

    whole: dict[str, str] = field(default_factory=dict[str, str])
    """Path to text."""
    outlined: dict[str, str] = field(default_factory=dict[str, str])
    """Path to what is said of it."""


def excerpts(texts: Mapping[str, str], symbols: Sequence[str], limit: int) -> Excerpts:
    """Of files by path; `symbols` are `path:name`, `limit` the characters of whole ones together.

    The smallest ones come first where not all fit.
    """
    whole: set[str] = set()
    room = limit
    for path in sorted(texts, key=lambda path: len(texts[path])):
        room -= len(texts[path])
        if room >= 0:
            whole.add(path)
    named = [symbol.rpartition(":")[::2] for symbol in symbols]
    left, outlined = _SYMBOLS, dict[str, str]()
    for path in texts:
        if path not in whole:
            names = [name for place, name in named if place == path]
            outlined[path], left = _outlined(path, texts[path], names, left)
    return Excerpts({path: texts[path] for path in texts if path in whole}, outlined)


def _outlined(path: str, text: str, names: Sequence[str], left: int) -> tuple[str, int]:
    """What is where in a file, and its named symbols as far as `left` characters go."""
    lines = neutralise(text).splitlines()
    spans = outline(path, text) if len(text) <= _LARGEST else None
    said = [f"{len(lines):,} lines."]
    entries = list(_entries(spans or ()))
    if entries:
        more = len(entries) - _ENTRIES
        said.append(fenced("\n".join(entries[:_ENTRIES])))
        said += [f"({more} more)"] if more > 0 else []
    for name in dict.fromkeys(names):
        first, last = _place(spans or (), name)
        body = numbered(lines[first - 1 : last], first) if first else ""
        if body and len(body) <= left:
            left -= len(body)
            said.append(f"`{one_line(name, 120)}`, as it is now:\n{fenced(body)}")
    return "\n\n".join(said), left


def _entries(spans: Sequence[Span]) -> Iterator[str]:
    """A line per definition: where it begins. What lies between has the symbol around it."""
    seen: set[str] = set()
    for span in spans:
        if span.symbol and span.symbol not in seen:
            seen.add(span.symbol)
            yield f"{span.first:>6}  {span.form} {span.symbol}"


def _place(spans: Sequence[Span], name: str) -> tuple[int, int]:
    """First and last line of a symbol, with all that it holds; zeros where there is none."""
    wanted = re.sub(r"\(.*", "", name).strip()
    symbols = [span.symbol for span in spans if span.symbol]
    found = next((s for s in symbols if s == wanted), None) or next(
        (s for s in symbols if s.endswith(f".{wanted}")), None
    )
    if not found:
        return 0, 0
    parts = [s for s in spans if s.symbol == found or s.symbol.startswith(f"{found}.")]
    return min(part.first for part in parts), max(part.last for part in parts)
