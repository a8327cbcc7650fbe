"""What was found, as text for a reader who pays by the word."""

from collections.abc import Mapping, Sequence
from itertools import groupby

from actors.lsp.rpc import Json
from actors.lsp.symbols import Symbol
from actors.lsp.workspace import Spot, Workspace

_SHOWN_LINES = 60
"""Of a definition; the outline tells of the rest."""
_LINE = 200
_REFERENCES = 150
_SYMBOLS = 150
_PROBLEMS = 40
_SEVERITIES = ("", "error", "warning", "note", "hint")


def definition_text(workspace: Workspace, symbols: Sequence[Symbol]) -> str:
    """Where each is defined, and its source."""
    return "\n\n".join(_definition(workspace, symbol) for symbol in symbols[:5])


def _definition(workspace: Workspace, symbol: Symbol) -> str:
    lines = workspace.lines(symbol.spot.path)[symbol.first : symbol.last + 1]
    shown = lines[:_SHOWN_LINES]
    text = "\n".join(f"{n:>6}\t{_cut(line)}" for n, line in enumerate(shown, symbol.first + 1))
    more = len(lines) - len(shown)
    tail = f"\n[{more} more lines, to line {symbol.last + 1}]" if more else ""
    return f"{symbol}\n{text}{tail}"


def places_text(workspace: Workspace, spots: Sequence[Spot], name: str) -> str:
    """Places by file, each with its line."""
    if not spots:
        return f"Nothing uses {name or 'it'}."
    files = len({spot.path for spot in spots})
    head = f"{len(spots)} place{'s' * (len(spots) != 1)} in {files} file{'s' * (files != 1)}"
    parts = [f"{head} ({name})" if name else head]
    for path, group in groupby(spots[:_REFERENCES], key=lambda spot: spot.path):
        lines = workspace.lines(path)
        parts.append(path)
        for number in dict.fromkeys(spot.line for spot in group):
            text = lines[number].strip() if number < len(lines) else ""
            parts.append(f"  {number + 1}: {_cut(text)}")
    if len(spots) > _REFERENCES:
        parts.append(f"[{len(spots) - _REFERENCES} more]")
    return "\n".join(parts)


def symbols_text(symbols: Sequence[Symbol], path: str) -> str:
    """An outline of one file, or symbols of many."""
    if not symbols:
        return f"{path} defines nothing."
    lines = [
        f"{s.first + 1}-{s.last + 1}  {s.kind} {s.name}" if path else str(s)
        for s in symbols[:_SYMBOLS]
        if s.kind not in {"variable", "constant"} or not path or "." not in s.name
    ]
    more = [f"[{len(symbols) - _SYMBOLS} more]"] if len(symbols) > _SYMBOLS else []
    return "\n".join([*([path] if path else []), *lines, *more])


def problems_text(problems: Mapping[str, Sequence[Json]], *, errors_only: bool) -> str:
    """What is wrong with some files, the worst first."""
    worst = 1 if errors_only else 2
    found = [
        (int(each.get("severity") or 1), path, each)
        for path, listed in problems.items()
        for each in listed
        if int(each.get("severity") or 1) <= worst
    ]
    if not found:
        kind = "errors" if errors_only else "errors or warnings"
        return f"No {kind} in {', '.join(problems)}."
    found.sort(key=lambda one: (one[0], one[1], one[2]["range"]["start"]["line"]))
    lines = [_problem(*one) for one in found[:_PROBLEMS]]
    more = [f"[{len(found) - _PROBLEMS} more]"] if len(found) > _PROBLEMS else []
    return "\n".join([*lines, *more])


def _problem(severity: int, path: str, each: Json) -> str:
    start = each["range"]["start"]
    said = " ".join(str(each["message"]).split())
    rule = f" [{each['code']}]" if each.get("code") else ""
    where = f"{path}:{start['line'] + 1}:{start['character'] + 1}"
    return f"{where} {_SEVERITIES[min(severity, 4)]}: {_cut(said, 400)}{rule}"


def _cut(text: str, limit: int = _LINE) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"
