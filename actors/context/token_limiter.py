"""A hard limit on tokens that never costs what matters."""

from collections.abc import Sequence

from actors.context.entry import Entry, Kind, open_failures
from actors.context.processor import Room, fits
from orchestration.errors import LimitError

_PINNED_FAILURES = 3
_GAP_LINES = 15
_GAP = (
    "[Older turns are no longer shown. `recall` with call=TURN, such as call=3, brings one back; "
    "with call=3.1 one answer. The last of them:]"
)
_BEFORE = {Kind.SYSTEM, Kind.TASK, Kind.GAP}


class ContextOverflowError(LimitError):
    """What must be shown does not fit the model's context. `details`: (tokens, limit)."""


class TokenLimiter:
    """Evicts whole turns, oldest first, once the limit is broken.

    Pinned are the system prompt, the task, the newest turn and the newest open failures; turns
    with older open failures go last. A reply and the results of its calls stay or go together. A
    note in place of what left says how to fetch it.
    """

    def arrive(self, entry: Entry, before: Sequence[Entry]) -> Entry:
        return entry

    def compact(self, entries: Sequence[Entry], room: Room) -> list[Entry]:
        if fits(entries, room.limit):
            return list(entries)
        failures = open_failures(list(entries))
        pinned = {entry.turn for entry in failures[-_PINNED_FAILURES:]} | {entries[-1].turn}
        reluctantly = {entry.turn for entry in failures} - pinned
        turns = sorted({entry.turn for entry in entries if entry.kind not in _BEFORE})
        willingly = [turn for turn in turns if turn not in pinned | reluctantly]

        shown = _evict(list(entries), willingly, room.target)
        if not fits(shown, room.limit):
            shown = _evict(shown, sorted(reluctantly), room.limit)
        if not fits(shown, room.limit):
            shown = _shrink(shown, room.limit, failures[-_PINNED_FAILURES:])
        return shown


def _evict(entries: list[Entry], turns: Sequence[int], target: int) -> list[Entry]:
    """Without the oldest of these turns, as few as bring the rest down to `target`."""
    tokens = sum(entry.tokens for entry in entries)
    weight = dict.fromkeys(turns, 0)
    for entry in entries:
        if entry.turn in weight and entry.kind not in _BEFORE:
            weight[entry.turn] += entry.tokens
    gone: set[int] = set()
    for turn in turns:
        if tokens <= target:
            break
        gone.add(turn)
        tokens -= weight[turn]
    return _without(entries, gone) if gone else entries


def _without(entries: list[Entry], gone: set[int]) -> list[Entry]:
    before = [e for e in entries if e.kind in _BEFORE]
    leaving = [e for e in entries if e.kind not in _BEFORE and e.turn in gone]
    staying = [e for e in entries if e.kind not in _BEFORE and e.turn not in gone]
    opening = [e for e in before if e.kind is not Kind.GAP]
    return [*opening, _gap(before, leaving), *staying]


def _gap(before: Sequence[Entry], leaving: Sequence[Entry]) -> Entry:
    """One message in place of all that ever left."""
    old = [line for e in before if e.kind is Kind.GAP for line in e.message["content"].split("\n")]
    facts = [entry.facts for entry in leaving if entry.facts]
    lines = [*old[1:], *(f"{f.call} {f.name} {f.brief}: {f.ending}" for f in facts)]
    content = "\n".join([_GAP, *lines[-_GAP_LINES:]])
    return Entry({"role": "user", "content": content}, Kind.GAP)


def _shrink(entries: list[Entry], limit: int, pinned: Sequence[Entry]) -> list[Entry]:
    """Whatever is left but pinned in short form, largest first, as a last resort."""
    shown = list(entries)
    kept = {id(entry) for entry in pinned}
    free = [i for i, e in enumerate(shown) if e.whole and id(e) not in kept]
    for position in sorted(free, key=lambda i: -shown[i].tokens):
        shown[position] = _short(shown[position])
        if fits(shown, limit):
            return shown
    tokens = sum(entry.tokens for entry in shown)
    raise ContextOverflowError(
        f"the conversation cannot be brought under {limit:,} tokens: what must be shown has "
        f"{tokens:,}",
        "use a model with a larger context, or give a shorter request",
        tokens,
        limit,
    )


def _short(entry: Entry) -> Entry:
    if entry.kind is Kind.GAP:
        return entry.shortened(_GAP)
    if (facts := entry.facts) is None:
        return entry
    return entry.shortened(
        f"[{facts.ending}]\nToo long for what is left of the context: {facts.size:,} characters. "
        f"`recall` with call={facts.call} shows parts of it."
    )
