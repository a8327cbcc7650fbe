"""Every statement of a journal, built once, in no dialect: both plugs run the same ones.

`FOR UPDATE` is left out by SQLite, which has one writer. What is created once is looked for first:
if another process of PostgreSQL creates it in between, the transaction fails and is tried again.
"""

from functools import cache
from typing import Any

from sqlalchemy import (
    Boolean,
    Double,
    Executable,
    Integer,
    Text,
    and_,
    bindparam,
    case,
    false,
    func,
    insert,
    not_,
    null,
    or_,
    select,
    text,
    update,
)

from actors.journal.schema import (
    BLOBS,
    RECORDS,
    RUNS,
    STEPS,
    VERSIONS,
    store_time,
)
from orchestration.workflow.journal import RunStatus

_THIS_RUN = RUNS.c.run_id == bindparam("run")
_ITS_RECORDS = RECORDS.c.run_id == bindparam("run")
_QUESTION = [bindparam("suspended", "suspended"), bindparam("decided", "decided")]
_RELEASE = bindparam("release", type_=Boolean)

REACHED: Executable = select(func.max(VERSIONS.c.version))
REACH: Executable = insert(VERSIONS).values(since=store_time())

GET_RUN: Executable = select(*RUNS.c).where(_THIS_RUN)
LIST_RUNS: Executable = (
    select(*RUNS.c).order_by(RUNS.c.created_at.desc(), RUNS.c.run_id).limit(bindparam("limit"))
)
DUE_RUNS: Executable = (
    select(*RUNS.c)
    .where(RUNS.c.status == RunStatus.SUSPENDED.value, RUNS.c.wake_at <= store_time())
    .order_by(RUNS.c.wake_at, RUNS.c.run_id)
    .limit(bindparam("limit"))
)
LOCK_RUN: Executable = select(*RUNS.c, store_time()).where(_THIS_RUN).with_for_update()
"""The run's row, held until the transaction ends, and the time."""

NOW: Executable = select(store_time())
CREATE_RUN: Executable = insert(RUNS)
CLAIM: Executable = (
    update(RUNS)
    .where(_THIS_RUN)
    .values(
        status=RunStatus.RUNNING.value,
        owner=bindparam("new_owner"),
        epoch=RUNS.c.epoch + 1,
        lease_until=bindparam("until"),
        wake_at=null(),
    )
)
_HELD = and_(_THIS_RUN, RUNS.c.owner == bindparam("held_by"), RUNS.c.epoch == bindparam("held_in"))
RENEW: Executable = (
    update(RUNS)
    .where(_HELD)
    .values(lease_until=store_time() + bindparam("ttl_s", type_=store_time().type))
    .returning(RUNS.c.lease_until)
)

_GROW: dict[str, Any] = {  # values of an update: Any is SQLAlchemy's own type for them
    "seq": RUNS.c.seq + bindparam("count", type_=Integer),
    "updated_at": store_time(),
}
GROW: Executable = (
    update(RUNS).where(_THIS_RUN).values(_GROW).returning(RUNS.c.seq, RUNS.c.updated_at)
)
"""Make room for `count` records; returns the last one's number and the time."""
GROW_AS_OWNER: Executable = (
    update(RUNS)
    .where(_HELD, not_(and_(RUNS.c.cancel_requested, bindparam("leaves", type_=Boolean))))
    .values(
        _GROW
        | {
            "status": func.coalesce(bindparam("new_status", type_=Text), RUNS.c.status),
            "owner": case((_RELEASE, ""), else_=RUNS.c.owner),
            "lease_until": case((_RELEASE, 0.0), else_=RUNS.c.lease_until),
            "wake_at": bindparam("wake_at", type_=Double),
        }
    )
    .returning(RUNS.c.seq, RUNS.c.updated_at)
)
GROW_AS_WORKER: Executable = (
    update(RUNS)
    .where(
        _THIS_RUN,
        RUNS.c.epoch == bindparam("held_in"),
        RUNS.c.status == RunStatus.RUNNING.value,
    )
    .values(_GROW)
    .returning(RUNS.c.seq, RUNS.c.updated_at)
)
LAST_CONTROL: Executable = select(STEPS.c.kind, STEPS.c.attempt, STEPS.c.epoch).where(
    STEPS.c.run_id == bindparam("run"), STEPS.c.step_key == bindparam("step")
)
SET_CONTROL: Executable = text(
    "INSERT INTO steps (run_id, step_key, kind, attempt, epoch)"
    " VALUES (:run_id, :step_key, :kind, :attempt, :epoch)"
    " ON CONFLICT (run_id, step_key)"
    " DO UPDATE SET kind = excluded.kind, attempt = excluded.attempt, epoch = excluded.epoch"
)
ADD_RECORD: Executable = insert(RECORDS)
GET_RECORD: Executable = select(*RECORDS.c).where(_ITS_RECORDS, RECORDS.c.seq == bindparam("seq"))

WISH_CANCEL: Executable = update(RUNS).where(_THIS_RUN).values(cancel_requested=True)
CANCEL: Executable = (
    update(RUNS)
    .where(_THIS_RUN)
    .values(status=RunStatus.CANCELLED.value, owner="", lease_until=0.0)
)
QUESTIONS: Executable = (
    select(*RECORDS.c)
    .where(_ITS_RECORDS, RECORDS.c.kind.in_(_QUESTION))
    .order_by(RECORDS.c.seq.desc())
)

PUT_BLOB: Executable = insert(BLOBS)
HAS_BLOB: Executable = select(BLOBS.c.blob_id).where(BLOBS.c.blob_id == bindparam("blob"))
GET_BLOB: Executable = select(BLOBS.c.content).where(BLOBS.c.blob_id == bindparam("blob"))


@cache
def read_records(*, of_step: bool, kinds: int | None) -> Executable:
    """Select records after `after`, at most `limit`; of `step` and of `kind_0`... if asked for."""
    query = select(*RECORDS.c).where(_ITS_RECORDS, RECORDS.c.seq > bindparam("after"))
    if of_step:
        query = query.where(RECORDS.c.step_key == bindparam("step"))
    if kinds is not None:
        wanted = (RECORDS.c.kind == bindparam(f"kind_{n}") for n in range(kinds))
        query = query.where(or_(false(), *wanted))
    return query.order_by(RECORDS.c.seq).limit(bindparam("limit"))
