"""The gates' verdicts, and the ways to cheat that they must name."""

from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.gates import (
    already_failing,
    contradiction,
    freeze,
    green_gate,
    keep_gate,
    red_gate,
    review_gate,
)
from orchestration.ids import CommitId
from orchestration.kinds import (
    has_runner_section,
    is_runner_config,
    is_test_path,
    runner_section,
)
from orchestration.messages import FileChange, Patch, TreeRef
from orchestration.proof import Finding, Outcome, Review, Severity, TestCase, TestReport, Verdict

BASE, RED, GREEN = (CommitId(digit * 40) for digit in "123")
NEW = "tests/test_new.py"
OLD = "tests/test_old.py"
ASSERTION = "AssertionError: assert 1 == 2"


def change(path: str, status: str = "A", blob: str = "b1", mode: str = "100644") -> FileChange:
    old, new = {"A": ("000000", mode), "D": (mode, "000000")}.get(status, (mode, mode))
    return FileChange(
        path=path, status=status, old_mode=old, new_mode=new, old_blob="0", new_blob=blob
    )


def patch(*changes: FileChange, base: CommitId = BASE, commit: CommitId = RED) -> Patch:
    return Patch(
        base=TreeRef(commit=base, bundles=()),
        tree=TreeRef(commit=commit, bundles=()),
        title="Change",
        changes=changes,
    )


def report(
    cases: Mapping[str, str], commit: CommitId = BASE, *, message: str = ASSERTION, **more: object
) -> TestReport:
    """Cases by id: `pass`, `fail`, `error`, `skip`; the exit code follows from them."""
    made: list[TestCase] = []
    for id_, word in cases.items():
        outcome = {
            "pass": Outcome.PASSED,
            "fail": Outcome.FAILED,
            "error": Outcome.ERROR,
            "skip": Outcome.SKIPPED,
        }[word]
        told = message if word in {"fail", "error"} else ""
        made.append(TestCase(id=id_, outcome=outcome, message=told))
    code = 1 if {"fail", "error"} & set(cases.values()) else 0
    values = {"commit": commit, "command": "pytest", "cases": made, "exit_code": code} | more
    return TestReport.model_validate(values)


BEFORE = report({f"{OLD}::test_a": "pass", f"{OLD}::test_flaky": "fail"})
TESTS = patch(change(NEW))
AT_RED = report(
    {f"{OLD}::test_a": "pass", f"{OLD}::test_flaky": "fail", f"{NEW}::test_b": "fail"}, RED
)
CODE = patch(change(NEW), change("src/a.py", "M"), commit=GREEN)
AT_GREEN = report(
    {f"{OLD}::test_a": "pass", f"{OLD}::test_flaky": "fail", f"{NEW}::test_b": "pass"}, GREEN
)


def green(
    code: Patch = CODE, now: TestReport = AT_GREEN, settings_changed: tuple[str, ...] = ()
) -> Verdict:
    return green_gate(freeze(TESTS), code, BEFORE, now, AT_RED, settings_changed=settings_changed)


def assert_refused(verdict: Verdict, *words: str) -> None:
    assert not verdict.passed
    assert all(reason.endswith(".") for reason in verdict.reasons)
    told = " ".join(verdict.reasons)
    assert all(word in told for word in words), told


# --- red ---------------------------------------------------------------------------------------


def test_a_failing_new_test_is_red():
    assert red_gate(TESTS, BEFORE, AT_RED) == Verdict(passed=True)


@pytest.mark.parametrize(
    "message",
    [
        "ImportError: cannot import name 'slugify' from 'text'",
        "ModuleNotFoundError: No module named 'text.slug'",
        "AttributeError: module 'text' has no attribute 'slugify'",
        "NameError: name 'slugify' is not defined",
        "TypeError: slugify() got an unexpected keyword argument 'sep'",
    ],
)
def test_a_missing_symbol_at_collection_is_red_and_excuses_the_tests_of_that_file(message: str):
    before = report({f"{NEW}::test_old": "pass"})
    red = report({NEW: "error"}, RED, message=message)
    assert red_gate(patch(change(NEW, "M")), before, red).passed


def test_a_missing_symbol_does_not_excuse_other_files():
    red = report({NEW: "error"}, RED, message="ImportError: cannot import name 'x'")
    assert_refused(red_gate(TESTS, BEFORE, red), f"{OLD}::test_a passed before and did not run")


@pytest.mark.parametrize(
    ("outcome", "message", "why"),
    [
        ("error", "SyntaxError: invalid syntax", "could not run"),
        ("error", "IndentationError: unexpected indent", "could not run"),
        ("error", "ValueError: at import\n  in f\nTypeError: earlier", "could not run"),
        ("error", "fixture 'client' not found", "fixture"),
        ("error", "collection failure", "could not run"),
        ("fail", "Failed: Timeout (>10.0s) from pytest-timeout", "out of time"),
        (
            "fail",
            "URLError: <urlopen error [Errno -3] Temporary failure in name resolution>",
            "net",
        ),
    ],
)
def test_a_wrong_reason_to_fail_is_named(outcome: str, message: str, why: str):
    red = report({f"{OLD}::test_a": "pass", f"{NEW}::test_b": outcome}, RED, message=message)
    assert_refused(red_gate(TESTS, BEFORE, red), f"{NEW}::test_b", "wrong reason", why)


@pytest.mark.parametrize(
    "message",
    [
        "AssertionError: assert 'Network is unreachable' in ''",
        "assert 'Timeout 5' == ''",
        "SyntaxError: raised by the parser under test",
        "KeyError: 'x'",
        "AssertionError: fixture 'x' not found",
    ],
)
def test_what_a_test_is_about_is_no_wrong_reason(message: str):
    red = report({f"{OLD}::test_a": "pass", f"{NEW}::test_b": "fail"}, RED, message=message)
    assert red_gate(TESTS, BEFORE, red).passed


@pytest.mark.parametrize(
    ("made", "word"),
    [
        (change("src/a.py", "M"), "not a test file"),
        (change("conftest.py"), "decides how tests run"),
        (change("tests/conftest.py", "M"), "decides how tests run"),
        (change("pytest.ini"), "decides how tests run"),
        (change("pytest.py"), "decides how tests run"),
        (change("sitecustomize.py"), "decides how tests run"),
        (change(OLD, "D"), "deleted"),
        (change("tests/link.py", mode="120000"), "plain file"),
    ],
)
def test_more_than_tests_is_refused_at_red(made: FileChange, word: str):
    assert_refused(red_gate(patch(change(NEW), made), BEFORE, AT_RED), made.path, word)


def test_runner_settings_hidden_among_the_tests_are_refused_at_red():
    made = patch(change(NEW), change("tests/pyproject.toml"))
    assert red_gate(made, BEFORE, AT_RED).passed
    hidden = made.model_copy(update={"settings_changed": ("tests/pyproject.toml",)})
    assert_refused(red_gate(hidden, BEFORE, AT_RED), "tests/pyproject.toml decides how tests run")


def test_test_data_and_helpers_may_come_with_the_test():
    made = patch(change(NEW), change("tests/data/a.json"), change("tests/__init__.py"))
    assert red_gate(made, BEFORE, AT_RED).passed


def test_an_empty_patch_is_not_red():
    assert_refused(red_gate(patch(), BEFORE, BEFORE), "empty")


def test_a_test_that_is_not_collected_is_not_red():
    assert_refused(red_gate(TESTS, BEFORE, BEFORE), "No new test fails", NEW)


def test_a_test_that_passes_already_proves_nothing():
    red = report({**ids(AT_RED), f"{NEW}::test_c": "pass"}, RED)
    assert_refused(red_gate(TESTS, BEFORE, red), f"{NEW}::test_c passes before the code")


def test_a_skipped_new_test_proves_nothing():
    red = report({**ids(AT_RED), f"{NEW}::test_c": "skip"}, RED)
    assert_refused(red_gate(TESTS, BEFORE, red), f"{NEW}::test_c is skipped")


def test_one_failing_variant_of_a_new_test_is_enough():
    more = {f"{NEW}::test_c[a]": "pass", f"{NEW}::test_c[b]": "fail"}
    assert red_gate(TESTS, BEFORE, report({**ids(AT_RED), **more}, RED)).passed


def test_a_changed_test_that_fails_now_is_red():
    red = report({f"{OLD}::test_a": "fail", f"{OLD}::test_flaky": "fail"}, RED)
    assert red_gate(patch(change(OLD, "M")), BEFORE, red).passed


def test_a_new_test_may_not_break_others():
    red = report({**ids(AT_RED), f"{OLD}::test_a": "fail"}, RED)
    assert_refused(red_gate(TESTS, BEFORE, red), f"{OLD}::test_a passed before and fails")


def test_tests_that_are_built_together_may_fail_together_for_the_missing_symbol():
    """Go builds a package's tests as one: a new test's missing symbol stops the old ones too."""
    new, old = "greet/bye_test.go", "greet/greet_test.go"
    before = report({f"{old}::TestHello": "pass"})
    unbuilt = report({f"{old}::TestHello": "error", f"{new}::TestBye": "error"}, RED,
                     message="undefined: Bye")  # fmt: skip
    assert red_gate(patch(change(new)), before, unbuilt).passed
    other = unbuilt.cases[0].model_copy(update={"message": "undefined: Hello"})
    apart = unbuilt.model_copy(update={"cases": (other, unbuilt.cases[1])})
    assert_refused(red_gate(patch(change(new)), before, apart), "TestHello", "passed before")


def test_a_test_that_fails_anyway_is_not_red():
    red = report({f"{OLD}::test_a": "pass", f"{OLD}::test_flaky": "fail"}, RED)
    assert_refused(red_gate(patch(change(OLD, "M")), BEFORE, red), "No new test fails")


def test_a_suite_known_by_its_exit_code_alone_can_be_red_and_green():
    before, red = report({"pytest": "pass"}), report({"pytest": "fail"}, RED)
    assert red_gate(TESTS, before, red).passed
    assert green_gate(freeze(TESTS), CODE, before, report({"pytest": "pass"}, GREEN), red).passed
    assert not green_gate(
        freeze(TESTS), CODE, before, report({"pytest": "fail"}, GREEN), red
    ).passed
    assert not red_gate(TESTS, red, red).passed


@pytest.mark.parametrize(
    "broken",
    [
        {"problem": "there is no report"},
        {"ended": "timeout", "exit_code": None},
        {"ended": "signaled", "exit_code": None},
        {"exit_code": 0},
    ],
)
def test_an_unsound_run_says_nothing(broken: dict[str, object]):
    unsound = AT_RED.model_copy(update=broken)
    assert_refused(red_gate(TESTS, BEFORE, unsound), "The test run says nothing")
    assert_refused(red_gate(TESTS, unsound, AT_RED), "before this change says nothing")


def ids(of: TestReport) -> dict[str, str]:
    words = {"passed": "pass", "failed": "fail", "error": "error", "skipped": "skip"}
    return {case.id: words[case.outcome] for case in of.cases}


# --- green -------------------------------------------------------------------------------------


def test_the_frozen_test_passing_is_green():
    assert green() == Verdict(passed=True)


def test_a_patch_counted_from_the_red_commit_need_not_name_the_tests():
    assert green(patch(change("src/a.py", "M"), base=RED, commit=GREEN)).passed


def test_a_briefed_red_report_is_enough():
    frozen = freeze(TESTS)
    assert green_gate(frozen, CODE, BEFORE, AT_GREEN, AT_RED.brief()).passed


def test_what_failed_before_is_recorded_and_not_blamed():
    assert green().passed
    assert already_failing(BEFORE) == (f"{OLD}::test_flaky",)


def with_code(*more: FileChange) -> Callable[[], Verdict]:
    return lambda: green(patch(change(NEW), change("src/a.py", "M"), *more, commit=GREEN))


def with_frozen(made: FileChange) -> Callable[[], Verdict]:
    return lambda: green(patch(made, change("src/a.py", "M"), commit=GREEN))


def with_cases(**words: str | None) -> Callable[[], Verdict]:
    """Change what the green report says of `test_a`, `test_b` or others."""
    files = {"test_a": OLD, "test_flaky": OLD}
    cases = ids(AT_GREEN)
    for name, word in words.items():
        id_ = f"{files.get(name, NEW)}::{name}"
        cases.pop(id_, None)
        if word:
            cases[id_] = word
    return lambda: green(now=report(cases, GREEN))


def with_run(**broken: object) -> Callable[[], Verdict]:
    return lambda: green(now=AT_GREEN.model_copy(update=broken))


def elsewhere() -> TestReport:
    return report({**ids(AT_GREEN), "docs/a.py::test_z": "fail"}, GREEN)


CHEATS: dict[str, tuple[Callable[[], Verdict], str]] = {
    "edit the frozen test": (with_frozen(change(NEW, blob="b2")), "was changed after"),
    "delete the frozen test": (with_frozen(change(NEW, "D", "0")), "was changed after"),
    "replace it by a link": (with_frozen(change(NEW, mode="120000")), "was changed after"),
    "take the frozen test back": (lambda: green(patch(change("src/a.py", "M"))), "is gone"),
    "skip the new test": (with_cases(test_b="skip"), "is now skipped"),
    "expect the old one to fail": (with_cases(test_a="skip"), "is now skipped"),
    "deselect the new test": (with_cases(test_b=None), "did not run"),
    "deselect an old test": (with_cases(test_a=None), "did not run"),
    "leave the new test failing": (with_cases(test_b="fail"), "must pass and fails"),
    "break an old test": (with_cases(test_a="fail"), "passed before and fails"),
    "break collection": (with_cases(test_a="error"), "passed before and fails"),
    "bring a failing test": (with_cases(test_z="fail"), "must pass and fails"),
    "fail elsewhere": (lambda: green(now=elsewhere()), "no such failure before"),
    "skip a variant": (with_cases(test_z="skip"), "must pass and is now skipped"),
    "add a conftest": (with_code(change("conftest.py")), "decides how tests run"),
    "change a conftest": (with_code(change("tests/conftest.py", "M")), "decides how tests run"),
    "delete a conftest": (with_code(change("tests/conftest.py", "D")), "decides how tests run"),
    "add pytest.ini": (with_code(change("pytest.ini")), "decides how tests run"),
    "add a deep pytest.toml": (with_code(change("tests/.pytest.toml")), "decides how tests run"),
    "change the section": (lambda: green(settings_changed=("src/a.py",)), "decides how tests run"),
    "sitecustomize": (with_code(change("sitecustomize.py")), "decides how tests run"),
    "usercustomize": (with_code(change("src/usercustomize.py")), "decides how tests run"),
    "a .pth file": (with_code(change("lib/x.pth")), "decides how tests run"),
    "shadow pytest": (with_code(change("pytest.py")), "decides how tests run"),
    "shadow pluggy": (with_code(change("pluggy/__init__.py")), "decides how tests run"),
    "shadow unittest": (with_code(change("unittest/__init__.py")), "decides how tests run"),
    "edit another test": (with_code(change(OLD, "M")), "is a test file"),
    "delete another test": (with_code(change(OLD, "D")), "is a test file"),
    "add an easier test": (with_code(change("tests/test_easy.py")), "is a test file"),
    "edit test data": (with_code(change("tests/data/expected.json", "M")), "is a test file"),
    "accept snapshots": (with_code(change("web/__snapshots__/a.snap", "M")), "is a test file"),
    "change no code": (lambda: green(patch(change(NEW), commit=GREEN)), "changes no code"),
    "exit early": (with_run(cases=AT_GREEN.cases[:1], exit_code=0), "did not run"),
    "report nothing": (with_run(cases=()), "did not run"),
    "forge the report": (with_run(problem="the report was not written by it"), "says nothing"),
    "hang": (with_run(ended="timeout", exit_code=None), "says nothing"),
    "crash after reporting": (with_run(ended="signaled", exit_code=None), "says nothing"),
    "exit 0 with failures": (with_run(cases=AT_RED.cases, exit_code=0), "says nothing"),
    "exit 1 without any": (
        lambda: green(now=report({f"{NEW}::test_b": "pass"}, exit_code=1)),
        "says nothing",
    ),
    "another command": (with_run(command="true"), "no longer with"),
}


@pytest.mark.parametrize("cheat", CHEATS)
def test_a_cheating_coder_is_stopped_and_told_why(cheat: str):
    verdict, word = CHEATS[cheat]
    assert_refused(verdict(), word)


def test_a_run_cut_to_failing_tests_names_them_alone_and_never_passes():
    failing = report({f"{NEW}::test_b": "fail"}, GREEN, only=(NEW,))
    verdict = green_gate(freeze(TESTS), CODE, BEFORE, failing, AT_RED)
    assert verdict.reasons == (f"{NEW}::test_b must pass and fails: {ASSERTION}.",)
    for id_, word in ((f"{NEW}::test_b", "pass"), (f"{OLD}::test_flaky", "fail")):
        nothing_new = report({f"{NEW}::test_b": "pass", id_: word}, GREEN, only=(NEW, OLD))
        assert_refused(green_gate(freeze(TESTS), CODE, BEFORE, nothing_new, AT_RED), "cut to")


def test_a_green_without_a_red_proves_nothing():
    verdict = green_gate(freeze(TESTS), CODE, BEFORE, AT_GREEN, BEFORE)
    assert_refused(verdict, "No frozen test was shown failing")


def test_a_file_that_could_not_be_imported_must_run_a_test():
    red = report({NEW: "error", f"{OLD}::test_a": "pass"}, RED, message="ImportError: x")
    run: Callable[[TestReport], Verdict] = lambda now: green_gate(  # noqa: E731 - one line each
        freeze(TESTS), CODE, BEFORE, now, red
    )
    assert run(AT_GREEN).passed
    assert_refused(
        run(report({f"{OLD}::test_a": "pass"}, GREEN)), f"{NEW} must pass and did not run"
    )
    still = report({NEW: "error", f"{OLD}::test_a": "pass"}, GREEN)
    assert_refused(run(still), f"{NEW} must pass and fails")


def test_reasons_are_capped():
    before = report({f"{OLD}::test_{n}": "pass" for n in range(100)})
    verdict = keep_gate(before, report({}, GREEN))
    assert len(verdict.reasons) == 21
    assert verdict.reasons[-1] == "And 80 more of the kind."


words = st.sampled_from(["pass", "fail", "error", "skip"])
reports = st.dictionaries(
    st.sampled_from([f"{file}::test_{n}" for file in (OLD, NEW) for n in range(4)]), words
)


@settings(max_examples=40)
@given(reports, reports)
def test_whatever_is_kept_all_that_passed_still_passes(
    before: dict[str, str], after: dict[str, str]
):
    verdict = keep_gate(report(before), report(after))
    kept = all(after.get(id_) == "pass" for id_, word in before.items() if word == "pass")
    fresh = any(word in {"fail", "error"} for id_, word in after.items() if id_ not in before)
    assert verdict.passed == (kept and not fresh)


@settings(max_examples=40)
@given(reports, reports, reports)
def test_green_implies_that_every_proving_test_passes(
    before: dict[str, str], red: dict[str, str], after: dict[str, str]
):
    if not green_gate(freeze(TESTS), CODE, report(before), report(after), report(red)).passed:
        return
    failing = {"fail", "error"}
    proving = {i for i, w in red.items() if w in failing and before.get(i) not in failing}
    assert any(id_.startswith(NEW) for id_ in proving)
    assert all(after.get(id_) == "pass" for id_ in proving)
    assert keep_gate(report(before), report(after)).passed


@settings(max_examples=40)
@given(reports)
def test_nothing_is_both_red_and_unchanged(cases: dict[str, str]):
    assert not red_gate(TESTS, report(cases), report(cases)).passed


# --- review ------------------------------------------------------------------------------------

FINE = Review(approved=True, summary="Good.")


def found(severity: Severity) -> Review:
    finding = Finding(file="src/a.py", line=3, severity=severity, why="Wrong.", fix="Mend it.")
    return Review(approved=True, summary="", findings=(finding,))


def test_two_approvals_pass():
    assert review_gate(FINE, found(Severity.LOW), Severity.MEDIUM).passed


@pytest.mark.parametrize("severity", [Severity.MEDIUM, Severity.CRITICAL])
def test_a_finding_at_the_line_blocks_whoever_approves(severity: Severity):
    verdict = review_gate(FINE, found(severity), Severity.MEDIUM)
    assert verdict.reasons == (f"[reviewer, {severity}] src/a.py:3: Wrong. Fix: Mend it.",)


def test_a_refusal_blocks_without_findings():
    refusal = Review(approved=False, summary="It leaks.")
    assert_refused(review_gate(FINE, refusal, Severity.HIGH), "security analyst", "It leaks.")


# --- files -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("tests/test_a.py", True),
        ("pkg/tests/data/x.json", True),
        ("test/a.js", True),
        ("src/a.test.ts", True),
        ("src/__tests__/a.js", True),
        ("a_test.go", True),
        ("test_a.py", True),
        ("src/app.py", False),
        ("django/test/client.py", False),
        ("src/testing.py", False),
        ("contest.py", False),
        ("latest.js", False),
        ("README.md", False),
    ],
)
def test_test_paths_are_told_from_code(path: str, expected: bool):
    assert is_test_path(path) is expected


@pytest.mark.parametrize("path", [
        "conftest.py", "a/b/conftest.py", "vitest.config.ts", "x.pth", "web/vite.config.mts",
        "babel.config.js", ".babelrc", "node_modules/vitest/index.js", ".cargo/config.toml",
    ],
)  # fmt: skip
def test_runner_configuration_is_known_by_name(path: str):
    assert is_runner_config(path)


@pytest.mark.parametrize(
    ("path", "old", "new", "same"),
    [
        ("pyproject.toml", "[tool.ruff]\nline-length=1", "[tool.ruff]\nline-length=2", True),
        ("pyproject.toml", "", '[tool.pytest.ini_options]\naddopts = "-k x"', False),
        ("pyproject.toml", "", "[project.entry-points.pytest11]\nx = 'y'", False),
        ("pyproject.toml", "", "[[[", False),
        ("setup.cfg", "[metadata]\nname = a", "[metadata]\nname = b", True),
        ("setup.cfg", "", "[tool:pytest]\naddopts = --co", False),
        ("tox.ini", "[pytest]\nx = 1", "", False),
        ("tox.ini", "", "[tox]\nenvlist = py", True),
        ("package.json", "", '{"name": "x"}', True),
        ("package.json", '{"version": "1"}', '{"version": "2"}', True),
        ("package.json", '{"scripts": {"test": "jest"}}', '{"scripts": {"test": "true"}}', False),
        ("package.json", "", '{"scripts": {"pretest": "rm -r test"}}', False),
        ("Cargo.toml", "", '[dependencies]\nserde = "1"', True),
        ("Cargo.toml", "", '[[test]]\nname = "a"\nharness = false', False),
        ("Cargo.toml", "", "[package]\nautotests = false", False),
        ("Cargo.toml", "", "[lib]\ntest = false", False),
        ("Cargo.toml", "", "lib = 3", False),
    ],
)
def test_the_runners_part_of_a_shared_file_is_compared_alone(
    path: str, old: str, new: str, same: bool
):
    assert has_runner_section(path)
    assert (runner_section(path, old) == runner_section(path, new)) is same


@settings(max_examples=30)
@given(st.sampled_from(["pyproject.toml", "setup.cfg", "package.json"]), st.text())
def test_any_settings_file_has_a_section(path: str, text: str):
    assert isinstance(runner_section(path, text), str)


@settings(max_examples=40)
@given(reports, st.sampled_from([None, 0, 1, 2]))
def test_code_0_and_failures_never_go_together(cases: dict[str, str], code: int | None):
    contradicts = bool(contradiction(report(cases, exit_code=code)))
    failing = bool({"fail", "error"} & set(cases.values()))
    assert contradicts == bool(cases and code is not None and failing == (code == 0))
