"""The journal in memory: as strict as the others, gone with the process."""

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from orchestration.clock import Clock
from orchestration.errors import ConflictError, NotFoundError, RunOwnedError, StaleOwnerError
from orchestration.ids import BlobId, RunId, StepGrant, StepKey
from orchestration.workflow.journal import (
    CONTROL_KINDS,
    Lease,
    NewRecord,
    Record,
    RecordKind,
    RunInfo,
    RunStatus,
    cancel_body,
    cancelled_body,
    claimed_body,
    decided_body,
    same_answer,
)


@dataclass(slots=True)
class _Run:
    """A run's row, its records, and what the store reads out of them."""

    info: RunInfo
    records: list[Record] = field(default_factory=list[Record])
    control: dict[StepKey, Record] = field(default_factory=dict[StepKey, Record])
    """Each step's last record among `CONTROL_KINDS`."""
    labels: dict[str, Record] = field(default_factory=dict[str, Record])
    """Each label's last SUSPENDED or DECIDED record."""
    grown: asyncio.Event = field(default_factory=asyncio.Event)
    """Set, and replaced, whenever a record is added."""

    def add(self, new: NewRecord, *, epoch: int, at: float) -> Record:
        record = Record(
            self.info.run_id,
            len(self.records) + 1,
            new.kind,
            new.step_key,
            new.attempt,
            epoch,
            at,
            new.body,
        )
        self.records.append(record)
        if new.kind in CONTROL_KINDS:
            self.control[new.step_key] = record
        if new.kind in {RecordKind.SUSPENDED, RecordKind.DECIDED}:
            self.labels[json.loads(new.body)["label"]] = record
        self.info = replace(self.info, seq=record.seq, updated_at=at)
        self.grown.set()
        self.grown = asyncio.Event()
        return record


class InMemoryJournal:
    """Keeps every fact in lists; one event loop only."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._runs: dict[RunId, _Run] = {}
        self._blobs: dict[BlobId, bytes] = {}

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
        if run_id in self._runs:
            return False
        now = self._clock.now()
        row = _Run(
            RunInfo(
                run_id=run_id,
                workflow=workflow,
                definition=definition,
                status=RunStatus.PENDING,
                title=title,
                created_at=now,
                updated_at=now,
                seq=0,
                epoch=0,
                owner="",
                lease_until=0.0,
                cancel_requested=False,
                parent=parent,
            )
        )
        for new in (NewRecord(RecordKind.CREATED, body=body), *records):
            row.add(new, epoch=0, at=now)
        self._runs[run_id] = row
        return True

    async def claim(
        self, run_id: RunId, owner: str, *, ttl_s: float = 15.0, take_over: bool = False
    ) -> Lease:
        row, now = self._row(run_id), self._clock.now()
        if row.info.status.ended:
            raise _ended(row.info)
        if row.info.owner not in {"", owner} and row.info.lease_until > now and not take_over:
            raise RunOwnedError(
                f"run {run_id} is driven by {row.info.owner}",
                "wait until its lease ends, or take it over",
                row.info.owner,
                row.info.lease_until - now,
            )
        body = claimed_body(owner, row.info.status, take_over=take_over)
        lease = Lease(run_id, owner, row.info.epoch + 1, now + ttl_s)
        row.info = replace(
            row.info,
            status=RunStatus.RUNNING,
            owner=owner,
            epoch=lease.epoch,
            lease_until=lease.until,
            wake_at=None,
        )
        row.add(NewRecord(RecordKind.CLAIMED, body=body), epoch=lease.epoch, at=now)
        return lease

    async def renew(self, lease: Lease, *, ttl_s: float = 15.0) -> Lease:
        row = self._held(lease)
        renewed = replace(lease, until=self._clock.now() + ttl_s)
        row.info = replace(row.info, lease_until=renewed.until)
        return renewed

    async def release(self, lease: Lease, status: RunStatus) -> None:
        await self.append(lease, (), status=status, release=True)

    async def append(
        self,
        lease: Lease,
        records: Sequence[NewRecord],
        *,
        status: RunStatus | None = None,
        release: bool = False,
        wake_at: float | None = None,
    ) -> int:
        row, now = self._held(lease), self._clock.now()
        leaves = status not in {None, RunStatus.RUNNING, RunStatus.CANCELLED}
        if row.info.cancel_requested and leaves:
            raise ConflictError(
                f"run {lease.run_id} is to be cancelled, so it cannot become {status}",
                "stop its steps and end it as cancelled",
            )
        for new in records:
            row.add(new, epoch=lease.epoch, at=now)
        row.info = replace(row.info, wake_at=wake_at)
        if status is not None:
            row.info = replace(row.info, status=status, updated_at=now)
        if release:
            row.info = replace(row.info, owner="", lease_until=0.0)
        return row.info.seq

    async def append_under(self, grant: StepGrant, records: Sequence[NewRecord]) -> int:
        row = self._row(grant.run_id)
        last = row.control.get(grant.step_key)
        if (
            row.info.status is not RunStatus.RUNNING
            or row.info.epoch != grant.epoch
            or last is None
            or (last.kind, last.attempt, last.epoch)
            != (RecordKind.STARTED, grant.attempt, grant.epoch)
        ):
            raise StaleOwnerError(
                f"attempt {grant.attempt} of {grant.step_key} in run {grant.run_id} is void",
                "stop this worker; another attempt or owner has taken over",
            )
        now = self._clock.now()
        for new in records:
            own = replace(new, step_key=grant.step_key, attempt=grant.attempt)
            row.add(own, epoch=grant.epoch, at=now)
        return row.info.seq

    async def read(
        self,
        run_id: RunId,
        *,
        after: int = 0,
        step_key: StepKey | None = None,
        kinds: Sequence[RecordKind] | None = None,
        limit: int = 10_000,
    ) -> list[Record]:
        found: list[Record] = []
        for record in self._row(run_id).records[max(0, after) :]:
            if step_key is not None and record.step_key != step_key:
                continue
            if kinds is not None and record.kind not in kinds:
                continue
            if len(found) == limit:
                break
            found.append(record)
        return found

    async def wait(self, run_id: RunId, *, after: int, timeout_s: float) -> bool:
        row = self._row(run_id)
        try:
            async with asyncio.timeout(timeout_s):
                while row.info.seq <= after:
                    await row.grown.wait()
        except TimeoutError:
            return False
        return True

    async def info(self, run_id: RunId) -> RunInfo:
        return self._row(run_id).info

    async def runs(self, *, limit: int = 100) -> list[RunInfo]:
        newest = reversed(self._runs.values())
        return sorted((row.info for row in newest), key=lambda i: -i.created_at)[:limit]

    async def due(self, *, limit: int = 100) -> list[RunInfo]:
        now = self._clock.now()
        waiting = [r.info for r in self._runs.values() if r.info.status is RunStatus.SUSPENDED]
        found = [(i.wake_at, i.run_id, i) for i in waiting if i.wake_at is not None]
        return [info for at, _, info in sorted(found) if at <= now][:limit]

    async def request_cancel(self, run_id: RunId, *, by: str) -> bool:
        row, now = self._row(run_id), self._clock.now()
        if row.info.status.ended:
            return False
        if not row.info.cancel_requested:
            row.info = replace(row.info, cancel_requested=True)
            row.add(
                NewRecord(RecordKind.CANCEL, body=cancel_body(by)), epoch=row.info.epoch, at=now
            )
        if row.info.status is not RunStatus.RUNNING or row.info.lease_until <= now:
            finished = NewRecord(RecordKind.FINISHED, body=cancelled_body(by))
            row.add(finished, epoch=row.info.epoch, at=now)
            row.info = replace(row.info, status=RunStatus.CANCELLED, owner="", lease_until=0.0)
        return True

    async def decide(self, run_id: RunId, label: str, body: str, *, by: str) -> bool:
        row = self._row(run_id)
        last = row.labels.get(label)
        if last is not None and last.kind is RecordKind.DECIDED:
            if same_answer(last.body, body):
                return False
            raise ConflictError(
                f"{label!r} of run {run_id} was already decided, otherwise",
                "read the decision that stands; it cannot be changed",
            )
        if last is None or row.info.status.ended:
            raise NotFoundError(
                f"nothing waits under the label {label!r} in run {run_id}",
                "list the run's open suspensions",
            )
        decided = NewRecord(
            RecordKind.DECIDED,
            last.step_key,
            last.attempt,
            decided_body(label, body, by=by),
        )
        row.add(decided, epoch=row.info.epoch, at=self._clock.now())
        return True

    async def put_blob(self, content: bytes) -> BlobId:
        blob = BlobId(hashlib.sha256(content).hexdigest())
        self._blobs.setdefault(blob, bytes(content))
        return blob

    async def get_blob(self, blob: BlobId) -> bytes:
        content = self._blobs.get(blob)
        if content is None:
            raise NotFoundError(
                f"blob {blob[:12]} is not in the store", "was the state directory moved apart?"
            )
        return content

    async def close(self) -> None:
        """Nothing to give back."""

    def _row(self, run_id: RunId) -> _Run:
        row = self._runs.get(run_id)
        if row is None:
            raise NotFoundError(f"there is no run {run_id}", "`manta runs` lists them")
        return row

    def _held(self, lease: Lease) -> _Run:
        row = self._row(lease.run_id)
        if row.info.owner != lease.owner or row.info.epoch != lease.epoch:
            raise StaleOwnerError(
                f"{lease.owner} no longer owns run {lease.run_id}",
                "stop at once; another owner drives it, or it was released",
            )
        return row


def _ended(info: RunInfo) -> ConflictError:
    return ConflictError(
        f"run {info.run_id} has ended ({info.status})", "read its outcome, or fork it"
    )
