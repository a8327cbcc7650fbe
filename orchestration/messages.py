"""The frozen things that travel between the score and the players."""

from graphlib import CycleError, TopologicalSorter
from typing import Literal, Self

from pydantic import Field, model_validator

from orchestration.approval import ApprovalPolicy, Decision
from orchestration.frozen import Frozen
from orchestration.ids import BlobId, CommitId, RunId, TaskId
from orchestration.proof import Review, TestReport
from orchestration.strength import Strength

# --- the request -------------------------------------------------------------------------------


class TreeRef(Frozen):
    """A commit and the git bundles which, fetched in order, contain it."""

    commit: CommitId
    bundles: tuple[BlobId, ...]

    def plus(self, commit: CommitId, bundle: BlobId) -> "TreeRef":
        """The tree after one more commit, carried by one more bundle."""
        return TreeRef(commit=commit, bundles=(*self.bundles, bundle))


class Limits(Frozen):
    """Caps by construction. Reaching one ends the run cleanly and keeps the work."""

    parallel_tasks: int = Field(default=4, ge=1, le=64)
    red_attempts: int = Field(default=3, ge=1, le=20)
    """Tries to write a test that fails for the right reason."""
    repairs: int = Field(default=5, ge=1, le=20)
    """Rounds of code, prove, review and merge for one task."""
    plan_rounds: int = Field(default=4, ge=1, le=20)
    """Plans shown to a person before giving up."""
    replans: int = Field(default=1, ge=0, le=5)
    """New plans for what proved wrong or impossible, before the rest is delivered without it."""
    candidates: int = Field(default=2, ge=1, le=8)
    """Coders that compete for a task that is hard, or that two rounds did not solve."""
    base_runs: int = Field(default=2, ge=1, le=10)
    """Runs of the suite at the base, to know flaky tests by."""
    mutants: int = Field(default=8, ge=0, le=200)
    """Mutants tried of one patch; none to leave that out."""
    mutant_seconds: float = Field(default=60.0, gt=0)
    killed_share: float = Field(default=0.0, ge=0, le=1)
    """Share of mutants that a patch's tests must kill. 0: survivors are reported only."""
    turns: int = Field(default=60, ge=1)
    """Model turns of one agent in one step."""
    tokens: int = Field(default=2_000_000, ge=1)
    """Tokens, in and out, of one agent in one step."""
    cost_usd: float = Field(default=5.0, gt=0)
    """Money of one agent in one step, where the model has a price."""
    agent_seconds: float = Field(default=1800.0, gt=0)
    test_seconds: float = Field(default=600.0, gt=0)
    """Wall time of one run of the test suite."""


class Budget(Frozen):
    """What one run may spend, all its agents together. None sets no limit."""

    usd: float | None = Field(default=None, gt=0)
    tokens: int | None = Field(default=None, ge=1)
    """In and out."""
    seconds: float | None = Field(default=None, gt=0)
    """While somebody drives the run; waiting for people is free."""

    @property
    def is_limited(self) -> bool:
        return self != Budget()


DeliverAs = Literal["branch", "patch", "pr"]
"""A new branch in the repository it came from, a patch file, or a pull request."""


class Preparation(Frozen):
    """How a repository's workspaces are made ready, once per run. Never set by a repository."""

    command: str = Field(min_length=1, max_length=10_000)
    """Run in a sandbox at the root of the repository; what git ignores of its work is kept."""
    egress: tuple[str, ...] = ()
    """`host:port` patterns that it may reach; nobody else in the run gets a network."""
    seconds: float = Field(default=1800.0, gt=0)


class FeatureRequest(Frozen):
    """What a person asked for, and of which repository."""

    run_id: RunId
    text: str = Field(min_length=1, max_length=20_000)
    repository: str
    """Its name, for people: the last part of its path or URL."""
    memory: str = ""
    """The key that keeps its memory apart from others of its name; "" for the name alone."""
    base: TreeRef
    origin: str = ""
    """The path or URL it came from, without credentials; a finished branch is delivered there."""
    base_ref: str = "HEAD"
    """What the base commit was called there."""
    brain: str = ""
    """Which models think, as the hall wrote it down; opaque here."""
    guidance: str = ""
    """The repository's own AGENTS.md (or CLAUDE.md), as untrusted advice."""
    test_command: str | None = None
    """Overrides the detected test runner."""
    setup: Preparation | None = None
    limits: Limits = Limits()
    budget: Budget = Budget()
    policy: ApprovalPolicy = ApprovalPolicy()
    independent_tests: bool = False
    """Whether a task's test is written by another coder than its code, in another workspace."""
    deliver: DeliverAs = "branch"
    """What becomes of the result at the door that follows the run."""
    workflow: str = ""
    """The workflow to play, as `module:function`; "" for the delivery of `delivery.py`."""

    @property
    def memory_key(self) -> str:
        return self.memory or self.repository


# --- the plan ----------------------------------------------------------------------------------


Difficulty = Literal["easy", "normal", "hard"]


class CodeTask(Frozen):
    """One atomic piece of work for one coder."""

    id: TaskId = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")
    """Short name: lower-case letters, digits and hyphens."""
    title: str = Field(min_length=1, max_length=72)
    """One line, imperative; becomes the commit's title."""
    description: str = Field(min_length=1)
    acceptance: tuple[str, ...] = Field(min_length=1)
    """What must be true afterwards; each is something a test can show."""
    files: tuple[str, ...] = ()
    """Files this task is expected to touch."""
    after: tuple[TaskId, ...] = ()
    """Tasks whose merged result this one builds on."""
    symbols: tuple[str, ...] = ()
    """Existing functions and classes it will change, as `path:name`."""
    changes_behaviour: bool = True
    """False for docs, renames and refactors: then nothing that passes may fail, and no test is
    added."""
    existing_tests: tuple[str, ...] = ()
    """Existing test files that must change because they pin behaviour that is to change. A
    person is asked first."""
    difficulty: Difficulty = "normal"
    """How strong a model it needs; most are normal."""


class Plan(Frozen):
    """Tasks and their order. A plan that does not hold together cannot be constructed."""

    summary: str = Field(min_length=1)
    tasks: tuple[CodeTask, ...] = Field(default=(), max_length=40)
    """None when the repository already does what is asked; the summary then says where."""
    impossible: str = ""
    """Why there is nothing to plan, where the request contradicts itself or cannot be met."""

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        ids = [task.id for task in self.tasks]
        if twice := sorted({i for i in ids if ids.count(i) > 1}):
            raise ValueError(f"task ids must be unique; repeated: {', '.join(twice)}")
        for task in self.tasks:
            if unknown := sorted(set(task.after) - set(ids)):
                raise ValueError(
                    f"task {task.id!r} comes after unknown tasks {', '.join(unknown)}; "
                    f"known are {', '.join(ids)}"
                )
        try:
            TopologicalSorter({t.id: t.after for t in self.tasks}).prepare()
        except CycleError as error:
            circle = " -> ".join(str(i) for i in error.args[1])
            raise ValueError(f"tasks wait for each other in a circle: {circle}") from None
        return self


class PlanDecision(Decision):
    """A decision on a plan."""

    edited: Plan | None = None
    """With approve: this plan instead of the one shown."""


class BudgetDecision(Decision):
    """A decision on a run whose budget is spent."""

    budget: Budget | None = None
    """With approve: the new one, for the whole run."""


class Recollection(Frozen):
    """A piece of text recalled from memory. Untrusted; labelled with where it comes from."""

    source: str
    """`path:first-last` for code, `lesson` for lessons of earlier runs."""
    commit: CommitId
    text: str


# --- the work ----------------------------------------------------------------------------------


class FileChange(Frozen):
    """One changed path, read from git objects on the host, never from what an agent said."""

    path: str
    status: str = Field(pattern=r"^[AMDT]$")
    old_mode: str
    new_mode: str
    old_blob: str
    new_blob: str


class Patch(Frozen):
    """A commit on top of a base."""

    base: TreeRef
    tree: TreeRef
    title: str
    notes: str = ""
    changes: tuple[FileChange, ...]
    settings_changed: tuple[str, ...] = ()
    """Shared settings files (such as pyproject.toml) whose section on tests differs."""

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(change.path for change in self.changes)


class Assigned(Frozen):
    """A task as it is handed out."""

    task: CodeTask
    builds_on: tuple[str, ...] = ()
    """Titles of the tasks that it builds on."""
    others: tuple[str, ...] = ()
    """Titles of the tasks that do the rest of the request."""


class Work(Frozen):
    """One task on its way round the loop. Each step returns it with more filled in."""

    task: CodeTask
    builds_on: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    base: TreeRef
    """The integration branch when the task began, or was last brought up to date."""
    test: Patch | None = None
    red: TestReport | None = None
    patch: Patch | None = None
    green: TestReport | None = None
    review: Review | None = None
    audit: Review | None = None
    strength: Strength | None = None
    merged: TreeRef | None = None
    rounds: int = 0
    """Rounds of code that were not good enough."""
    candidate: int = 1
    """Which of several competing coders' work this is."""
    feedback: tuple[str, ...] = ()
    """Why the last round was not good enough; empty when it was."""

    def having(self, **changes: object) -> "Work":
        """A copy with these fields replaced."""
        return self.model_copy(update=changes)


class Undone(Frozen):
    """A task that could not be built, and why."""

    task: CodeTask
    why: str
    error: str
    """Class of the error that ended it."""


class TaskEvidence(Frozen):
    """What proves one task, in the evidence bundle."""

    task: CodeTask
    base: CommitId
    """What the task's change was built and judged on."""
    test_commit: CommitId | None = None
    """None, as `red`, for a task that changes no behaviour."""
    commit: CommitId
    merged: CommitId
    test_files: dict[str, str]
    """Frozen test files: path to git blob."""
    red: TestReport | None = None
    green: TestReport
    review: Review
    audit: Review
    strength: Strength | None = None


class Usage(Frozen):
    """What models cost so far."""

    calls: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            calls=self.calls + other.calls,
            input_tokens=self.input_tokens + other.input_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cost_usd=self.cost_usd + other.cost_usd,
        )


class Dossier(Frozen):
    """Everything one run knows so far; what travels through the delivery story."""

    request: FeatureRequest
    tree: TreeRef
    """The integration branch."""
    recalled: tuple[Recollection, ...] = ()
    plan: Plan | None = None
    """The tasks of this round."""
    works: tuple[Work, ...] = ()
    """Tasks built and merged, in plan order, of all rounds."""
    undone: tuple[Undone, ...] = ()
    """What this round could not build."""
    replanned: int = 0
    """How often the plan was made anew because of that."""
    final: TestReport | None = None
    """The whole suite on the integration branch."""
    notes: tuple[str, ...] = ()
    """What a person wants changed; empty once they agree."""

    def having(self, **changes: object) -> "Dossier":
        """A copy with these fields replaced."""
        return self.model_copy(update=changes)


class Delivery(Frozen):
    """What comes out."""

    run_id: RunId
    branch: str
    """Empty, as `bundle` and `evidence`, when there was nothing to do."""
    tree: TreeRef
    bundle: BlobId
    """Carries `branch` from the base commit on."""
    evidence: BlobId
    """The evidence bundle, JSON."""
    summary: str
    undone: tuple[str, ...] = ()
    """What was asked for and is not part of it, a line each."""
