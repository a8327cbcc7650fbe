"""Bodies of the engine's records, and the fold that reads them back.

An output is JSON text of its step's type, kept inline or, when it is large, in the blob table.
It always stands last in its body, so that it can be cut out and decoded by its own type.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from orchestration.errors import MantaError
from orchestration.ids import BlobId, StepKey
from orchestration.workflow.journal import NewRecord, Record, RecordKind, RunStatus
from orchestration.workflow.step import Suspension

T = TypeVar("T")


class ErrorInfo(BaseModel):
    """An error as the journal keeps it, and as any process reports it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    """Class of the original error."""
    what: str
    fix: str = ""
    exit_code: int = 1
    step_key: str = ""
    siblings: tuple[str, ...] = ()
    """What became of the arms beside the one that failed, a sentence each."""
    result: str | None = None
    """JSON of the last result, where a loop reached its cap."""

    @classmethod
    def of(cls, error: BaseException, step_key: StepKey) -> "ErrorInfo":
        """Describe an exception that a step raised."""
        name = type(error).__name__
        if isinstance(error, MantaError):
            return cls(
                name=name,
                what=error.what,
                fix=error.fix,
                exit_code=error.exit_code,
                step_key=step_key,
            )
        return cls(name=name, what=str(error)[:4000] or name, step_key=step_key)

    def __str__(self) -> str:
        where = f" (in {self.step_key})" if self.step_key else ""
        return f"{self.name}: {self.what}{where}"


class Collected(BaseModel, Generic[T]):
    """What became of one item of a foreach that collects."""

    model_config = ConfigDict(frozen=True)

    key: str
    value: T | None = None
    error: ErrorInfo | None = None
    """Set when the item failed, or could not start because one it comes after failed."""


@dataclass(frozen=True, slots=True)
class Text:
    """JSON text, here or in a blob."""

    inline: str | None = None
    blob: BlobId | None = None

    def write(self, head: str = "") -> str:
        """A body: `head` (JSON members ending in a comma, or nothing), then the output."""
        if self.blob is not None:
            return f'{{{head}"blob":"{self.blob}"}}'
        return f'{{{head}"output":{self.inline}}}'


def read_output(body: str) -> tuple[dict[str, object], Text]:
    """Cut a body into its head and its output."""
    if body.startswith('{"output":'):
        return {}, Text(inline=body[10:-1])
    head: dict[str, object] = {}
    decoder, at = json.JSONDecoder(), 1
    while at < len(body):
        name, at = decoder.raw_decode(body, at)
        if name == "output":
            return head, Text(inline=body[at + 1 : -1])
        value, at = decoder.raw_decode(body, at + 1)
        if name == "blob":
            return head, Text(blob=BlobId(value))
        head[name] = value
        at += 1
    raise ValueError(f"no output in {body[:80]!r}")


def spill_body(record: NewRecord, blob: BlobId) -> str:
    """Body of a record whose own is in a blob; a SUSPENDED one keeps its label in sight."""
    body: dict[str, object] = {"spill": blob}
    if record.kind is RecordKind.SUSPENDED:
        body["label"] = json.loads(record.body)["label"]
    return json.dumps(body)


def read_spill(body: str) -> BlobId | None:
    """The blob a body was moved to."""
    return BlobId(json.loads(body)["spill"]) if body.startswith('{"spill": ') else None


class Phase(Enum):
    """Where a step stands, by its last record."""

    NEW = auto()
    STARTED = auto()
    WAITING = auto()
    """Failed, and to be tried again at `retry_at`."""
    SUSPENDED = auto()
    DECIDED = auto()
    DONE = auto()
    FAILED = auto()
    WITHDRAWN = auto()
    """Stopped because its block ended without it."""


@dataclass(slots=True)
class Past:
    """All that the journal knows of one step."""

    phase: Phase = Phase.NEW
    attempt: int = 0
    failures: int = 0
    retry_at: float = 0.0
    clock_from: float = 0.0
    """When `total_s` began to count: the first attempt, or the first after an answer."""
    body: str = ""
    """Of the DONE, the final FAILED or the SUSPENDED record."""
    answer: str | None = None

    @property
    def suspension(self) -> Suspension:
        return Suspension.model_validate_json(self.body)

    @property
    def error(self) -> ErrorInfo:
        return ErrorInfo.model_validate(json.loads(self.body)["error"])


@dataclass(slots=True)
class History:
    """A run's facts, folded. What the machine has made its own is taken out."""

    created: str = "{}"
    steps: dict[StepKey, Past] = field(default_factory=dict[StepKey, Past])
    chosen: dict[StepKey, str] = field(default_factory=dict[StepKey, str])
    iterations: dict[StepKey, str] = field(default_factory=dict[StepKey, str])
    sleeps: dict[StepKey, float] = field(default_factory=dict[StepKey, float])
    finished: str | None = None
    recoveries: int = 0
    """Claims of a run that was running, since there was progress last."""
    cancel_requested: bool = False
    seq: int = 0

    def open_suspensions(self) -> dict[StepKey, Suspension]:
        return {k: p.suspension for k, p in self.steps.items() if p.phase is Phase.SUSPENDED}

    def fold(self, records: Iterable[Record]) -> "History":
        """Add records, in order."""
        for record in records:
            self.seq = record.seq
            self._count_recoveries(record)
            if record.kind in _STEP_KINDS:
                past = self.steps.setdefault(record.step_key, Past())
                _STEP_KINDS[record.kind](past, record)
            elif record.kind is RecordKind.CHOSEN:
                self.chosen[record.step_key] = record.body
            elif record.kind is RecordKind.ITERATION:
                self.iterations[record.step_key] = record.body
            elif record.kind is RecordKind.SLEEPING:
                self.sleeps[record.step_key] = float(json.loads(record.body)["until"])
            elif record.kind is RecordKind.CANCEL:
                self.cancel_requested = True
            elif record.kind is RecordKind.CREATED:
                self.created = record.body
            elif record.kind is RecordKind.FINISHED:
                self.finished = record.body
        return self

    def _count_recoveries(self, record: Record) -> None:
        if record.kind is RecordKind.CLAIMED:
            recovered = json.loads(record.body)["was"] == RunStatus.RUNNING
            self.recoveries = self.recoveries + 1 if recovered else 0
        elif record.kind not in _NO_PROGRESS:
            self.recoveries = 0


_NO_PROGRESS = {RecordKind.CREATED, RecordKind.STARTED, RecordKind.CANCEL, RecordKind.NOTE}


def _started(past: Past, record: Record) -> None:
    if past.phase in {Phase.NEW, Phase.DECIDED}:
        past.clock_from = record.at
    past.phase, past.attempt = Phase.STARTED, record.attempt


def _done(past: Past, record: Record) -> None:
    past.phase, past.body = Phase.DONE, record.body


def _failed(past: Past, record: Record) -> None:
    body = json.loads(record.body)
    past.body = record.body
    if body.get("withdrawn"):
        past.phase = Phase.WITHDRAWN
        return
    past.failures += 1
    past.phase = Phase.FAILED if body["final"] else Phase.WAITING
    past.retry_at = float(body.get("retry_at") or 0.0)


def _suspended(past: Past, record: Record) -> None:
    past.phase, past.body = Phase.SUSPENDED, record.body


def _decided(past: Past, record: Record) -> None:
    if past.phase is Phase.SUSPENDED:
        past.phase, past.failures = Phase.DECIDED, 0
        past.answer = read_answer(record.body)


_STEP_KINDS = {
    RecordKind.STARTED: _started,
    RecordKind.DONE: _done,
    RecordKind.FAILED: _failed,
    RecordKind.SUSPENDED: _suspended,
    RecordKind.DECIDED: _decided,
}


def read_answer(decided: str) -> str:
    """The answer (JSON) in the body of a DECIDED record."""
    return json.dumps(json.loads(decided)["answer"])
