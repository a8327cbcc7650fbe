"""What proves a change, or speaks against it: test reports, findings, verdicts."""

from enum import StrEnum

from pydantic import Field

from orchestration.frozen import Frozen
from orchestration.ids import CommitId


class Outcome(StrEnum):
    """How one test ended."""

    PASSED = "passed"
    FAILED = "failed"
    """The test ran and an assertion or exception ended it."""
    ERROR = "error"
    """The test could not run: collection, import or fixture error."""
    SKIPPED = "skipped"


class TestCase(Frozen):
    """One test's result as its runner reported it."""

    __test__ = False
    id: str
    """The runner's own name, such as `tests/test_a.py::test_b`."""
    outcome: Outcome
    message: str = ""
    """The last lines of the failure, capped."""


class TestReport(Frozen):
    """One run of a suite in a fresh sandbox; `exit_code` comes from the kernel."""

    __test__ = False
    commit: CommitId
    command: str
    cases: tuple[TestCase, ...] = ()
    exit_code: int | None = None
    ended: str = "exited"
    """How the process ended: exited, signaled, timeout, oom, output_limit, cancelled."""
    problem: str = ""
    """Why this run says nothing (no report, forged report, runner missing); empty when sound."""
    seconds: float = 0.0
    tail: str = ""
    """The last lines printed, capped, control characters removed."""
    only: tuple[str, ...] = ()
    """Files whose tests ran alone, because they fail already; empty for the whole suite."""
    flaky: tuple[str, ...] = ()
    """Tests that ended differently when the same files were tested again: never blamed."""

    def with_outcome(self, *outcomes: Outcome) -> tuple[TestCase, ...]:
        return tuple(case for case in self.cases if case.outcome in outcomes)

    def brief(self) -> "TestReport":
        """The same report with only the cases that did not pass (at most 200)."""
        failing = self.with_outcome(Outcome.FAILED, Outcome.ERROR)[:200]
        return self.model_copy(update={"cases": failing})


class Verdict(Frozen):
    """A gate's answer."""

    passed: bool
    reasons: tuple[str, ...] = ()
    """Why not, one sentence each; they go to the coder word for word."""


class Severity(StrEnum):
    """How bad a finding is, from least to worst."""

    INFO = "info"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        return list(Severity).index(self)


class Finding(Frozen):
    """Something a reviewer or scanner wants changed."""

    file: str
    line: int = Field(default=0, ge=0)
    """1-based; 0 for the whole file."""
    severity: Severity
    why: str = Field(min_length=1)
    fix: str = ""
    source: str = "reviewer"
    """Who says so: reviewer, security, bandit, detect-secrets, ..."""

    def sentence(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        fix = f" Fix: {self.fix}" if self.fix else ""
        return f"[{self.source}, {self.severity}] {place}: {self.why}{fix}"


class Review(Frozen):
    """A reviewer's or security analyst's verdict."""

    approved: bool
    summary: str
    findings: tuple[Finding, ...] = ()
    scanners: tuple[str, ...] = ()
    """Programs that looked at the change besides, such as `bandit`; for a security verdict."""
    missing: tuple[str, ...] = ()
    """Those that would have, and are not there or failed: what only they see, nobody saw."""
