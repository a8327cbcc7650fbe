import pytest

from actors.agent.agent import AgentLimits
from actors.agent.limits import (
    CONTINUE,
    Action,
    AnswerRepairs,
    Budget,
    ContextPressure,
    NewInformation,
    Progress,
    Ruling,
    SameCalls,
    ToolUse,
    standard_guards,
)
from actors.context.entry import CallFacts
from orchestration.errors import BudgetExceededError


def did(
    same: str, *, ok: bool = True, writes: bool = False, code: int | None = None, said: str = ""
) -> CallFacts:
    written = ("a.py",) if writes else ()
    return CallFacts("1.1", "run", same, same, ok, code, 0.0, 9, said or same, (), written)


def failed(same: str) -> CallFacts:
    return did(same, ok=False, code=1)


TURNS = Budget("turns", 20, lambda progress: progress.turns)


@pytest.mark.parametrize(
    ("turns", "action"),
    [
        (16, Action.CONTINUE),
        (17, Action.INJECT),
        (19, Action.INJECT),
        (20, Action.STOP),
        (30, Action.STOP),
    ],
)
def test_a_budget_warns_before_it_stops(turns: int, action: Action):
    assert TURNS.judge(Progress(turns=turns)).action is action


def test_a_budget_warns_once_and_stops_with_an_error_of_its_kind():
    warning = TURNS.judge(Progress(turns=17)).text
    assert TURNS.judge(Progress(turns=18, notices=frozenset({warning}))) == CONTINUE
    assert TURNS.judge(Progress(turns=20)).error is BudgetExceededError


@pytest.mark.parametrize(
    ("calls", "action"),
    [
        ([], Action.CONTINUE),
        ([failed("make")] * 2, Action.CONTINUE),
        ([failed("make")] * 3, Action.INJECT),
        ([failed("make")] * 5, Action.STOP),
        ([failed("make"), did("read"), failed("make"), failed("other"), failed("make")], "inject"),
        ([failed("make"), failed("make"), did("edit", writes=True), failed("make")], "continue"),
        ([failed("make"), failed("make"), did("install", code=0), failed("make")], "continue"),
        ([failed("make")] * 4 + [did("make", code=0)], Action.CONTINUE),
    ],
)
def test_failing_again_counts_only_while_nothing_changes(
    calls: list[CallFacts], action: Action | str
):
    assert SameCalls().judge(Progress(calls=calls)).action is Action(action)


@pytest.mark.parametrize(
    ("times", "action"), [(2, Action.CONTINUE), (3, Action.INJECT), (5, Action.STOP)]
)
def test_making_the_same_change_again_means_that_it_was_undone(times: int, action: Action):
    there, back = did("a to b", writes=True), did("b to a", writes=True)
    calls = [there, back] * (times - 1) + [there]
    assert SameCalls().judge(Progress(calls=calls)).action is action


def test_a_nudge_is_given_once():
    progress = Progress(calls=[failed("make")] * 3)
    nudge = SameCalls().judge(progress).text
    assert SameCalls().judge(Progress(calls=progress.calls, notices=frozenset({nudge}))) == CONTINUE


@pytest.mark.parametrize(
    ("again", "action"), [(5, Action.CONTINUE), (6, Action.INJECT), (15, Action.STOP)]
)
def test_only_exact_repetitions_in_a_row_are_nothing_new(again: int, action: Action):
    looks = [did("read a"), did("read b")] * (again // 2 + 2)
    calls = looks[: again + 2]
    assert NewInformation().judge(Progress(calls=calls)).action is action
    changed = [*calls, did("read a", said="something else")]
    assert NewInformation().judge(Progress(calls=changed)) == CONTINUE


@pytest.mark.parametrize(
    ("silent", "action"), [(0, Action.CONTINUE), (1, "inject"), (3, "inject"), (4, "stop")]
)
def test_a_model_that_only_talks_is_reminded_and_then_stopped(silent: int, action: Action | str):
    assert ToolUse(3).judge(Progress(silent=silent)).action is Action(action)


def test_answers_are_sent_back_so_often_and_no_more():
    assert AnswerRepairs(3).judge(Progress(refused=3)) == CONTINUE
    assert AnswerRepairs(3).judge(Progress(refused=4)).action is Action.STOP


@pytest.mark.parametrize(
    ("size", "floor", "compacts"),
    [(99, 0, False), (101, 0, True), (140, 95, False), (150, 95, True)],
)
def test_compaction_comes_only_when_much_is_to_gain(size: int, floor: int, compacts: bool):
    ruling = ContextPressure(100).judge(Progress(size=size, floor=floor))
    assert ruling == (Ruling(Action.COMPACT) if compacts else CONTINUE)


def test_compaction_comes_whenever_the_next_prompt_would_not_fit():
    ruling = ContextPressure(100).judge(Progress(size=10, fits=lambda: False))
    assert ruling.action is Action.COMPACT


def test_counting_is_not_needed_while_bytes_alone_say_that_it_fits():
    def count() -> bool:
        raise AssertionError("counted")

    window = 102_400
    (pressure,) = [
        g for g in standard_guards(AgentLimits(), window) if isinstance(g, ContextPressure)
    ]
    assert pressure.soft <= window
    assert pressure.judge(Progress(size=window + 1, fits=count)).action is Action.COMPACT
