"""A run's workflow as a drawing, and how far each of its steps has come."""

from collections.abc import Iterable
from typing import Any

from actors.tools.text import neutralise
from orchestration.ids import RunId, StepKey
from orchestration.stories import request_of, unplayed
from orchestration.workflow.drawing import describe, outline
from orchestration.workflow.journal import Journal, Record, RecordKind, RunStatus
from orchestration.workflow.keys import joined
from orchestration.workflow.storage import read_all

STANDING = {
    RecordKind.STARTED: "running",
    RecordKind.DONE: "done",
    RecordKind.FAILED: "failed",
    RecordKind.SUSPENDED: "waiting",
    RecordKind.SLEEPING: "sleeping",
}


async def graph(journal: Journal, run_id: RunId) -> tuple[str, dict[str, Any]]:
    """The workflow a run plays and its steps so far: for people, and for programs.

    Raises:
        UsageError: the run plays a workflow that cannot be found here.
    """
    flow = unplayed((await request_of(journal, run_id)).workflow)
    status = (await journal.info(run_id)).status
    steps = standing(await read_all(journal, run_id, kinds=list(STANDING)), status)
    came = [f"{how:<8}  {neutralise(key)}" for key, how in steps.items()] or ["none yet"]
    text = "\n".join((outline(flow), "", "Steps so far:", *came))
    return text, {"run_id": run_id, "workflow": describe(flow), "steps": steps}


def standing(records: Iterable[Record], status: RunStatus) -> dict[StepKey, str]:
    """How each step stands, in the order they began. Nothing runs where nobody drives."""
    steps = {record.step_key: STANDING[record.kind] for record in records}
    gone = set[str]() if status is RunStatus.RUNNING else {"running"}
    gone |= {"waiting", "sleeping"} if status.ended else set()
    return {
        key: "left off" if how in gone else how
        for key, how in steps.items()
        if not key.endswith(joined(StepKey("")))
    }
