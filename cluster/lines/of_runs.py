"""Lines about a run: on its way, looked at, decided."""

from typing import Any, Literal

from pydantic import ConfigDict

from actors.evidence import Evidence
from actors.verification import Claim
from cluster.desk.wire import Form, RunSummary
from cluster.lines.line import Line
from orchestration.events import EventKind
from orchestration.messages import Delivery, Plan, Usage
from orchestration.proof import Finding

# --- a run on its way ----------------------------------------------------------------------------


class WatchingLine(Line):
    """The first line of a run that is followed."""

    type: Literal["watching"]
    run_id: str
    repository: str
    recorded: bool
    """Whether a recording answers in place of models."""


class EventLine(Line):
    """Something happened. Fields that say nothing are left out."""

    type: Literal["event"]
    run_id: str
    seq: int
    """`manta watch RUN --after SEQ` tells what follows."""
    at: float
    """Seconds since the epoch."""
    kind: EventKind
    status: str = ""
    task: str = ""
    step: str = ""
    key: str = ""
    attempt: int = 0
    who: str = ""
    text: str = ""
    """Untrusted."""
    label: str = ""
    usage: Usage | None = None


class WaitingLine(Line):
    """The run waits for a person: exit code 3, or 4 where only its budget is asked about."""

    type: Literal["waiting"]
    run_id: str
    labels: tuple[str, ...]


class ResumedLine(Line):
    """What `manta resume --due` could do for a run that should go on."""

    type: Literal["resumed"]
    run_id: str
    goes_on: bool
    trouble: str
    """Why it does not; "" where it does."""


class FailedLine(Line):
    """The run ended without a delivery."""

    type: Literal["failed"]
    run_id: str
    status: str
    what: str
    fix: str


class FileLine(Form):
    """One changed file."""

    path: str
    status: str
    added: int
    removed: int


class OutcomeLine(Form):
    """How well a delivery is proven, and what it took."""

    files: tuple[FileLine, ...]
    new_tests: int
    suite_passes: bool
    mutants_killed: int
    mutants_survived: int
    findings: tuple[Finding, ...]
    """Remarks that did not block."""
    models: tuple[str, ...]
    usage: Usage
    seconds: float


class DeliveredLine(Delivery):
    """The run has delivered. Without a branch there was nothing to do."""

    v: Literal[1]
    type: Literal["delivered"]
    address: str
    """Where the result is: a path or URL; empty where it waits to be fetched."""
    outcome: OutcomeLine | None = None


class ForkedLine(Line):
    """A new run has begun with another's past."""

    type: Literal["forked"]
    run_id: str
    parent: str
    at: str


class ReplayingLine(Line):
    """A new run plays an old one again."""

    type: Literal["replaying"]
    run_id: str
    of: str


# --- looking and deciding ------------------------------------------------------------------------


class RunLine(RunSummary):
    """One run of the list, or the one that is shown."""

    v: Literal[1]
    type: Literal["run"]


class QuestionLine(Line):
    """What a run asks."""

    type: Literal["question"]
    label: str
    gate: str
    title: str
    body: str
    digest: str


class PlanLine(Plan):
    """A plan that nobody is asked about."""

    v: Literal[1]
    type: Literal["plan"]


class DiffLine(Line):
    """The change so far, as a unified diff."""

    type: Literal["diff"]
    diff: str


class EvidenceLine(Evidence):
    """The evidence; also published as `evidence.json`."""

    v: Literal[1]
    type: Literal["evidence"]


class GraphLine(Line):
    """The workflow that a run plays, and its steps so far."""

    type: Literal["graph"]
    run_id: str
    workflow: dict[str, Any]
    steps: dict[str, str]


class SarifLine(Line):
    """Findings as SARIF 2.1.0, whose own schema says the rest."""

    model_config = ConfigDict(extra="allow")

    type: Literal["sarif"]
    version: str
    runs: list[dict[str, Any]]


class DecidedLine(Line):
    """A decision stands."""

    type: Literal["decided"]
    run_id: str
    answer: str
    goes_on: bool


class CancelLine(Line):
    """A wish to cancel; not accepted where the run had ended."""

    type: Literal["cancel"]
    run_id: str
    accepted: bool


class FetchedLine(Line):
    """A branch was made, or a patch written."""

    type: Literal["fetched"]
    branch: str = ""
    patch: str = ""


class PublishedLine(Line):
    """A pull request is open."""

    type: Literal["published"]
    url: str


class ClaimLine(Claim):
    """One claim of the evidence, proven again."""

    v: Literal[1]
    type: Literal["claim"]


class VerifiedLine(Line):
    """What became of all claims."""

    type: Literal["verified"]
    holds: bool
    run_id: str
    commit: str
