import pytest
from hypothesis import given

from actors.context.entry import Entry, Kind, open_failures
from actors.context.processor import Room
from actors.context.token_limiter import ContextOverflowError, TokenLimiter
from tests.actors.context.conversation import (
    Call,
    conversations,
    few,
    notice,
    rooms,
    system,
    task,
    turn,
)

LONG = 3_000


def room(limit: int) -> Room:
    return Room(limit, int(limit * 0.6), 0)


def long_conversation(turns: int = 20) -> list[Entry]:
    rest = [e for n in range(1, turns + 1) for e in turn(n, Call(target=f"step {n}", size=LONG))]
    return [system(), task(), *rest]


def tokens(entries: list[Entry]) -> int:
    return sum(entry.tokens for entry in entries)


def test_what_fits_is_left_alone():
    entries = long_conversation()
    assert TokenLimiter().compact(entries, room(tokens(entries))) == entries


def test_the_oldest_turns_leave_at_once_down_to_the_target():
    entries = long_conversation()
    limit = tokens(entries) - 1
    after = TokenLimiter().compact(entries, room(limit))
    assert tokens(after) < limit * 0.6 + 600
    left = [e.turn for e in after if e.kind is Kind.REPLY]
    assert left == list(range(left[0], 21))
    assert left[0] > 5


def test_a_gap_says_what_left_and_how_to_fetch_it():
    entries = long_conversation()
    after = TokenLimiter().compact(entries, room(tokens(entries) - 1))
    gap = after[2]
    assert gap.kind is Kind.GAP
    assert "`recall` with call=TURN" in gap.message["content"]
    last = max(e.turn for e in entries) - len([e for e in after if e.kind is Kind.REPLY])
    assert f"{last}.1 run step {last}: exit 0 · 0.1 s" in gap.message["content"]


def test_a_second_eviction_continues_the_gap():
    entries = long_conversation(12)
    once = TokenLimiter().compact(entries, room(tokens(entries) - 1))
    more = [*once, *(e for n in range(13, 19) for e in turn(n, Call(size=LONG)))]
    twice = TokenLimiter().compact(more, room(tokens(more) - 1))
    gaps = [e for e in twice if e.kind is Kind.GAP]
    assert len(gaps) == 1
    first_line = once[2].message["content"].split("\n")[1]
    assert first_line in gaps[0].message["content"]


def test_turns_with_the_newest_open_failures_stay():
    entries = long_conversation()
    failing = turn(3, Call(target="pytest", ok=False, size=LONG))
    entries = [e for e in entries if e.turn != 3]
    place = next(i for i, e in enumerate(entries) if e.turn == 4)
    entries[place:place] = failing
    after = TokenLimiter().compact(entries, room(6_000))
    assert failing[0] in after
    assert failing[1] in after
    assert not any(e.turn == 4 for e in after)


def test_a_failure_that_was_mended_may_leave():
    entries = [system(), task(), *turn(1, Call(target="pytest", ok=False, size=LONG))]
    entries += turn(2, Call(target="pytest"))
    entries += [e for n in range(3, 20) for e in turn(n, Call(target=f"step {n}", size=LONG))]
    after = TokenLimiter().compact(entries, room(6_000))
    assert not any(e.turn == 1 for e in after)


def test_answers_of_the_newest_turn_are_shortened_as_a_last_resort_largest_first():
    newest = turn(2, Call(target="big", size=60_000), Call(target="small", size=LONG))
    entries = [system(), task(), *turn(1, Call()), *newest]
    after = TokenLimiter().compact(entries, room(3_000))
    assert "60,000 characters" in after[-2].message["content"]
    assert after[-1] is newest[-1]


def test_what_cannot_fit_is_an_error_that_says_by_how_much():
    entries = [system(), task("word " * 5_000), *turn(1, Call())]
    with pytest.raises(ContextOverflowError, match="under 3,000 tokens") as caught:
        TokenLimiter().compact(entries, room(3_000))
    assert caught.value.details[1] == 3_000
    assert "larger context" in caught.value.fix


def test_the_newest_thing_said_to_the_model_is_never_dropped():
    entries = [*long_conversation(), notice(20, "Stop repeating yourself.")]
    after = TokenLimiter().compact(entries, room(3_000))
    assert after[-1] is entries[-1]


def test_turns_with_older_open_failures_leave_last():
    failing = [turn(n, Call(target=f"case {n}", ok=False, size=LONG)) for n in range(1, 9)]
    fine = [turn(n, Call(target=f"step {n}", size=LONG)) for n in range(9, 12)]
    entries = [system(), task(), *(e for each in (*failing, *fine) for e in each)]
    some = TokenLimiter().compact(entries, Room(tokens(entries) - 1, 100, 0))
    assert {e.turn for e in some if e.kind is Kind.RESULT} == {*range(1, 9), 11}
    least = TokenLimiter().compact(entries, room(tokens(entries) // 2))
    left = {e.turn for e in least if e.kind is Kind.RESULT}
    assert {6, 7, 8, 11} <= left
    assert 1 not in left


@few
@given(conversations(), rooms())
def test_the_limit_holds_and_pins_are_never_lost(entries: list[Entry], room: Room):
    pinned = [*entries[:2], *open_failures(entries)[-3:]]
    try:
        after = TokenLimiter().compact(entries, room)
    except ContextOverflowError:
        return
    assert tokens(after) <= room.limit
    for entry in pinned:
        assert any(each is entry for each in after)


@few
@given(conversations(), rooms())
def test_it_only_gives_up_when_pins_alone_are_too_many(entries: list[Entry], room: Room):
    try:
        TokenLimiter().compact(entries, room)
    except ContextOverflowError:
        turns = {e.turn for e in open_failures(entries)[-3:]} | {entries[-1].turn, 0}
        kept = [e for e in entries if e.turn in turns]
        assert tokens(kept) + 60 > room.limit
