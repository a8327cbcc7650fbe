"""Long outputs give way to one line each once they are no longer fresh."""

import json
from collections.abc import Sequence
from typing import Any

from actors.context.entry import CallFacts, Entry, Kind, open_failures
from actors.context.processor import Room

_WORTH_IT = 400
"""Shorter messages (in bytes) stay as they are: a pointer would save nothing."""
_LONG_ARGUMENT = 1_000
_KEPT_ARGUMENT = 200


class ToolCallFilter:
    """Shows tool results in full while they are fresh, and in short form afterwards.

    At a compaction step, older results change: a success becomes one line; a file that was read
    becomes a pointer once the same was read again or the file was changed, and stays until then;
    a failure stays until the same call is made again. A success that is still in view
    word for word is not shown a second time.
    """

    def arrive(self, entry: Entry, before: Sequence[Entry]) -> Entry:
        facts = entry.facts
        if facts is None or not facts.ok or entry.size < _WORTH_IT:
            return entry
        for earlier in reversed(before):
            seen = earlier.facts
            if seen and earlier.whole and (seen.same, seen.digest) == (facts.same, facts.digest):
                return entry.shortened(
                    f"[{facts.ending}]\nThe same answer, word for word, as to call {seen.call} "
                    f"above (turn {earlier.turn})."
                )
        return entry

    def compact(self, entries: Sequence[Entry], room: Room) -> list[Entry]:
        shown = list(entries)
        failures = {id(entry) for entry in open_failures(shown)}
        later = _Later()
        for position in range(len(shown) - 1, -1, -1):
            entry = shown[position]
            if entry.kind is Kind.REPLY:
                shown[position] = (
                    _short_reply(entry, later.succeeded) if _is_old(entry, room) else entry
                )
            if (facts := entry.facts) is None:
                continue
            if entry.whole and _is_old(entry, room) and id(entry) not in failures:
                shown[position] = _short_result(entry, facts, later)
            later.note(entry, facts)
        return shown


def _is_old(entry: Entry, room: Room) -> bool:
    return entry.turn < room.fresh_from and entry.size >= _WORTH_IT


class _Later:
    """What happened after the entry being looked at."""

    def __init__(self) -> None:
        self.repeated: dict[str, int] = {}
        """Calls made again with an answer in full: digest of the call to the turn."""
        self.changed: dict[str, int] = {}
        """Files written to: path to the turn."""
        self.succeeded: set[str] = set()
        """Ids of calls that went well, as the wire knows them."""

    def note(self, entry: Entry, facts: CallFacts) -> None:
        if entry.whole:
            self.repeated.setdefault(facts.same, entry.turn)
        if facts.ok:
            self.succeeded.add(f"{entry.turn}:{entry.message['tool_call_id']}")
            self.changed.update(dict.fromkeys(facts.writes, entry.turn))


def _short_result(entry: Entry, facts: CallFacts, later: _Later) -> Entry:
    what = f"[{facts.ending}] {facts.name} {facts.brief}"
    fetch = f"{facts.size:,} characters, recall call={facts.call}"
    if facts.reads and facts.ok:
        changed = [later.changed[path] for path in facts.reads if path in later.changed]
        if changed:
            return entry.shortened(f"{what} — stale: changed in turn {min(changed)}; {fetch}")
        if facts.same in later.repeated:
            return entry.shortened(
                f"{what} — read again in turn {later.repeated[facts.same]}; {fetch}"
            )
        return entry
    if not facts.ok:
        return entry.shortened(f"{what} — the same call was made again later; {fetch}")
    return entry.shortened(f"{what} — {fetch}")


def _short_reply(entry: Entry, succeeded: set[str]) -> Entry:
    """A reply whose successful calls carry long texts: their beginnings are enough."""
    calls = [
        _short_call(call) if f"{entry.turn}:{call['id']}" in succeeded else call
        for call in entry.message.get("tool_calls", ())
    ]
    if calls == entry.message.get("tool_calls", []):
        return entry
    message = {**entry.message, "tool_calls": calls}
    return Entry(message, entry.kind, entry.turn, whole=False)


def _short_call(call: dict[str, Any]) -> dict[str, Any]:
    function = call["function"]
    if len(function["arguments"]) < _LONG_ARGUMENT:
        return call
    arguments = json.dumps(_short_value(json.loads(function["arguments"])), ensure_ascii=False)
    return {**call, "function": {**function, "arguments": arguments}}


def _short_value(value: Any) -> Any:
    match value:
        case dict():
            return {key: _short_value(each) for key, each in value.items()}
        case list():
            return [_short_value(each) for each in value]
        case str() if len(value) > 2 * _KEPT_ARGUMENT:
            left_out = len(value) - _KEPT_ARGUMENT
            return f"{value[:_KEPT_ARGUMENT]} [... {left_out:,} characters no longer shown]"
        case _:
            return value
