"""Pure verdicts: may this test, this code, this review go on?

    red gate      only tests were added, and they fail because the code is not there yet
    green gate    the same tests pass, nothing that passed before is lost, nobody tampered
    keep gate     nothing that passed before is lost
    upkeep gate   the same of a task that changes no behaviour, and it leaves the tests alone
    strength gate the tests notice enough of the small faults put into the code
    review gate   reviewer and security agree

They judge git objects and test reports only, never what an agent says. Each reason is one
sentence that names the file or the test; a coder reads it word for word.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from orchestration.kinds import is_runner_config, is_test_path, stands_for_runner
from orchestration.messages import FileChange, Patch
from orchestration.proof import Outcome, Review, Severity, TestCase, TestReport, Verdict
from orchestration.strength import Strength

MAX_REASONS = 20
FAILING = (Outcome.FAILED, Outcome.ERROR)

# --- gates -------------------------------------------------------------------------------------


def red_gate(patch: Patch, base_report: TestReport, red_report: TestReport) -> Verdict:
    """Whether new tests, and nothing else, were added, and fail for the right reason.

    Right is an assertion, an exception from the code under test, or a symbol that is not there
    yet; wrong is a test that cannot run or was not collected.
    """
    reasons = [*_beyond_tests(patch), *_unsound(base_report, red_report)]
    if not reasons:
        reasons += _not_red(set(patch.paths), base_report, red_report)
    return _verdict(reasons)


def freeze(patch: Patch) -> dict[str, str]:
    """The files of a red patch by their git blobs; none may differ from now on."""
    return {change.path: change.new_blob for change in patch.changes if change.status != "D"}


def green_gate(
    frozen: Mapping[str, str],
    patch: Patch,
    base_report: TestReport,
    green_report: TestReport,
    red_report: TestReport,
    *,
    settings_changed: Collection[str] = (),
    may_change: Collection[str] = (),
    may_add_tests: bool = False,
) -> Verdict:
    """Whether the frozen tests pass, and nothing that passed before fails or is gone.

    `base_report` says what passed before (at the base, or on the branch that is merged into),
    `green_report` what holds now. `patch.changes` may count from the base or from the red commit.
    `settings_changed` names files whose `runner_section` differs. Tests that failed before are
    not blamed; see `already_failing`. `may_change` names old test files that a person gave free.
    """
    reasons = list(_tampered(frozen, patch, red_report, settings_changed, may_add_tests))
    if trouble := list(_unsound(base_report, green_report)):
        return _verdict(reasons + trouble)
    if green_report.command != red_report.command:
        now, then = green_report.command, red_report.command
        reasons.append(f"The tests ran with {now!r} and no longer with {then!r}.")
    before = _outcomes(base_report)
    proving = [c for c in red_report.with_outcome(*FAILING) if before.get(c.id) not in FAILING]
    if not any(_belongs(case, frozen, red_report) for case in proving):
        reasons.append("No frozen test was shown failing, so passing proves nothing.")
    owed = _owed(frozen, proving, before, green_report)
    reasons += _unpaid(owed, green_report)
    free = {id_ for id_ in before if file_of(id_) in may_change}
    reasons += _lost(before, green_report, known=owed | free | set(base_report.flaky))
    return _verdict(reasons)


def keep_gate(base_report: TestReport, report: TestReport) -> Verdict:
    """Whether all that passed before still passes and nothing new fails."""
    trouble = list(_unsound(base_report, report))
    before = _outcomes(base_report)
    return _verdict(trouble or _lost(before, report, known=base_report.flaky))


def upkeep_gate(patch: Patch, base_report: TestReport, report: TestReport) -> Verdict:
    """Whether a patch that is to change no behaviour leaves the tests alone, and all passing.

    Where there are no tests yet it may add the first ones; those must run and pass.
    """
    are_first = not base_report.cases
    reasons = [] if patch.changes else ["The patch is empty: change what the task asks for."]
    for change in patch.changes:
        if _steers_runner(change) or change.path in patch.settings_changed:
            reasons.append(f"{change.path} decides how tests run and was changed; restore it.")
        elif is_test_path(change.path) and not (are_first and change.status == "A"):
            reasons.append(f"{change.path} is a test file; this task must do without changing any.")
        elif is_test_path(change.path) and not report.with_outcome(Outcome.PASSED):
            reasons.append(f"{change.path} was added, and no test ran and passed.")
    return _verdict([*reasons, *keep_gate(base_report, report).reasons])


def strength_gate(strength: Strength | None, wanted: float) -> Verdict:
    """Whether the tests kill that share of mutants, 0 to 1. What could not be tried passes."""
    share = strength.share if strength else None
    if strength is None or share is None or share >= wanted:
        return _verdict([])
    told = (
        f"The tests notice {share:.0%} of small faults in this change and must notice {wanted:.0%}:"
        " add tests, in a new test file, that fail for those listed."
    )
    return _verdict([told, *(mutant.sentence() for mutant in strength.survivors)])


def already_failing(report: TestReport) -> tuple[str, ...]:
    """Tests that fail before anybody changed anything: recorded, not blamed."""
    return tuple(case.id for case in report.with_outcome(*FAILING))


def review_gate(review: Review, audit: Review, block_at: Severity) -> Verdict:
    """Whether both approve and neither finds anything as bad as `block_at` or worse."""
    reasons = [
        finding.sentence()
        for finding in (*review.findings, *audit.findings)
        if finding.severity.rank >= block_at.rank
    ]
    for verdict, who in ((review, "reviewer"), (audit, "security analyst")):
        if not verdict.approved:
            reasons.append(f"The {who} does not approve: {verdict.summary or 'no reason given.'}")
    return _verdict(reasons)


def contradiction(report: TestReport) -> str:
    """Why exit code and cases cannot both be true, or "". For runners to set `problem` with."""
    failing = report.with_outcome(*FAILING)
    if report.exit_code == 0 and failing:
        return f"the run ended with code 0 although {failing[0].id} failed"
    if report.ended == "exited" and report.exit_code and report.cases and not failing:
        return f"the run ended with code {report.exit_code} although no test failed"
    return ""


# --- red ---------------------------------------------------------------------------------------


def _beyond_tests(patch: Patch) -> Iterator[str]:
    if not patch.changes:
        yield "The patch is empty: add a test that fails because the feature is missing."
    for change in patch.changes:
        path = change.path
        if _steers_runner(change) or path in patch.settings_changed:
            yield f"{path} decides how tests run; keep fixtures and settings in the test file."
        elif not is_test_path(path):
            yield f"{path} is not a test file; this step may add tests and change nothing else."
        elif change.status == "D":
            yield f"{path} was deleted; tests may be added here and never removed."
        elif not change.new_mode.startswith("100"):
            yield f"{path} is not a plain file (mode {change.new_mode})."


def _not_red(paths: set[str], base: TestReport, red: TestReport) -> Iterator[str]:
    before = _outcomes(base)
    cases = [case for case in red.cases if _belongs(case, paths, red)]
    failing = [c for c in cases if c.outcome in FAILING and before.get(c.id) not in FAILING]
    if not failing:
        yield (
            "No new test fails: add one that shows what is missing, in a file that the test"
            f" runner collects (now changed: {', '.join(sorted(paths))})."
        )
    for case in failing:
        if why := _wrong_reason(case):
            yield f"{case.id} fails for the wrong reason: {why} ({_headline(case)})."
    yield from _prove_nothing(cases, before)
    uncollected = {case.id for case in failing if "::" not in case.id}
    rest = {id_: o for id_, o in before.items() if file_of(id_) not in uncollected}
    known = {*base.flaky, *_unbuilt(failing, red), *(case.id for case in failing)}
    yield from _lost(rest, red, known=known)


def _unbuilt(failing: Iterable[TestCase], red: TestReport) -> Iterator[str]:
    """Tests that are built together with new ones, and cannot run for the very same reason."""
    why = {case.message for case in failing if case.outcome is Outcome.ERROR}
    return (c.id for c in red.with_outcome(Outcome.ERROR) if c.message in why)


def _prove_nothing(cases: Iterable[TestCase], before: Mapping[str, Outcome]) -> Iterator[str]:
    """New tests of which no variant fails."""
    variants: dict[str, set[Outcome]] = {}
    for case in cases:
        if case.id not in before:
            variants.setdefault(_function(case.id), set()).add(case.outcome)
    for name, outcomes in variants.items():
        if outcomes == {Outcome.SKIPPED}:
            yield f"{name} is skipped (or expected to fail); a new test must run and fail."
        elif not outcomes & set(FAILING):
            yield f"{name} passes before the code is written, so it proves nothing; remove it."


_MISSING_NAME = re.compile(
    r"(ImportError|ModuleNotFoundError|AttributeError|NameError|TypeError|NotImplementedError)\b"
)
_MISSING_TEXT = re.compile(
    r"Cannot find module|ERR_MODULE_NOT_FOUND|does not provide an export|^ReferenceError:"
    r"|Failed to (resolve import|load url)|error TS2(304|305|307|339|551|724)"  # TypeScript
    r"|undefined: |has no field or method |undefined \(type "  # Go
    r"|(too many|not enough) arguments in call"
    r"|cannot find [\w, ]+ `|unresolved import"  # Rust
    r"|no (method|function|field|variant|associated item)\b.* named"
    r"|no `\w+` (in|field)|this (function|method) takes \d+ argument",
    re.MULTILINE,
)
_FIXTURE = re.compile(r"fixture '?[\w.]+'? not found")
_TIMEOUT = re.compile(r"(Failed: )?Timeout\b|test timed out after")
_NETWORK = re.compile(r"gaierror|Network is unreachable|name resolution|ENETUNREACH|EAI_AGAIN")


def _wrong_reason(case: TestCase) -> str:
    headline = _headline(case)
    if _TIMEOUT.match(headline):
        return "it ran out of time"
    if _NETWORK.search(headline) and not headline.startswith("Assert"):
        return "it needs the network, which tests do not have"
    if case.outcome is not Outcome.ERROR:
        return ""
    if _FIXTURE.search(case.message):
        return "it asks for a fixture that does not exist"
    if not _MISSING_NAME.match(headline) and not _MISSING_TEXT.search(case.message):
        return "it could not run, and not because of a missing symbol"
    return ""


# --- green -------------------------------------------------------------------------------------


def _tampered(
    frozen: Mapping[str, str],
    patch: Patch,
    red: TestReport,
    settings_changed: Collection[str],
    may_add_tests: bool,
) -> Iterator[str]:
    changes = {change.path: change for change in patch.changes}
    for path, change in changes.items():
        if path in frozen and (change.new_blob, change.new_mode[:3]) != (frozen[path], "100"):
            yield f"{path} was changed after its tests were frozen; restore it byte for byte."
        elif path in frozen:
            continue
        elif _steers_runner(change) or path in settings_changed:
            yield f"{path} decides how tests run and was changed; restore it."
        elif is_test_path(path) and not (may_add_tests and change.status == "A"):
            yield f"{path} is a test file and was changed; only code may change in this step."
    counts_from_red = patch.base.commit == red.commit
    for path in frozen:
        if path not in changes and not counts_from_red:
            yield f"{path} is gone or back to its old text; restore the frozen tests."
    if not set(changes) - set(frozen):
        yield "The patch changes no code, so nothing can make the new tests pass."


def _owed(
    frozen: Collection[str],
    proving: Iterable[TestCase],
    before: Collection[str],
    green: TestReport,
) -> set[str]:
    """Ids that must pass: what failed red, and whatever else is new in a frozen file."""
    new = {case.id for case in green.cases if file_of(case.id) in frozen} - set(before)
    return new | {case.id for case in proving}


def _unpaid(owed: Iterable[str], green: TestReport) -> Iterator[str]:
    now = {case.id: case for case in green.cases}
    ran = {file_of(id_) for id_ in now}
    for id_ in sorted(owed):
        if id_ in now or id_ not in ran:  # a file that could not be imported is paid by its tests
            yield from _not_passing(id_, now.get(id_), "must pass")


# --- shared ------------------------------------------------------------------------------------


def _lost(
    before: Mapping[str, Outcome], report: TestReport, *, known: Collection[str] = ()
) -> Iterator[str]:
    """What passed before and does not pass now, and what fails now and did not exist."""
    if report.only and all(before.get(c.id) in FAILING for c in report.with_outcome(*FAILING)):
        yield f"The suite was cut to {', '.join(report.only)}, where nothing new fails."
    now = {case.id: case for case in report.cases}
    for id_, outcome in before.items():
        ran = not report.only or file_of(id_) in report.only
        if outcome is Outcome.PASSED and ran and id_ not in known:
            yield from _not_passing(id_, now.get(id_), "passed before")
    for case in report.with_outcome(*FAILING):
        if case.id not in before and case.id not in known:
            yield f"{case.id} fails, and there was no such failure before: {_headline(case)}."


def _not_passing(id_: str, case: TestCase | None, claim: str) -> Iterator[str]:
    if case is None:
        yield f"{id_} {claim} and did not run: it was deleted, renamed, deselected or cut off."
    elif case.outcome is Outcome.SKIPPED:
        yield f"{id_} {claim} and is now skipped (or expected to fail)."
    elif case.outcome is not Outcome.PASSED:
        yield f"{id_} {claim} and fails: {_headline(case)}."


def _unsound(before: TestReport, after: TestReport) -> Iterator[str]:
    for report, name in ((before, "The test run before this change"), (after, "The test run")):
        if report.problem:
            yield f"{name} says nothing: {report.problem.rstrip('.')}."
        elif report.ended != "exited":
            yield f"{name} says nothing: it ended by {report.ended}."
        elif why := contradiction(report):
            yield f"{name} says nothing: {why}."


def _steers_runner(change: FileChange) -> bool:
    """Runner settings, or a new module that would be imported instead of the runner's own."""
    return is_runner_config(change.path) or (
        change.status == "A" and stands_for_runner(change.path)
    )


def _belongs(case: TestCase, paths: Collection[str], report: TestReport) -> bool:
    """Whether the case is in one of these files, or stands for the whole suite."""
    return file_of(case.id) in paths or case.id == report.command


def _outcomes(report: TestReport) -> dict[str, Outcome]:
    return {case.id: case.outcome for case in report.cases}


def file_of(test_id: str) -> str:
    """The file of a test id such as `tests/test_a.py::test_b[1]`."""
    return test_id.partition("::")[0]


def _function(test_id: str) -> str:
    """A test id without its parameters."""
    file, colons, name = test_id.partition("::")
    return f"{file}{colons}{name.partition('[')[0]}"


def _headline(case: TestCase) -> str:
    first = case.message.strip().partition("\n")[0].strip().rstrip(".")
    return first[:200] or "no message"


def _verdict(reasons: Iterable[str]) -> Verdict:
    told = tuple(dict.fromkeys(reasons))
    if len(told) > MAX_REASONS:
        told = (*told[:MAX_REASONS], f"And {len(told) - MAX_REASONS} more of the kind.")
    return Verdict(passed=not told, reasons=told)
