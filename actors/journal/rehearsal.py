"""Everyday verbs, played once to nobody: what a store then does first, it does not do slowly.

SQLAlchemy takes a millisecond or two to compile a statement. A run that is resumed in a fresh
process would wait for most of them, one after the other, with somebody watching.
"""

from actors.journal import verbs
from actors.journal.verbs import Verb
from orchestration.ids import RunId, StepGrant, StepKey
from orchestration.workflow.journal import NewRecord, RecordKind, RunStatus

_RUN, _STEP, _OWNER = RunId(""), StepKey("step"), "rehearsal"  # no run of anybody's is called ""
_CREATED = NewRecord(RecordKind.CREATED, body="{}")
_STARTED = NewRecord(RecordKind.STARTED, _STEP, 1, "{}")
_ASKED = NewRecord(RecordKind.SUSPENDED, _STEP, 1, '{"label": "label"}')
_EFFECT = NewRecord(RecordKind.EFFECT, _STEP, 1, "{}")


def rehearse() -> Verb[None]:
    """Run, drive, answer and read a run. Undo the transaction afterwards."""
    yield from verbs.create_run(_RUN, "", "", "", None, [_CREATED])
    lease = yield from verbs.claim(_RUN, _OWNER, 1.0, take_over=True)
    lease = yield from verbs.renew(lease, 1.0)
    yield from verbs.append(lease, [_STARTED], None, release=False)
    grant = StepGrant(_RUN, _STEP, lease.epoch, 1)
    yield from verbs.append_under(grant, [_EFFECT])
    yield from verbs.append(lease, [_ASKED], RunStatus.SUSPENDED, release=True)
    yield from verbs.decide(_RUN, "label", "true", _OWNER)
    yield from verbs.read(_RUN, 0, None, None, 1)
    yield from verbs.read(_RUN, 0, None, [RecordKind.DECIDED], 1)
    yield from verbs.read(_RUN, 0, _STEP, [RecordKind.EFFECT], 1)
