"""Tests that do not end alike each time are known as flaky, and nobody is blamed for them."""

from actors.reviewer import flaky
from orchestration.gates import keep_gate
from orchestration.ids import CommitId
from orchestration.proof import Outcome, TestCase, TestReport


def report(**outcomes: Outcome) -> TestReport:
    cases = tuple(TestCase(id=id_, outcome=outcome) for id_, outcome in outcomes.items())
    code = 1 if Outcome.FAILED in outcomes.values() else 0
    return TestReport(commit=CommitId("c" * 40), command="pytest", cases=cases, exit_code=code)


GOOD, BAD = Outcome.PASSED, Outcome.FAILED


def test_what_ends_differently_or_is_missing_once_is_flaky() -> None:
    runs = [report(a=GOOD, b=GOOD, c=BAD), report(a=GOOD, b=BAD, c=BAD), report(a=GOOD, b=GOOD)]
    assert flaky(runs) == ("b", "c")


def test_one_run_knows_no_flaky_test() -> None:
    assert flaky([report(a=GOOD, b=BAD)]) == ()


def test_a_flaky_test_is_not_blamed_on_a_change() -> None:
    base = report(a=GOOD, b=GOOD)
    assert not keep_gate(base, report(a=GOOD, b=BAD)).passed
    known = base.model_copy(update={"flaky": ("b",)})
    assert keep_gate(known, report(a=GOOD, b=BAD)).passed
    assert not keep_gate(known, report(a=BAD, b=GOOD)).passed
