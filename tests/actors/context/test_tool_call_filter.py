import json

from hypothesis import given

from actors.context.entry import Entry, Kind, open_failures
from actors.context.processor import Room
from actors.context.tool_call_filter import ToolCallFilter
from tests.actors.context.conversation import Call, conversations, few, rooms, system, task, turn

LONG = 3_000


def room(fresh_from: int) -> Room:
    return Room(100_000, 60_000, fresh_from)


def shown(*turns: list[Entry], fresh_from: int = 9) -> list[str]:
    """What tool results say after a compaction."""
    entries = [system(), task(), *(entry for each in turns for entry in each)]
    after = ToolCallFilter().compact(entries, room(fresh_from))
    return [e.message["content"] for e in after if e.kind is Kind.RESULT]


def test_an_older_success_becomes_one_line_naming_command_exit_code_time_and_size():
    (line,) = shown(turn(1, Call("run", "make", size=LONG)))
    assert line == "[exit 0 · 0.1 s] run make — 3,000 characters, recall call=1.1"


def test_a_fresh_success_stays_word_for_word():
    (text,) = shown(turn(1, Call(size=LONG)), fresh_from=1)
    assert len(text) > LONG


def test_a_failure_stays_until_the_same_call_is_made_again():
    (stays,) = shown(turn(1, Call(ok=False, size=LONG)))
    assert len(stays) > LONG
    gone, _ = shown(turn(1, Call(ok=False, size=LONG)), turn(2, Call()))
    assert "the same call was made again" in gone


def test_a_file_read_stays_until_the_file_changes():
    (stays,) = shown(turn(1, Call("read", "a.py", size=LONG)))
    assert len(stays) > LONG
    stale, _ = shown(turn(1, Call("read", "a.py", size=LONG)), turn(3, Call("edit", "a.py")))
    assert stale == "[ok] read a.py — stale: changed in turn 3; 3,000 characters, recall call=1.1"


def test_a_file_read_again_is_shown_once():
    first, second = shown(
        turn(1, Call("read", "a.py", size=LONG)), turn(2, Call("read", "a.py", size=LONG + 1))
    )
    assert "read again in turn 2" in first
    assert len(second) > LONG


def test_a_file_stays_in_view_as_long_as_a_later_reading_only_points_to_it():
    first = turn(1, Call("read", "a.py", size=LONG))
    again = turn(2, Call("read", "a.py", size=LONG))
    pointer = ToolCallFilter().arrive(again[1], first)
    read, pointing = shown(first, [again[0], pointer])
    assert len(read) > LONG
    assert "call 1.1 above" in pointing


def test_an_edit_that_failed_or_came_before_makes_nothing_stale():
    _, read, _ = shown(
        turn(1, Call("edit", "a.py")),
        turn(2, Call("read", "a.py", size=LONG)),
        turn(3, Call("edit", "a.py", ok=False)),
    )
    assert len(read) > LONG


def test_long_arguments_of_successful_calls_are_cut_and_stay_json():
    entries = [system(), task(), *turn(1, Call("edit", "a.py", said=LONG))]
    after = ToolCallFilter().compact(entries, room(9))
    (call,) = after[2].message["tool_calls"]
    arguments = json.loads(call["function"]["arguments"])
    assert arguments["target"] == "a.py"
    assert "2,800 characters no longer shown" in arguments["text"]


def test_long_arguments_of_failed_calls_stay():
    entries = [system(), task(), *turn(1, Call("edit", "a.py", ok=False, said=LONG))]
    assert ToolCallFilter().compact(entries, room(9)) == entries


def test_the_very_same_answer_is_shown_once():
    first, again = turn(1, Call(size=LONG)), turn(4, Call(size=LONG))
    entry = ToolCallFilter().arrive(again[1], [system(), task(), *first])
    assert "word for word, as to call 1.1 above (turn 1)" in entry.message["content"]
    assert not entry.whole


def test_a_failure_is_shown_each_time():
    first, again = turn(1, Call(ok=False, size=LONG)), turn(4, Call(ok=False, size=LONG))
    assert ToolCallFilter().arrive(again[1], first) is again[1]


@few
@given(conversations(), rooms())
def test_open_failures_and_fresh_turns_are_untouched_and_nothing_grows(
    entries: list[Entry], room: Room
):
    after = ToolCallFilter().compact(entries, room)
    untouched = {id(e) for e in open_failures(entries)} | {
        id(e) for e in entries if e.turn >= room.fresh_from
    }
    for old, new in zip(entries, after, strict=True):
        assert new.size <= old.size
        if id(old) in untouched:
            assert new is old


@few
@given(conversations(), rooms())
def test_whatever_is_shortened_says_how_to_fetch_it(entries: list[Entry], room: Room):
    for entry in ToolCallFilter().compact(entries, room):
        if entry.facts and not entry.whole:
            assert f"recall call={entry.facts.call}" in entry.message["content"]
