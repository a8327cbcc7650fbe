import json

from hypothesis import given
from hypothesis import strategies as st

from actors.context.entry import Entry
from actors.context.token_limiter import ContextOverflowError, TokenLimiter
from actors.context.tokens import count
from actors.context.tool_call_filter import ToolCallFilter
from actors.context.window import Window
from tests.actors.context.conversation import (
    Call,
    conversations,
    few,
    pairs_are_whole,
    system,
    task,
    turn,
)

TAIL = {"role": "user", "content": "[Your notes]\nPlan: go on"}


def window(limit: int = 100_000) -> Window:
    return Window((ToolCallFilter(), TokenLimiter()), limit=limit)


def test_the_tail_is_shown_last_and_only_once():
    shown = window()
    shown.add([system(), task()])
    assert shown.messages(TAIL)[-1] == TAIL
    shown.add(turn(1, Call()))
    assert TAIL not in shown.messages()


def test_room_is_left_for_the_tail():
    shown = window(limit=60)
    shown.add([system(), task()])
    assert shown.fits()
    assert not shown.fits({"role": "user", "content": "note " * 40})


def test_room_is_left_for_the_tools_counted_exactly_where_it_is_near():
    told = json.dumps([{"name": "read", "description": "Show a file of the workspace. " * 40}])
    tools = count({"role": "system", "content": told})
    opening = system().tokens + task().tokens

    def holds(limit: int) -> bool:
        shown = Window((TokenLimiter(),), limit=limit, told=told)
        shown.add([system(), task()])
        return shown.fits()

    assert holds(opening + tools)
    assert not holds(opening + tools - 1)
    assert Window((), limit=10_000, told=told).uncounted < 10_000 - len(told)


@few
@given(conversations(), st.lists(st.booleans(), min_size=40, max_size=40))
def test_between_compactions_the_prompt_only_grows_at_its_end(
    entries: list[Entry], compact_here: list[bool]
):
    shown, before = window(), ()
    for entry, compact in zip(entries, compact_here, strict=False):
        shown.add([entry])
        assert shown.messages()[: len(before)] == before
        before = shown.messages()
        last_of_turn = entry is entries[-1] or entries[entries.index(entry) + 1].turn > entry.turn
        if compact and last_of_turn and entry.turn:
            shown.compact()
            before = shown.messages()


@few
@given(conversations(), st.sampled_from([500, 2_000, 5_000]))
def test_any_conversation_compacted_whenever_it_must_stays_within_the_limit(
    entries: list[Entry], limit: int
):
    shown = window(limit)
    for position, entry in enumerate(entries):
        shown.add([entry])
        turn_ends = position + 1 == len(entries) or entries[position + 1].turn > entry.turn
        if turn_ends and not shown.fits(TAIL):
            try:
                shown.compact(TAIL)
            except ContextOverflowError:
                return
            assert shown.fits(TAIL)
        if turn_ends:
            assert pairs_are_whole(list(shown.entries))
    assert shown.size == sum(entry.size for entry in shown.entries)
