"""What a journal does, as transactions that touch no database.

A verb is a generator: it yields queries, is sent their rows, and returns the outcome. One run of
it is one transaction; an error it raises undoes the transaction. A plug only performs queries.
"""

import json
import zlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn, TypeAlias, TypeVar

from sqlalchemy import Executable

from actors.journal import statements
from actors.journal.blobs import checked, missing
from orchestration.errors import (
    ConflictError,
    NotFoundError,
    RunOwnedError,
    StaleOwnerError,
    StoreError,
)
from orchestration.ids import BlobId, RunId, StepGrant, StepKey
from orchestration.workflow.journal import (
    CONTROL_KINDS,
    RECORD_VERSION,
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

T = TypeVar("T")
Parameters: TypeAlias = dict[str, object]
Row: TypeAlias = Sequence[Any]  # of columns; each verb knows theirs


_CONTROL = ("run_id", "step_key", "kind", "attempt", "epoch")


@dataclass(frozen=True, slots=True)
class Query:
    """A statement and its parameters; several sets of them run it several times."""

    statement: Executable
    parameters: Parameters | list[Parameters]


Verb: TypeAlias = Generator[Query, Sequence[Row], T]


def create_run(
    run_id: RunId,
    workflow: str,
    definition: str,
    title: str,
    parent: RunId | None,
    records: Sequence[NewRecord],
) -> Verb[bool]:
    """Add a pending run and its first records; False if the run exists."""
    rows = yield Query(statements.GET_RUN, {"run": run_id})
    if rows:
        return False
    rows = yield Query(statements.NOW, {})
    now: float = rows[0][0]
    row: Parameters = {
        "run_id": run_id,
        "workflow": workflow,
        "definition": definition,
        "status": RunStatus.PENDING.value,
        "title": title,
        "created_at": now,
        "updated_at": now,
        "seq": len(records),
        "epoch": 0,
        "owner": "",
        "lease_until": 0.0,
        "cancel_requested": False,
        "parent": parent,
        "wake_at": None,
    }
    yield Query(statements.CREATE_RUN, row)
    yield from _add(run_id, records, last=len(records), epoch=0, at=now)
    return True


def claim(run_id: RunId, owner: str, ttl_s: float, take_over: bool) -> Verb[Lease]:
    """Take the run with the next epoch."""
    info, now = yield from _lock(run_id)
    if info.status.ended:
        raise ConflictError(
            f"run {run_id} has ended ({info.status})", "read its outcome, or fork it"
        )
    if info.owner not in {"", owner} and info.lease_until > now and not take_over:
        raise RunOwnedError(
            f"run {run_id} is driven by {info.owner}",
            "wait until its lease ends, or take it over",
            info.owner,
            info.lease_until - now,
        )
    lease = Lease(run_id, owner, info.epoch + 1, now + ttl_s)
    yield Query(statements.CLAIM, {"run": run_id, "new_owner": owner, "until": lease.until})
    body = claimed_body(owner, info.status, take_over=take_over)
    yield from _grow(run_id, lease.epoch, [NewRecord(RecordKind.CLAIMED, body=body)])
    return lease


def renew(lease: Lease, ttl_s: float) -> Verb[Lease]:
    """Prolong a held lease to `ttl_s` from now."""
    rows = yield Query(statements.RENEW, _held(lease) | {"ttl_s": ttl_s})
    if not rows:
        yield from _refuse(lease)
    return replace(lease, until=rows[0][0])


def append(
    lease: Lease,
    records: Sequence[NewRecord],
    status: RunStatus | None,
    release: bool,
    wake_at: float | None = None,
) -> Verb[int]:
    """Append an owner's records; optionally set the status, release, and say when to wake."""
    parameters = _held(lease) | {
        "count": len(records),
        "new_status": None if status is None else status.value,
        "release": release,
        "wake_at": wake_at,
        "leaves": status not in {None, RunStatus.RUNNING, RunStatus.CANCELLED},
    }
    rows = yield Query(statements.GROW_AS_OWNER, parameters)
    if not rows:
        yield from _refuse(lease, status)
    last, now = rows[0]
    if records:
        yield from _add(lease.run_id, records, last=last, epoch=lease.epoch, at=now)
    return last


def append_under(grant: StepGrant, records: Sequence[NewRecord]) -> Verb[int]:
    """Append a worker's records, if its grant is good."""
    rows = yield Query(
        statements.GROW_AS_WORKER,
        {"run": grant.run_id, "held_in": grant.epoch, "count": len(records)},
    )
    # Asked only now that the run's row is ours: nobody can start the next attempt in between.
    control = yield Query(statements.LAST_CONTROL, {"run": grant.run_id, "step": grant.step_key})
    good = (RecordKind.STARTED, grant.attempt, grant.epoch)
    if not rows or not control or tuple(control[0]) != good:
        yield from get_run(grant.run_id)
        raise StaleOwnerError(
            f"attempt {grant.attempt} of {grant.step_key} in run {grant.run_id} is void",
            "stop this worker; another attempt or owner has taken over",
        )
    last, now = rows[0]
    own = [replace(r, step_key=grant.step_key, attempt=grant.attempt) for r in records]
    if own:
        yield from _add(grant.run_id, own, last=last, epoch=grant.epoch, at=now)
    return last


def request_cancel(run_id: RunId, by: str) -> Verb[bool]:
    """Store the wish to cancel; end a run that nobody drives."""
    info, now = yield from _lock(run_id)
    if info.status.ended:
        return False
    records: list[NewRecord] = []
    if not info.cancel_requested:
        yield Query(statements.WISH_CANCEL, {"run": run_id})
        records.append(NewRecord(RecordKind.CANCEL, body=cancel_body(by)))
    if info.status is not RunStatus.RUNNING or info.lease_until <= now:
        yield Query(statements.CANCEL, {"run": run_id})
        records.append(NewRecord(RecordKind.FINISHED, body=cancelled_body(by)))
    yield from _grow(run_id, info.epoch, records)
    return True


def decide(run_id: RunId, label: str, answer: str, by: str) -> Verb[bool]:
    """Answer an open suspension; False if this answer stands already."""
    info, _ = yield from _lock(run_id)
    rows = yield Query(statements.QUESTIONS, {"run": run_id})
    last = next((r for r in map(_record, rows) if json.loads(r.body)["label"] == label), None)
    if last is not None and last.kind is RecordKind.DECIDED:
        if same_answer(last.body, answer):
            return False
        raise ConflictError(
            f"{label!r} of run {run_id} was already decided, otherwise",
            "read the decision that stands; it cannot be changed",
        )
    if last is None or info.status.ended:
        raise NotFoundError(
            f"nothing waits under the label {label!r} in run {run_id}",
            "list the run's open suspensions",
        )
    body = decided_body(label, answer, by=by)
    decided = NewRecord(RecordKind.DECIDED, last.step_key, last.attempt, body)
    yield from _grow(run_id, info.epoch, [decided])
    return True


def read(
    run_id: RunId,
    after: int,
    step_key: StepKey | None,
    kinds: Sequence[RecordKind] | None,
    limit: int,
) -> Verb[list[Record]]:
    """Read records after `after`, at most `limit`; None wants all steps, or all kinds."""
    yield from get_run(run_id)
    parameters: Parameters = {"run": run_id, "after": after, "limit": limit}
    if step_key is not None:
        parameters["step"] = step_key
    for number, kind in enumerate(kinds or ()):
        parameters[f"kind_{number}"] = kind.value
    statement = statements.read_records(
        of_step=step_key is not None, kinds=None if kinds is None else len(kinds)
    )
    rows = yield Query(statement, parameters)
    return [_record(row) for row in rows]


def get_run(run_id: RunId) -> Verb[RunInfo]:
    """Read a run's row."""
    rows = yield Query(statements.GET_RUN, {"run": run_id})
    if not rows:
        raise _unknown(run_id)
    return _info(rows[0])


def list_runs(limit: int) -> Verb[list[RunInfo]]:
    """Read the newest runs' rows."""
    rows = yield Query(statements.LIST_RUNS, {"limit": limit})
    return [_info(row) for row in rows]


def due_runs(limit: int) -> Verb[list[RunInfo]]:
    """Read the rows of suspended runs that are to go on."""
    rows = yield Query(statements.DUE_RUNS, {"limit": limit})
    return [_info(row) for row in rows]


def put_blob(blob: BlobId, content: bytes) -> Verb[None]:
    """Store content in the database, unless it is there."""
    rows = yield Query(statements.HAS_BLOB, {"blob": blob})
    if not rows:
        yield Query(statements.PUT_BLOB, {"blob_id": blob, "content": content})


def get_blob(blob: BlobId) -> Verb[bytes]:
    """Read content from the database and check it."""
    rows = yield Query(statements.GET_BLOB, {"blob": blob})
    if not rows:
        raise missing(blob)
    return checked(blob, bytes(rows[0][0]), "in the table of blobs")


def _lock(run_id: RunId) -> Verb[tuple[RunInfo, float]]:
    """The run, which nobody else changes before the transaction ends, and the time."""
    rows = yield Query(statements.LOCK_RUN, {"run": run_id})
    if not rows:
        raise _unknown(run_id)
    *columns, now = rows[0]
    return _info(columns), now


def _grow(run_id: RunId, epoch: int, records: Sequence[NewRecord]) -> Verb[None]:
    """Append to a run that this transaction has locked."""
    if not records:
        return
    rows = yield Query(statements.GROW, {"run": run_id, "count": len(records)})
    last, now = rows[0]
    yield from _add(run_id, records, last=last, epoch=epoch, at=now)


def _add(
    run_id: RunId, records: Sequence[NewRecord], *, last: int, epoch: int, at: float
) -> Verb[None]:
    """Write records numbered up to `last`, and what they say about their steps."""
    rows: list[Parameters] = [
        {
            "run_id": run_id,
            "seq": seq,
            "kind": new.kind.value,
            "step_key": new.step_key,
            "attempt": new.attempt,
            "epoch": epoch,
            "at": at,
            "body": new.body,
            "version": RECORD_VERSION,
            "crc": zlib.crc32(new.body.encode()),
        }
        for seq, new in enumerate(records, last - len(records) + 1)
    ]
    yield Query(statements.ADD_RECORD, rows)
    control = {row["step_key"]: row for row in rows if row["kind"] in CONTROL_KINDS}
    if control:
        last_of_each = [{n: row[n] for n in _CONTROL} for row in control.values()]
        yield Query(statements.SET_CONTROL, last_of_each)


def _held(lease: Lease) -> Parameters:
    return {"run": lease.run_id, "held_by": lease.owner, "held_in": lease.epoch}


def _refuse(lease: Lease, status: RunStatus | None = None) -> Verb[NoReturn]:
    """Say why a write under this lease found nothing to write to."""
    info = yield from get_run(lease.run_id)
    if (info.owner, info.epoch) == (lease.owner, lease.epoch):
        raise ConflictError(
            f"run {lease.run_id} is to be cancelled, so it cannot become {status}",
            "stop its steps and end it as cancelled",
        )
    raise StaleOwnerError(
        f"{lease.owner} no longer owns run {lease.run_id}",
        "stop at once; another owner drives it, or it was released",
    )


def _unknown(run_id: RunId) -> NotFoundError:
    return NotFoundError(f"there is no run {run_id}", "`manta runs` lists them")


def _info(row: Row) -> RunInfo:
    info = RunInfo(*row)
    return replace(
        info, status=RunStatus(info.status), cancel_requested=bool(info.cancel_requested)
    )


def _record(row: Row) -> Record:
    *columns, crc = row
    record = Record(*columns)
    if zlib.crc32(record.body.encode()) != crc:
        raise StoreError(
            f"record {record.seq} of run {record.run_id} is damaged in the store",
            "restore the store from a backup; the disk may be failing",
        )
    return replace(record, kind=RecordKind(record.kind))
