"""The journal socket: append-only facts of runs, owned by leases, fenced by epochs.

State is a fold over records. Control records are written by a run's owner under its `Lease`;
workers append under a `StepGrant`. Every append of several records is one transaction.

The store reads three things out of the records that pass through it, and nothing else: the
attempt a STARTED record begins, the `label` a SUSPENDED record waits under, and a run's status.
It writes four kinds itself: CREATED, CLAIMED, DECIDED, and, when it cancels a run that nobody
drives, CANCEL with FINISHED. Their bodies come from the functions below, alike in every plug.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from orchestration.ids import BlobId, RunId, StepGrant, StepKey

RECORD_VERSION = 1
"""Version of the records written by this code; older ones are read through migrations."""


NO_STEP = StepKey("")


class RecordKind(StrEnum):
    """The facts that a journal knows."""

    CREATED = "created"
    CLAIMED = "claimed"
    STARTED = "started"
    """An attempt of a step: its intent, durable before anything happens."""
    EFFECT = "effect"
    """A side effect inside a step, with its result; never repeated."""
    DONE = "done"
    FAILED = "failed"
    """An attempt failed. The step may be tried again."""
    ITERATION = "iteration"
    """A loop's condition was judged after an iteration."""
    CHOSEN = "chosen"
    """A branch's arms, or a foreach's items, were determined."""
    SLEEPING = "sleeping"
    SUSPENDED = "suspended"
    DECIDED = "decided"
    CANCEL = "cancel"
    FINISHED = "finished"
    TURN = "turn"
    """Worker: a model's reply, or what its tool calls answered."""
    SANDBOX = "sandbox"
    """Worker: a sandbox reference, before its first use."""
    NOTE = "note"
    """Worker or owner: progress for people; state never depends on it."""


class RunStatus(StrEnum):
    """Where a run stands, as the store knows it."""

    PENDING = "pending"
    RUNNING = "running"
    SUSPENDED = "suspended"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DEAD_LETTER = "dead-letter"
    """Recovered again and again without progress; `resume` gives it a fresh budget."""

    @property
    def ended(self) -> bool:
        return self in {RunStatus.DONE, RunStatus.FAILED, RunStatus.CANCELLED}


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A fact to append. `body` is JSON; large parts of it live in the blob table."""

    kind: RecordKind
    step_key: StepKey = NO_STEP
    attempt: int = 0
    body: str = "{}"


@dataclass(frozen=True, slots=True)
class Record:
    """A fact as stored. `seq` counts from 1 without gaps within its run."""

    run_id: RunId
    seq: int
    kind: RecordKind
    step_key: StepKey
    attempt: int
    epoch: int
    at: float
    """Seconds since the epoch, by the store's clock."""
    body: str
    version: int = RECORD_VERSION


@dataclass(frozen=True, slots=True)
class Lease:
    """Ownership of a run until `until` (the store's clock), fenced by `epoch`."""

    run_id: RunId
    owner: str
    epoch: int
    until: float


@dataclass(frozen=True, slots=True)
class RunInfo:
    """One row of the list of runs."""

    run_id: RunId
    workflow: str
    definition: str
    """Hash of the workflow's definition when the run was created."""
    status: RunStatus
    title: str
    created_at: float
    updated_at: float
    seq: int
    epoch: int
    owner: str
    lease_until: float
    cancel_requested: bool
    parent: RunId | None = None
    wake_at: float | None = None
    """When a suspended run goes on although nobody answered: its first default counts then."""


CONTROL_KINDS = frozenset(
    {RecordKind.STARTED, RecordKind.DONE, RecordKind.FAILED, RecordKind.SUSPENDED}
)
"""A step's grant is good while the last of its records of these kinds is its own STARTED."""


def claimed_body(owner: str, was: RunStatus, *, take_over: bool) -> str:
    """Body of CLAIMED. `was` tells a recovery (running) from a first start or a resume."""
    return json.dumps({"owner": owner, "was": was.value, "take_over": take_over})


def decided_body(label: str, answer: str, *, by: str) -> str:
    """Body of DECIDED: the label, who decided, and the answer (JSON text) as it was given."""
    return f'{{"label":{json.dumps(label)},"by":{json.dumps(by)},"answer":{answer}}}'


def cancel_body(by: str) -> str:
    """Body of CANCEL."""
    return json.dumps({"by": by})


def cancelled_body(by: str) -> str:
    """Body of the FINISHED record of a run that was cancelled."""
    error = {
        "name": "RunCancelledError",
        "what": f"the run was cancelled by {by}",
        "fix": "start it anew, or fork it at the step where it stood",
        "exit_code": 1,
        "step_key": "",
    }
    return json.dumps({"status": RunStatus.CANCELLED.value, "error": error})


def same_answer(decided: str, answer: str) -> bool:
    """Whether a DECIDED body carries this answer; JSON is compared by value."""
    return json.loads(decided)["answer"] == json.loads(answer)


class Journal(Protocol):
    """Where facts are kept. All methods may raise `StoreError`.

    A lease is *held* while its epoch is the run's and the run was not released since. An expired
    lease that nobody else claimed is still held: the next epoch fences, not the clock.

    Raises:
        StaleOwnerError: the lease is not held, or the grant is void.
        NotFoundError: unknown run or blob.
    """

    async def create_run(
        self,
        run_id: RunId,
        *,
        workflow: str,
        definition: str,
        title: str,
        body: str,
        parent: RunId | None = None,
        records: Sequence[NewRecord] = (),
    ) -> bool:
        """Create a PENDING run with its CREATED record; False (nothing changed) if it exists.

        A fork names its `parent` and brings the `records` it keeps, in the same transaction;
        they follow CREATED with epoch 0.
        """
        ...

    async def claim(
        self, run_id: RunId, owner: str, *, ttl_s: float = 15.0, take_over: bool = False
    ) -> Lease:
        """Take the run with the next epoch; status becomes RUNNING.

        The same `owner` claims at once; anyone else once the lease has expired, was released,
        or with `take_over`. Writes a CLAIMED record in the new epoch.

        Raises:
            RunOwnedError: the lease of another owner is alive.
            ConflictError: the run has ended.
        """
        ...

    async def renew(self, lease: Lease, *, ttl_s: float = 15.0) -> Lease:
        """Prolong the lease to `ttl_s` from now."""
        ...

    async def release(self, lease: Lease, status: RunStatus) -> None:
        """Give the run up, leaving it in `status`. Raises ConflictError as `append` does."""
        ...

    async def append(
        self,
        lease: Lease,
        records: Sequence[NewRecord],
        *,
        status: RunStatus | None = None,
        release: bool = False,
        wake_at: float | None = None,
    ) -> int:
        """Append control records in one transaction; optionally set the status and release.

        `wake_at` is for a run that becomes SUSPENDED: from that moment on `due` names it.

        A STARTED record makes its attempt the current one of its step, voiding older grants.
        Returns the last sequence number.

        Raises:
            ConflictError: a cancel was requested, and `status` would leave RUNNING for anything
                but CANCELLED. Nothing was written.
        """
        ...

    async def append_under(self, grant: StepGrant, records: Sequence[NewRecord]) -> int:
        """Append a worker's records for its step in one transaction.

        `step_key`, `attempt` and epoch come from the grant, whatever the records say. The grant
        is good while the run is RUNNING in the grant's epoch and the step's last record among
        `CONTROL_KINDS` is the STARTED of this very attempt and epoch.
        """
        ...

    async def read(
        self,
        run_id: RunId,
        *,
        after: int = 0,
        step_key: StepKey | None = None,
        kinds: Sequence[RecordKind] | None = None,
        limit: int = 10_000,
    ) -> list[Record]:
        """Records with `seq > after`, oldest first, optionally of one step or of some kinds."""
        ...

    async def wait(self, run_id: RunId, *, after: int, timeout_s: float) -> bool:
        """Return True as soon as a record after `after` exists, False after `timeout_s`."""
        ...

    async def info(self, run_id: RunId) -> RunInfo: ...

    async def runs(self, *, limit: int = 100) -> list[RunInfo]:
        """Newest first."""
        ...

    async def due(self, *, limit: int = 100) -> list[RunInfo]:
        """Suspended runs whose `wake_at` has come by the store's clock, the earliest first.

        Whoever resumes one takes the default that counts now; nobody else needs to act.
        """
        ...

    async def request_cancel(self, run_id: RunId, *, by: str) -> bool:
        """Store the wish to cancel, whoever owns the run; False if it has already ended.

        A run that nobody drives (pending, suspended, a dead letter, or running with an expired
        lease) is cancelled at once: CANCEL and FINISHED, owner cleared. Otherwise a CANCEL
        record and the flag in `info` tell the owner. Asking twice is one CANCEL record.
        """
        ...

    async def decide(self, run_id: RunId, label: str, body: str, *, by: str) -> bool:
        """Record a decision on a suspension. The first writer wins.

        `body` is the answer, JSON. The last SUSPENDED or DECIDED record with this label tells:
        SUSPENDED waits; DECIDED stands. The DECIDED record carries the suspended step's key and
        attempt and the run's epoch; status and lease stay as they are.

        Returns True when recorded now, False when the same answer already stands.

        Raises:
            ConflictError: another decision stands.
            NotFoundError: no open suspension has this label, or the run has ended.
        """
        ...

    async def put_blob(self, content: bytes) -> BlobId:
        """Store content once, durable on return, addressed by its SHA-256."""
        ...

    async def get_blob(self, blob: BlobId) -> bytes:
        """The content, checked against its address."""
        ...

    async def close(self) -> None: ...
