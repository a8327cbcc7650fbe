"""What every context processor promises, on any conversation and any room."""

import copy

from hypothesis import given
from hypothesis import strategies as st

from actors.context.entry import Entry, Kind
from actors.context.processor import ContextProcessor, Room
from actors.context.token_limiter import ContextOverflowError, TokenLimiter
from actors.context.tool_call_filter import ToolCallFilter
from tests.actors.context.conversation import conversations, few, pairs_are_whole, rooms

PLUGS: list[ContextProcessor] = [ToolCallFilter(), TokenLimiter()]
processors = st.sampled_from(PLUGS)


def compacted(processor: ContextProcessor, entries: list[Entry], room: Room) -> list[Entry] | None:
    """What is shown afterwards; None where it cannot fit, which is said."""
    try:
        return processor.compact(entries, room)
    except ContextOverflowError:
        return None


@few
@given(processors, conversations(), rooms())
def test_the_same_input_gives_the_same_output_and_is_not_touched(
    processor: ContextProcessor, entries: list[Entry], room: Room
):
    before = copy.deepcopy(entries)
    first = compacted(processor, entries, room)
    assert entries == before
    assert compacted(processor, before, room) == first


@few
@given(processors, conversations(), rooms())
def test_a_result_never_outlives_its_call_nor_a_call_its_result(
    processor: ContextProcessor, entries: list[Entry], room: Room
):
    assert pairs_are_whole(entries)
    shown = compacted(processor, entries, room)
    assert shown is None or pairs_are_whole(shown)


@few
@given(processors, conversations(), rooms())
def test_instructions_task_and_newest_turn_stay_in_order(
    processor: ContextProcessor, entries: list[Entry], room: Room
):
    shown = compacted(processor, entries, room)
    if shown is not None:
        assert shown[:2] == entries[:2]
        newest = [e.kind for e in entries if e.turn == entries[-1].turn]
        assert [e.kind for e in shown[-len(newest) :]] == newest
        turns = [e.turn for e in shown if e.kind is not Kind.GAP]
        assert turns == sorted(turns)


@few
@given(processors, conversations(), rooms())
def test_compacting_again_changes_nothing_more(
    processor: ContextProcessor, entries: list[Entry], room: Room
):
    once = compacted(processor, entries, room)
    if once is not None:
        assert compacted(processor, once, room) == once


@few
@given(processors, conversations())
def test_what_arrives_keeps_its_place_and_its_pair(
    processor: ContextProcessor, entries: list[Entry]
):
    shown: list[Entry] = []
    for entry in entries:
        shown.append(processor.arrive(entry, shown))
    assert [e.kind for e in shown] == [e.kind for e in entries]
    assert pairs_are_whole(shown)
