"""What a run's journal knows besides events: plan, work, trees, and who decided what."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestration.approval import ApprovalRequest
from orchestration.errors import MantaError
from orchestration.ids import RunId, StepKey
from orchestration.messages import Dossier, FeatureRequest, Plan, Work
from orchestration.stories import request_of, unplayed
from orchestration.workflow.facts import History, read_output
from orchestration.workflow.journal import Journal, RecordKind
from orchestration.workflow.outcome import open_suspensions
from orchestration.workflow.shape import Flow
from orchestration.workflow.storage import load, loaded, read_all
from orchestration.workflow.values import Stored


@dataclass(frozen=True, slots=True)
class Knowledge:
    """The latest of everything."""

    request: FeatureRequest
    dossier: Dossier | None = None
    works: tuple[Work, ...] = ()
    """The last state of each task's work."""

    @property
    def plan(self) -> Plan | None:
        return self.dossier.plan if self.dossier else None


@dataclass(frozen=True, slots=True)
class Question:
    """Something a person is asked now."""

    label: str
    request: ApprovalRequest
    deadline: float | None


@dataclass(frozen=True, slots=True)
class Decided:
    """What a person said, and to what."""

    label: str
    title: str
    answer: str
    comment: str
    by: str
    at: float
    seq: int


async def knowledge(journal: Journal, run_id: RunId) -> Knowledge:
    """What finished steps brought. Only the last result of each kind is decoded."""
    request = await request_of(journal, run_id)
    try:
        flow = unplayed(request.workflow)
    except MantaError:
        return Knowledge(request)  # a workflow that is not here: its results cannot be read
    history = await load(journal, run_id, kinds=[RecordKind.DONE])
    keys = list(history.steps)[::-1]
    dossier = await _first(journal, flow, history, [k for k in keys if _gives(flow, k) is Dossier])
    works: dict[str, Work] = {}
    for task, its in _by_task([k for k in keys if _gives(flow, k) is Work]).items():
        work = await _first(journal, flow, history, its)
        if isinstance(work, Work):
            works[task] = work
    found = dossier if isinstance(dossier, Dossier) else None
    order = [str(task.id) for task in found.plan.tasks] if found and found.plan else []
    ranked = sorted(works, key=lambda task: order.index(task) if task in order else len(order))
    return Knowledge(request, found, tuple(works[task] for task in ranked))


async def questions(journal: Journal, run_id: RunId) -> tuple[Question, ...]:
    """What a run asks now, whether or not others of its tasks go on meanwhile."""
    return tuple(
        Question(one.label, ApprovalRequest.model_validate_json(one.payload), one.deadline)
        for one in await open_suspensions(journal, run_id)
    )


async def decisions(journal: Journal, run_id: RunId) -> tuple[Decided, ...]:
    """Every decision, oldest first."""
    titles: dict[str, str] = {}
    found: list[Decided] = []
    kinds = [RecordKind.SUSPENDED, RecordKind.DECIDED]
    for record in await read_all(journal, run_id, kinds=kinds):
        body = json.loads(record.body)
        label = str(body["label"])
        if record.kind is RecordKind.SUSPENDED:
            titles[label] = str(json.loads(body["payload"]).get("title", ""))
            continue
        said = body["answer"] if isinstance(body["answer"], dict) else {}
        answer, comment = str(said.get("answer", "")), str(said.get("comment", ""))
        if said.get("edited"):
            answer += ", with edits"
        who = str(body["by"])
        title = titles.get(label, "")
        found.append(Decided(label, title, answer, comment, who, record.at, record.seq))
    return tuple(found)


def _gives(flow: Flow[Any, Any], key: StepKey) -> object:
    step = flow.step_at(key)
    return step.gives if step else None


def _by_task(keys: Sequence[StepKey]) -> dict[str, list[StepKey]]:
    """Keys of steps by the task they are about: the first item in the key."""
    found: dict[str, list[StepKey]] = {}
    for key in keys:
        found.setdefault(key.partition("[")[2].partition("]")[0], []).append(key)
    return found


async def _first(
    journal: Journal, flow: Flow[Any, Any], history: History, keys: Sequence[StepKey]
) -> object:
    """The first of these steps' outputs that is one."""
    for key in keys:
        head, text = read_output(history.steps[key].body)
        step = flow.step_at(key)
        if step is not None and not head.get("bail"):
            return await loaded(journal, Stored(text, step.codec).take)
    return None
