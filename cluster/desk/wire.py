"""What the API takes and gives: typed, and described by its OpenAPI schema."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from cluster.desk.diffs import FileDiff
from cluster.desk.known import Decided, Question
from cluster.runs.view import Row, RunView
from orchestration.events import Event, EventKind
from orchestration.ids import RunId
from orchestration.messages import Budget, Delivery, Plan, Usage
from orchestration.workflow.journal import RunInfo

API_HEADER = "Manta-Api"
"""On every answer of a hall: the version of its API. Nobody else's answers have it."""
API_VERSION = "1"
MAX_BUNDLE = 256_000_000
"""Bytes of a repository that is sent along."""
MAX_RECORDING = 32_000_000
Status = Literal["pending", "running", "suspended", "done", "failed", "cancelled", "dead-letter"]
Line = Annotated[str, Field(min_length=1, max_length=60, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Form(BaseModel):
    """Frozen; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Trouble(Form):
    """Every error."""

    what: str
    fix: str
    kind: str = ""
    """Its name in `orchestration.errors`, where it is one of those."""


class RunSummary(Form):
    """One row of the list."""

    run_id: str
    status: Status
    title: str
    created_at: float
    updated_at: float
    seq: int
    """Number of its last record."""
    owner: str
    parent: str | None

    @classmethod
    def of(cls, info: RunInfo) -> "RunSummary":
        return cls(
            run_id=info.run_id,
            status=info.status.value,
            title=info.title,
            created_at=info.created_at,
            updated_at=info.updated_at,
            seq=info.seq,
            owner=info.owner,
            parent=info.parent,
        )


class RunPage(Form):
    """Some runs, newest first."""

    runs: tuple[RunSummary, ...]
    next: int | None
    """`offset` of the next page, if there is one."""


class TaskState(Form):
    """What goes on in a task; "" is the team as a whole."""

    task: str
    state: str
    doing: str
    said: str
    turns: int
    usage: Usage

    @classmethod
    def of(cls, row: Row) -> "TaskState":
        return cls(
            task=row.task,
            state=row.state,
            doing=row.doing,
            said=row.said,
            turns=row.turns,
            usage=row.usage,
        )


class Asked(Form):
    """A question that waits. A decision names its `digest`, so that it is about this content."""

    label: str
    gate: str
    title: str
    body: str
    digest: str
    deadline: float | None

    @classmethod
    def of(cls, question: Question) -> "Asked":
        request = question.request
        return cls(
            label=question.label,
            gate=request.gate,
            title=request.title,
            body=request.body,
            digest=request.digest,
            deadline=question.deadline,
        )


class DecisionMade(Form):
    """A decision in the history of a run."""

    label: str
    title: str
    answer: str
    comment: str
    by: str
    at: float

    @classmethod
    def of(cls, made: Decided) -> "DecisionMade":
        return cls(
            label=made.label,
            title=made.title,
            answer=made.answer,
            comment=made.comment,
            by=made.by,
            at=made.at,
        )


class Failure(Trouble):
    """Why a run did not end well."""

    exit_code: int = 1
    """What a command ends with that followed the run."""


class RunDetail(Form):
    """A run as it stands."""

    run: RunSummary
    request: str
    repository: str
    base: str
    """Commit that it builds on."""
    budget: Budget
    tasks: tuple[TaskState, ...]
    turns: int
    usage: Usage
    questions: tuple[Asked, ...]
    decisions: tuple[DecisionMade, ...]
    delivery: Delivery | None
    error: Failure | None
    recorded: bool = False
    """Whether a recording answers in place of models."""

    @staticmethod
    def tasks_of(view: RunView) -> tuple[TaskState, ...]:
        return tuple(map(TaskState.of, view.rows.values()))


class EventItem(Form):
    """One thing that happened; `text` is of agents and tools: untrusted."""

    seq: int
    at: float
    kind: str
    status: str
    task: str
    step: str
    key: str
    attempt: int
    who: str
    text: str
    label: str
    usage: Usage | None

    @classmethod
    def of(cls, event: Event) -> "EventItem":
        return cls(
            seq=event.seq,
            at=event.at,
            kind=event.kind.value,
            status=event.status,
            task=event.task,
            step=event.step,
            key=event.key,
            attempt=event.attempt,
            who=event.who,
            text=event.text,
            label=event.label,
            usage=event.usage,
        )

    def event(self, run_id: RunId) -> Event:
        """The event again."""
        told = self.model_dump(exclude={"kind", "usage"})
        return Event(run_id=run_id, kind=EventKind(self.kind), usage=self.usage, **told)


class Standing(Form):
    """How a run stands when its stream ends."""

    status: Status


class EventPage(Form):
    """Some events, in order."""

    events: tuple[EventItem, ...]
    after: int
    """Ask again with this number: nothing is missed or seen twice."""
    ended: bool
    """Whether the run has ended, so that nothing more will come."""


class PlanShown(Form):
    """The plan as it stands."""

    plan: Plan
    asked: Asked | None
    """The question about it, while that waits."""


class ChangedFile(Form):
    """One file of a diff."""

    path: str
    was: str
    status: str
    added: int
    removed: int

    @classmethod
    def of(cls, file: FileDiff) -> "ChangedFile":
        return cls(
            path=file.path,
            was=file.was,
            status=file.status,
            added=file.added,
            removed=file.removed,
        )


class DiffShown(Form):
    """The change: its files, and the unified diff."""

    files: tuple[ChangedFile, ...]
    diff: str


class GraphShown(Form):
    """The workflow that a run plays, and its steps so far."""

    run_id: str
    text: str
    """For people."""
    workflow: dict[str, Any]
    steps: dict[str, str]
    """How each step stands, by its key, in the order they began."""


class Letter(Form):
    """The words of a pull request."""

    into: str
    """The branch that the work began on."""
    title: str
    body: str
    """Markdown."""


class Submission(Form):
    """What is wanted of the repository whose bundle comes along."""

    text: str = Field(min_length=1, max_length=20_000)
    run_id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    """Chosen by whoever submits: sending the same again attaches to the run."""
    repository: str = Field(pattern=r"^[\w.-]{1,100}$")
    """Its name, for people."""
    ref: str = Field(default="HEAD", max_length=200, pattern=r"^[^\x00-\x20\x7f]+$")
    """What the bundle's commit is called there."""
    approve: tuple[str, ...] = Field(default=(), max_length=20)
    """Gates that wait for a person, besides those that the hall asks at."""
    budget: Budget = Budget()
    """Limits; the hall's own stay where they are lower."""
    model: str | None = Field(default=None, min_length=1, max_length=200)
    """PROVIDER/NAME; the hall has its key."""
    test_command: str | None = Field(default=None, min_length=1, max_length=2_000)
    """Overrides the detected test runner; runs in a sandbox."""


class Begun(Form):
    """A run that is driven."""

    run_id: str
    is_new: bool
    """False where the same was submitted under this id before."""
    notes: tuple[str, ...] = ()
    """What the person should know of the repository."""


class Approve(Form):
    """Yes."""

    label: str | None = Field(default=None, max_length=200)
    """Which question, where several wait."""
    digest: str = Field(default="", max_length=64)
    """Of the question as you saw it; empty for whatever it says now."""
    by: Line = "the API"
    resume: bool = True
    """Whether the run goes on by itself once nothing is asked any more."""
    comment: str = Field(default="", max_length=20_000)
    plan: Plan | None = None
    """With a question about a plan: this one instead."""
    budget: str = Field(default="", max_length=200)
    """With a question about a budget: all that may be spent, such as `10usd,2h`."""


class Reject(Form):
    """No. At a gate this ends the run; a tool call is declined."""

    label: str | None = Field(default=None, max_length=200)
    digest: str = Field(default="", max_length=64)
    by: Line = "the API"
    resume: bool = True
    comment: str = Field(default="", max_length=20_000)


class RequestChanges(Form):
    """Not like this; the comment reaches the agents."""

    label: str | None = Field(default=None, max_length=200)
    digest: str = Field(default="", max_length=64)
    by: Line = "the API"
    resume: bool = True
    comment: str = Field(min_length=1, max_length=20_000)


class Recorded(Form):
    """A decision stands."""

    run_id: str
    label: str
    answer: str
    next: str
    """What makes the run go on, where it does not by itself."""
    goes_on: bool = False
    """Whether the run was resumed, as nothing is asked any more."""
    trouble: Trouble | None = None
    """Why it was not, although nothing is asked."""


class Resume(Form):
    """Go on."""

    take_over: bool = False
    """Even from an owner whose lease is alive."""


class Resumed(Form):
    """A run is driven on."""

    run_id: str


class Cancel(Form):
    """Who wants the run to stop."""

    by: Line = "the API"


class Cancelled(Form):
    """A wish to cancel."""

    run_id: str
    accepted: bool
    """False if the run had ended already."""
