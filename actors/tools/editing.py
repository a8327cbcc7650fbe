"""Exact replacement in text, and help when the text is not there."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from actors.tools.tool import ToolError

_SEARCHED_LINES = 4000
"""Near misses are looked for in this many lines; comparing more takes too long."""
_SHOWN_LINES = 30


@dataclass(frozen=True, slots=True)
class Replacement:
    """One wish: `old` becomes `new`, where it stands once, or everywhere with `every`."""

    old: str
    new: str
    every: bool = False


@dataclass(frozen=True, slots=True)
class Edited:
    """The text afterwards, and where it was touched: offsets into it, first to last."""

    text: str
    touched: tuple[tuple[int, int], ...]
    already: int
    """How many replacements had been made before."""


def apply(text: str, wishes: Sequence[Replacement]) -> Edited:
    """Make all replacements in order, or none.

    Raises:
        ToolError: a text is missing (with the nearest one) or stands in several places.
    """
    touched: list[tuple[int, int]] = []
    already = 0
    windows_lines = "\r\n" in text
    for number, wish in enumerate(wishes, 1):
        place = f"Edit {number} of {len(wishes)}: " if len(wishes) > 1 else ""
        old, new = (_with_line_ends(part, windows_lines) for part in (wish.old, wish.new))
        if _is_done(text, old, new, every=wish.every):
            already += 1
            continue
        starts = _positions(text, old)
        if not starts:
            raise ToolError(f"{place}{_missing(text, old)}")
        if len(starts) > 1 and not wish.every:
            raise ToolError(f"{place}{_ambiguous(text, starts)}")
        text = text.replace(old, new)
        touched = [_moved(span, starts, len(old), len(new)) for span in touched]
        shift = len(new) - len(old)
        spans = (start + i * shift for i, start in enumerate(starts))
        touched += [(start, start + len(new)) for start in spans]
    return Edited(text, tuple(sorted(touched)), already)


def _with_line_ends(text: str, windows_lines: bool) -> str:
    unix = text.replace("\r\n", "\n")
    return unix.replace("\n", "\r\n") if windows_lines else unix


def _is_done(text: str, old: str, new: str, *, every: bool) -> bool:
    """Whether the replacement was made before: asked again, it changes nothing more."""
    if not new or old == new:
        return False
    done = text.count(new)
    if old not in new:
        return old not in text and (done == 1 or (every and done > 0))
    return done > 0 and text.count(old) == done * new.count(old)


def _positions(text: str, old: str) -> list[int]:
    starts: list[int] = []
    at = text.find(old)
    while at >= 0:
        starts.append(at)
        at = text.find(old, at + len(old))
    return starts


def _moved(span: tuple[int, int], starts: list[int], old: int, new: int) -> tuple[int, int]:
    shift = (new - old) * sum(start < span[0] for start in starts)
    return span[0] + shift, span[1] + shift


def _ambiguous(text: str, starts: list[int]) -> str:
    lines = ", ".join(str(text.count("\n", 0, start) + 1) for start in starts[:10])
    return (
        f"the old text stands in {len(starts)} places (lines {lines}). "
        "Add lines around it until it is unique, or set `every`."
    )


def _missing(text: str, old: str) -> str:
    lines, wanted = text.splitlines()[:_SEARCHED_LINES], old.splitlines()
    numbered = [line.split("\t", 1) for line in wanted]
    if all(len(parts) == 2 and parts[0].strip().isdigit() for parts in numbered):
        return "the old text was not found: it carries line numbers. Leave them out."
    if (start := _ignoring_space(lines, wanted)) is not None:
        found = _numbered(lines, start, len(wanted))
        return f"the old text differs in white space. The file has:\n{found}"
    if (start := _nearest(lines, wanted)) is not None:
        found = _numbered(lines, start, len(wanted))
        return f"the old text was not found. Nearest in the file:\n{found}"
    return "the old text was not found, nor anything near it. Read the file again."


def _ignoring_space(lines: list[str], wanted: list[str]) -> int | None:
    bare, sought = ["".join(x.split()) for x in lines], ["".join(x.split()) for x in wanted]
    starts = (i for i in range(len(bare)) if bare[i : i + len(sought)] == sought)
    return next(starts, None)


def _nearest(lines: list[str], wanted: list[str]) -> int | None:
    """Where the lines begin that are most like the wanted ones, if any are like them."""
    anchor = next((i for i, line in enumerate(wanted) if line.strip()), None)
    if anchor is None:
        return None
    alike = difflib.get_close_matches(wanted[anchor], set(lines), n=5, cutoff=0.6)
    starts = [max(0, i - anchor) for i, line in enumerate(lines) if line in alike][:20]
    length = min(len(wanted), _SHOWN_LINES)
    sought = "\n".join(wanted[:length])

    def likeness(start: int) -> float:
        window = "\n".join(lines[start : start + length])
        return difflib.SequenceMatcher(None, window, sought, autojunk=False).quick_ratio()

    return max(starts, key=likeness, default=None)


def _numbered(lines: list[str], start: int, count: int) -> str:
    return numbered(lines[start : start + min(count, _SHOWN_LINES)], start + 1)


def numbered(lines: Sequence[str], first: int) -> str:
    """Lines with their numbers, as `read` shows them."""
    return "\n".join(f"{number:>6}\t{line}" for number, line in enumerate(lines, first))
