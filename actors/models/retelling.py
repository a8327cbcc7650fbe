"""A run's journal as a recording: what its models answered, conversation by conversation."""

import json
from collections.abc import AsyncGenerator
from typing import Any, get_args

from actors.models.gateway import Role
from actors.models.recording import RecordedReply
from orchestration.ids import BlobId, RunId
from orchestration.workflow.journal import Journal, RecordKind

PAGE = 500
_ROLES = frozenset(get_args(Role))


async def retold(journal: Journal, run_id: RunId) -> AsyncGenerator[RecordedReply]:
    """Every reply of a run, in order. Where a turn was taken twice, the later reply comes later.

    The journal does not keep what was asked, so any question will do when they are played back.
    """
    after = 0
    while page := await journal.read(run_id, after=after, kinds=[RecordKind.TURN], limit=PAGE):
        after = page[-1].seq
        for record in page:
            body = json.loads(record.body)
            if blob := body.get("reply_blob"):  # it was too large for the record
                body = json.loads(await journal.get_blob(BlobId(blob)))
            if body.get("reply"):
                yield _reply(record.step_key, body)


def _reply(step_key: str, body: dict[str, Any]) -> RecordedReply:
    said = {
        "role": _role(str(body.get("who", ""))),
        "conversation": ":".join(filter(None, (step_key, body.get("part", "")))),
        "turn": body["turn"],
        "reply": body["reply"],
    }
    return RecordedReply.model_validate(said)


def _role(who: str) -> str:
    """`reviewer-2` is a reviewer."""
    name = who.rpartition("-")[0]
    return name if name in _ROLES else "coder"
