"""What a recording remembers of a question, and when a new question is the same one.

Two runs of one conversation differ in times, temporary paths, commit ids and the like; such
things are blanked before comparing. Pure: same messages, same fingerprint.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from actors.models.gateway import ModelRequest
from orchestration.messages import Frozen

_BLANKS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.MULTILINE), blank)
    for pattern, blank in (
        (r"(?<![\w/])/[^\s'\":]*?/\.?v?env/", "<venv>/"),
        (r"(?<![\w/])/(?:private/)?(?:tmp|var/tmp|var/folders|dev/shm)\b[^\s'\":,;)\]]*", "<tmp>"),
        (
            r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?",
            "<time>",
        ),
        (r"\b\d+:\d\d:\d\d(?:\.\d+)?\b", "<time>"),
        (r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "<id>"),
        (r"\b(?:0x[0-9a-f]+|[0-9a-f]{7,})\b", "<id>"),
        (r"(?<=[a-z0-9]-)[0-9a-f]{6}\b", "<id>"),
        (r"\b\d+(?:\.\d+)?(?:e-\d+)? ?(?:[mµun]?s|secs?|seconds?|min|minutes?)\b", "<duration>"),
        (r"(?i)\b(c?python|pytest|pluggy)[- ]?\d+(?:\.\d+)*(?:[-.+]?\w+)*", r"\1 <version>"),
        (r"^plugins: .*$", "plugins: <versions>"),
        (r"(?<=randomly-seed=)\d+", "<seed>"),
        (r"[ \t]+$", ""),
    )
)
RECALLED = "# From memory"
"""Heading of what memory found, last in a task: what runs remember differs, and is not the task."""
_STATUS = re.compile(r"\[([^\]·]+?)\s*(?:·[^\]]*)?\]")
_TASK_EXCERPT, _EXCERPT, _AROUND = 4000, 400, 80


class Seen(Frozen):
    """A text as it is remembered: its digest, and some of it for people."""

    digest: str
    excerpt: str = ""


class SeenResult(Seen):
    """One tool's answer. Its status decides; its text may differ."""

    status: str


class Fingerprint(Frozen):
    """One turn's question as it is remembered."""

    task: Seen
    """The first user message."""
    results: tuple[SeenResult, ...] = ()
    """What tools answered since the model last spoke."""
    setting: str = ""
    """Digest of system messages and tool definitions."""


def blank(text: str) -> str:
    """The text without what differs between two runs of the same thing."""
    for pattern, replacement in _BLANKS:
        text = pattern.sub(replacement, text)
    return text.strip()


def fingerprint(request: ModelRequest) -> Fingerprint:
    """What is remembered of a request."""
    messages = request.messages
    said = next((_text(m) for m in messages if m.get("role") == "user"), "")
    task = said.partition(f"\n{RECALLED}")[0]
    system = [_text(m) for m in messages if m.get("role") == "system"]
    is_first = not any(m.get("role") == "assistant" for m in messages)
    return Fingerprint(
        task=_seen(task, _TASK_EXCERPT if is_first else _EXCERPT),
        results=tuple(_result(m) for m in _since_last_answer(messages) if m.get("role") == "tool"),
        setting=_digest(blank("\n".join([*system, json.dumps(request.tools, sort_keys=True)]))),
    )


def departure(recorded: Fingerprint, asked: Fingerprint) -> str:
    """Why the question is another one than the recorded; empty when it is the same."""
    if recorded.task.digest != asked.task.digest:
        return "the task differs: " + _difference(recorded.task.excerpt, asked.task.excerpt)
    was, now = recorded.results, asked.results
    if len(was) != len(now):
        return f"the recording expects {_count(len(was))} of tools, and {len(now)} came"
    for number, (before, after) in enumerate(zip(was, now, strict=True), start=1):
        if before.status != after.status:
            return (
                f"tool result {number} was [{before.status}] and is [{after.status}] now: "
                + _difference(before.excerpt, after.excerpt)
            )
    return ""


def drift(recorded: Fingerprint, asked: Fingerprint) -> str:
    """What differs without mattering; empty when nothing does."""
    notes = ["instructions or tools changed"] if recorded.setting != asked.setting else []
    for number, (was, now) in enumerate(zip(recorded.results, asked.results, strict=True), 1):
        if was.digest != now.digest:
            notes.append(f"tool result {number}: {_difference(was.excerpt, now.excerpt)}")
    return "; ".join(notes)


def _since_last_answer(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    spoken = [at for at, message in enumerate(messages) if message.get("role") == "assistant"]
    return list(messages[spoken[-1] + 1 :]) if spoken else []


def _result(message: Mapping[str, Any]) -> SeenResult:
    """A tool message's status line, such as `[ok]` or `[exit 1 · 0.3 s]`, and its text."""
    text = _text(message)
    found = _STATUS.match(text)
    seen = _seen(text, _EXCERPT)
    return SeenResult(
        status=found[1].lower() if found else "", digest=seen.digest, excerpt=seen.excerpt
    )


def _seen(text: str, size: int) -> Seen:
    plain = blank(text)
    half = size // 2
    excerpt = plain if len(plain) <= size else f"{plain[:half]} … {plain[-half:]}"
    return Seen(digest=_digest(plain), excerpt=excerpt)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]


def _text(message: Mapping[str, Any]) -> str:
    """A message's content as text, whether it is a string, parts or nothing."""
    content: object = message.get("content")
    return content if isinstance(content, str) else json.dumps(content, sort_keys=True)


def _difference(was: str, now: str) -> str:
    """Both texts around the first place where they part."""
    if was == now:
        return "in a part that the recording does not keep"
    at = next((i for i, (a, b) in enumerate(zip(was, now, strict=False)) if a != b), None)
    at = min(len(was), len(now)) if at is None else at
    start = max(0, at - _AROUND // 4)
    return f"recorded {was[start : at + _AROUND]!r}, now {now[start : at + _AROUND]!r}"


def _count(number: int) -> str:
    return "1 answer" if number == 1 else f"{number} answers"
