"""The story's pure pieces."""

import pytest

from orchestration.errors import CircuitBreakerOpen, RunFailedError, UntestableError
from orchestration.ids import CommitId, TaskId
from orchestration.messages import CodeTask, Patch, Plan, TreeRef, Work
from orchestration.passages import (
    best,
    candidates,
    grounds,
    ordered,
    require_testable,
    revived,
)
from orchestration.proof import TestReport
from orchestration.strength import Fate, Mutant, Strength, Trial
from orchestration.workflow.facts import Collected, ErrorInfo

BASE = TreeRef(commit=CommitId("0" * 40), bundles=())


def task(name: str, *symbols: str, after: tuple[str, ...] = ()) -> CodeTask:
    return CodeTask(
        id=TaskId(name), title=name, description=name, acceptance=("it is",),
        symbols=symbols, after=tuple(map(TaskId, after)),
    )  # fmt: skip


def order(*tasks: CodeTask) -> dict[str, tuple[str, ...]]:
    return {t.id: t.after for t in ordered(Plan(summary="s", tasks=tasks)).tasks}


def work(candidate: int = 1, **more: object) -> Work:
    return Work(task=task("t"), base=BASE, candidate=candidate).having(**more)


def attempt(one: Work | None, error: ErrorInfo | None = None) -> Collected[Work]:
    return Collected[Work](key="1", value=one, error=error)


def weak(survivors: int) -> Strength:
    mutant = Mutant(path="a.py", line=1, what="constant", start=0, before="1", after="2")
    return Strength(trials=(Trial(mutant=mutant, fate=Fate.SURVIVED),) * survivors)


def test_tasks_that_change_one_symbol_come_one_after_the_other() -> None:
    assert order(task("a", "m.py:f"), task("b", "m.py:g"), task("c", "m.py:f", "m.py:g")) == {
        "a": (),
        "b": (),
        "c": ("a", "b"),
    }


def test_an_order_that_the_plan_gives_stays_as_it_is() -> None:
    assert order(task("a", "m.py:f", after=("b",)), task("b", "m.py:f")) == {"a": ("b",), "b": ()}
    chain = order(task("a", "m:f"), task("b", after=("a",)), task("c", "m:f", after=("b",)))
    assert chain == {"a": (), "b": ("a",), "c": ("b",)}


def test_only_hard_or_stubborn_tasks_have_rivals() -> None:
    hard = work().having(task=task("t").model_copy(update={"difficulty": "hard"}))
    assert [w.candidate for w in candidates(work(), 3)] == [1]
    assert [w.candidate for w in candidates(hard, 3)] == [1, 2, 3]
    again = candidates(work(feedback=("no",)), 3)
    assert ([w.candidate for w in again], again[0].rounds) == ([1], 1)
    third = candidates(work(feedback=("no",), rounds=1), 3)
    assert [(w.candidate, w.feedback) for w in third] == [(1, ("no",)), (2, ()), (3, ())]


def test_the_best_attempt_is_clean_then_strong() -> None:
    dirty, frail, firm = work(1, feedback=("no",)), work(2, strength=weak(3)), work(3)
    assert best([attempt(dirty), attempt(frail), attempt(firm)]).candidate == 3
    assert best([attempt(dirty), attempt(frail)]).candidate == 2


def test_attempts_that_all_fail_end_with_the_first_reason() -> None:
    error = ErrorInfo(name="CircuitBreakerOpen", what="too often", fix="less")
    with pytest.raises(CircuitBreakerOpen, match="too often") as raised:
        best([attempt(None, error), attempt(None, error)])
    assert raised.value.fix == "less"
    assert isinstance(revived(ErrorInfo(name="KeyError", what="k")), RunFailedError)


def test_a_commit_stands_on_the_tasks_test_and_on_a_branch_that_moved_on() -> None:
    moved = TreeRef(commit=CommitId("1" * 40), bundles=())
    tree = TreeRef(commit=CommitId("2" * 40), bundles=())
    test = Patch(base=BASE, tree=tree, title="t", changes=())
    assert grounds(work()) == (BASE,)
    assert grounds(work(test=test)) == (tree,)
    assert grounds(work(test=test, base=moved)) == (tree, moved)


def test_tests_that_say_nothing_before_any_change_end_the_run() -> None:
    sound = TestReport(commit=BASE.commit, command="pytest", exit_code=1)
    require_testable(sound)
    for wrong in ({"problem": "no pytest there."}, {"ended": "oom"}):
        with pytest.raises(
            UntestableError, match="'pytest' says nothing before any change"
        ) as told:
            require_testable(sound.model_copy(update=wrong))
        assert "--setup" in told.value.fix
