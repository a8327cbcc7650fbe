from hypothesis import given
from hypothesis import strategies as st

from actors.runners.reporting import MESSAGE, clean, ending, headline, merged, message_of, report
from actors.sandbox.in_memory import answered
from actors.sandbox.protocol import ExecResult
from orchestration.ids import CommitId
from orchestration.proof import Outcome, TestCase

COMMIT = CommitId("1" * 40)


def case(id_: str, outcome: Outcome) -> TestCase:
    return TestCase(id=id_, outcome=outcome)


@given(st.text() | st.binary())
def test_printed_text_cannot_drive_a_terminal(printed: str | bytes) -> None:
    assert not set(clean(printed)) & {"\x1b", "\x07", "\r", "\0", "\x9b", "\u202e"}


def test_escape_sequences_go_whole_and_text_stays() -> None:
    printed = b"\x1b[31mred\x1b[0m \x1b]0;title\x07\x1b]52;c;aGk=\x1b\\caf\xc3\xa9\r\n\tend\xff\n"
    assert clean(printed) == "red café\n\tend\ufffd"


@given(st.text(), st.text())
def test_a_message_is_capped(crash: str, text: str) -> None:
    assert len(message_of(crash, text * 100)) <= MESSAGE


def test_the_headline_is_the_exception_in_a_traceback() -> None:
    text = "a.py:1: in <module>\n    x()\nE     File 'a'\nE       ^\nE   SyntaxError: bad\n"
    assert headline(text) == "SyntaxError: bad"
    assert headline("E       fixture 'x' not found\n>  available: y") == "fixture 'x' not found"
    assert headline("one\ntwo\n") == "two"
    assert headline("") == "no message"


def test_of_two_results_for_one_test_the_worse_holds() -> None:
    twice = [case("a", Outcome.FAILED), case("a", Outcome.PASSED), case("b", Outcome.PASSED)]
    assert [c.outcome for c in merged(twice)] == [Outcome.FAILED, Outcome.PASSED]
    assert merged(reversed(twice))[-1].outcome is Outcome.FAILED


def test_a_code_that_contradicts_the_cases_is_a_problem() -> None:
    failed = [case("a", Outcome.FAILED)]
    assert "although a failed" in report(answered(0), COMMIT, "x", cases=failed).problem
    passed = [case("a", Outcome.PASSED)]
    assert "no test failed" in report(answered(1), COMMIT, "x", cases=passed).problem
    assert report(answered(1), COMMIT, "x", cases=failed).problem == ""


def test_every_way_to_end_badly_has_words() -> None:
    for ended in ("timeout", "signaled", "oom", "output_limit", "cancelled", "lost"):
        assert ending(ExecResult(None, ended, b"", b"", 1.0), 5.0)
    assert ending(answered(1), 5.0) == ""
