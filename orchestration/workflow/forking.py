"""A new run out of an old one: the same past up to a step, another future."""

import json

from orchestration.errors import ConflictError, NotFoundError
from orchestration.ids import RunId, StepKey
from orchestration.workflow.facts import History, Phase
from orchestration.workflow.journal import Journal, NewRecord, Record, RecordKind
from orchestration.workflow.migrations import migrated
from orchestration.workflow.storage import read_stored, unspilled

_OF_THE_OLD_RUN = {
    RecordKind.CREATED,
    RecordKind.CLAIMED,
    RecordKind.CANCEL,
    RecordKind.FINISHED,
}
_OF_A_WORKSPACE = {RecordKind.TURN, RecordKind.SANDBOX}
"""What a worker wrote about a workspace, which stays with the original run."""
_AT_WORK = {Phase.STARTED, Phase.WAITING}


async def fork(
    journal: Journal, run_id: RunId, *, at: StepKey, into: RunId, title: str = ""
) -> None:
    """Create run `into` from everything that happened before `at` began; the original stays.

    `at` is the key of a step, or of a block, an item or an iteration. What ran beside it and was
    not done by then runs again in the new run, which waits to be resumed: with its recorded
    effects, as those have happened, but without its conversation, as what that was about is the
    original's workspace. A step that waited for an answer keeps both.

    Raises:
        NotFoundError: there is no such run, or nothing of this key happened in it.
        ConflictError: the new run exists already.
    """
    info = await journal.info(run_id)
    records = await read_stored(journal, run_id)
    past = records[: _beginning(records, at, run_id)]
    history = History().fold([migrated(await unspilled(journal, r)) for r in past])
    at_work = {key for key, step in history.steps.items() if step.phase in _AT_WORK}
    kept = [
        NewRecord(r.kind, r.step_key, r.attempt, r.body)
        for r in past
        if r.kind not in _OF_THE_OLD_RUN
        and not (r.kind in _OF_A_WORKSPACE and r.step_key in at_work)
    ]
    note = json.dumps({"text": f"forked from {run_id} at {at}"})
    is_new = await journal.create_run(
        into,
        workflow=info.workflow,
        definition=info.definition,
        title=title or info.title,
        body=records[0].body,
        parent=run_id,
        records=[*kept, NewRecord(RecordKind.NOTE, body=note)],
    )
    if not is_new:
        raise ConflictError(f"run {into} exists already", "choose another id for the fork")


def _beginning(records: list[Record], at: StepKey, run_id: RunId) -> int:
    for index, record in enumerate(records):
        key = record.step_key
        if key == at or (key.startswith(at) and key[len(at)] in "/[#="):
            return index
    known = list(dict.fromkeys(r.step_key for r in records if r.kind is RecordKind.STARTED))
    raise NotFoundError(
        f"no step {at!r} ran in {run_id}", f"its steps are {', '.join(known[:40]) or 'none'}"
    )
