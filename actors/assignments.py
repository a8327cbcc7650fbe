"""What the team hands to a player, and what comes back. Frozen, small, picklable."""

from pydantic import Field

from orchestration.approval import ApprovalPolicy
from orchestration.errors import MantaError
from orchestration.ids import BlobId, CommitId
from orchestration.messages import CodeTask, Dossier, FileChange, Frozen, Limits, TreeRef
from orchestration.proof import TestReport


class Brief(Frozen):
    """What every player of a run is told."""

    request: str
    repository: str
    guidance: str
    limits: Limits
    policy: ApprovalPolicy = ApprovalPolicy()
    test_command: str | None = None


class PlanJob(Frozen):
    """For the architect."""

    brief: Brief
    dossier: Dossier


class CodeJob(Frozen):
    """For a coder: write the failing test, or the code that makes it pass."""

    brief: Brief
    task: CodeTask
    tree: TreeRef
    """What the workspace starts from."""
    upstream: TreeRef | None = None
    """The integration branch, where it has moved on and must be merged into the work."""
    feedback: tuple[str, ...] = ()
    tests: dict[str, str] = Field(default_factory=dict[str, str])
    """Frozen test files and their text; empty while they are being written."""
    files: dict[str, str] = Field(default_factory=dict[str, str])
    """Existing files that the part is expected to change, and their text."""
    outlines: dict[str, str] = Field(default_factory=dict[str, str])
    """Those that are too large to be shown, and what is where in them."""
    builds_on: tuple[str, ...] = ()
    """Titles of the tasks that it builds on."""
    others: tuple[str, ...] = ()
    """Titles of the tasks that do the rest of the request."""
    candidate: int = 1
    """Which of several competing coders this is for; each has a workspace of its own."""
    apart: bool = False
    """The test and the code are written by different coders, each in a workspace of its own."""
    first_tests: bool = False
    """The repository has no tests; a task that changes no behaviour may add the first ones."""

    @property
    def writes_code(self) -> bool:
        """Whether this part is the code, and not the test that comes before it."""
        return bool(self.tests) or not self.task.changes_behaviour


class VerifyJob(Frozen):
    """For a reviewer's slot: run the whole suite in a fresh sandbox."""

    brief: Brief
    tree: TreeRef
    runs: int = 1
    """More than one to find flaky tests, each in a sandbox of its own."""
    first: tuple[str, ...] = ()
    """Test files to try before the whole suite, which is spared where they fail."""


class ChallengeJob(Frozen):
    """For a reviewer's slot: one part of the mutants of a patch against its tests."""

    brief: Brief
    base: CommitId
    tree: TreeRef
    changes: tuple[FileChange, ...]
    added: dict[str, tuple[int, ...]]
    """Numbers of the lines that the change adds, by path."""
    tests: tuple[str, ...]
    """The task's own test files."""
    part: int = 0
    parts: int = 1


class ExamineJob(Frozen):
    """For the reviewer and the security analyst."""

    brief: Brief
    task: CodeTask
    base: CommitId
    tree: TreeRef
    diff: str
    changes: tuple[FileChange, ...]
    added: dict[str, dict[int, str]]
    """Lines that the change adds: path -> line number -> text."""
    red: TestReport | None
    """None where no behaviour is to change."""
    green: TestReport
    builds_on: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


class Handed(Frozen):
    """A commit that a coder made; empty when nothing was changed."""

    commit: CommitId
    bundle: BlobId
    title: str
    notes: str = ""


class PersonNeededError(MantaError):
    """A player goes on once a person has answered. `details`: (the suspension, as JSON)."""
