"""How a run ended, or what it waits for; and how a person answers."""

import json
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from orchestration.errors import ConflictError, InvalidAnswerError, NotFoundError, UsageError
from orchestration.ids import RunId, StepKey
from orchestration.workflow.codec import codec
from orchestration.workflow.facts import ErrorInfo, read_output
from orchestration.workflow.journal import Journal, RecordKind, RunInfo, RunStatus
from orchestration.workflow.shape import Flow
from orchestration.workflow.storage import load, loaded
from orchestration.workflow.values import Stored

In = TypeVar("In")


@dataclass(frozen=True, slots=True)
class OpenSuspension:
    """A question that nobody has answered yet."""

    label: str
    step_key: StepKey
    payload: str
    """JSON shown to whoever decides."""
    deadline: float | None = None
    """Seconds since the epoch; then the default counts, once somebody drives the run.

    `Journal.due` names the runs that somebody should drive for that.
    """


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """Where a run stands, as the journal knows it."""

    run_id: RunId
    status: RunStatus
    output: Any = None
    """Of a run that is done. Plain JSON where the workflow is not known."""
    suspensions: tuple[OpenSuspension, ...] = ()
    error: ErrorInfo | None = None


async def outcome_of(
    journal: Journal, workflow: Flow[Any, Any] | None, run_id: RunId
) -> RunOutcome:
    """Read a run's outcome without driving it.

    Raises:
        NotFoundError: there is no such run.
    """
    info = await journal.info(run_id)
    if info.status.ended:
        return await _ending(journal, workflow, info)
    if info.status is RunStatus.DEAD_LETTER:
        return RunOutcome(run_id, info.status, error=_dead_letter(run_id))
    if info.status is RunStatus.SUSPENDED:
        return RunOutcome(run_id, info.status, suspensions=await open_suspensions(journal, run_id))
    return RunOutcome(run_id, info.status)


async def input_of(journal: Journal, workflow: Flow[In, Any], run_id: RunId) -> In:
    """What a run was started with.

    Raises:
        NotFoundError: there is no such run.
        ConflictError: it belongs to another workflow.
    """
    check_workflow(await journal.info(run_id), workflow)
    created = (await load(journal, run_id, kinds=[RecordKind.CREATED])).created
    stored = Stored(read_output(created)[1], codec(workflow.takes))
    return cast("In", await loaded(journal, stored.take))


async def open_suspensions(journal: Journal, run_id: RunId) -> tuple[OpenSuspension, ...]:
    """The questions that wait, whoever drives the run."""
    steps = [
        RecordKind.STARTED,
        RecordKind.SUSPENDED,
        RecordKind.DECIDED,
        RecordKind.DONE,
        RecordKind.FAILED,
        RecordKind.FINISHED,
    ]
    history = await load(journal, run_id, kinds=steps)
    if history.finished is not None:
        return ()
    return tuple(
        OpenSuspension(asked.label, key, asked.payload, asked.deadline)
        for key, asked in history.open_suspensions().items()
    )


async def decide(
    journal: Journal,
    workflow: Flow[Any, Any],
    run_id: RunId,
    answer_json: str,
    *,
    by: str,
    label: str | None = None,
) -> bool:
    """Answer a suspension. The answer is checked first, then recorded; the first writer wins.

    Returns True when recorded now, False when the same answer already stood.

    Raises:
        InvalidAnswerError: the answer is not what the step asks for; the run stays resumable.
        NotFoundError: no such run, or nothing waits under this label.
        UsageError: several questions wait and no label says which.
        ConflictError: another answer stands, or the run belongs to another workflow.
    """
    info = await journal.info(run_id)
    check_workflow(info, workflow)
    waiting = await open_suspensions(journal, run_id)
    asked = _addressed(waiting, run_id, label)
    if asked is None:
        assert label is not None, "without a label there is one, or an error"
        return await journal.decide(run_id, label, _json(answer_json), by=by)
    step = workflow.step_at(asked.step_key)
    if step is not None and step.answers is not None:
        try:
            codec(step.answers).decode(answer_json)
        except UsageError as error:
            raise InvalidAnswerError(
                f"the answer to {asked.label!r} of run {run_id} does not fit: {error.what}",
                "correct it and answer again; the run still waits",
            ) from error
    return await journal.decide(run_id, asked.label, _json(answer_json), by=by)


def check_workflow(info: RunInfo, workflow: Flow[Any, Any]) -> None:
    """Refuse a run of another workflow."""
    if info.workflow != workflow.id:
        raise ConflictError(
            f"run {info.run_id} belongs to workflow {info.workflow!r}, not {workflow.id!r}",
            "use the workflow that the run was started with",
        )


def _addressed(
    waiting: tuple[OpenSuspension, ...], run_id: RunId, label: str | None
) -> OpenSuspension | None:
    """The one that is meant; None where the journal has to judge a label that does not wait."""
    if label is not None:
        return next((asked for asked in waiting if asked.label == label), None)
    if len(waiting) > 1:
        names = ", ".join(repr(asked.label) for asked in waiting)
        raise UsageError(
            f"several questions wait in run {run_id}: {names}", "name one by its label"
        )
    for asked in waiting:
        return asked
    raise NotFoundError(f"nothing waits in run {run_id}", "there is nothing to decide")


def _json(text: str) -> str:
    try:
        return json.dumps(json.loads(text))
    except ValueError as error:
        raise InvalidAnswerError(f"the answer is not JSON: {error}", "correct it") from error


async def _ending(journal: Journal, workflow: Flow[Any, Any] | None, info: RunInfo) -> RunOutcome:
    history = await load(journal, info.run_id, kinds=[RecordKind.FINISHED])
    body = history.finished or "{}"
    if info.status is not RunStatus.DONE:
        error = ErrorInfo.model_validate(json.loads(body)["error"])
        return RunOutcome(info.run_id, info.status, error=error)
    text = read_output(body)[1]
    if workflow is not None:
        stored = Stored(text, workflow.codec)
        return RunOutcome(info.run_id, info.status, await loaded(journal, stored.take))
    raw = text.inline
    if text.blob is not None:
        raw = (await journal.get_blob(text.blob)).decode()
    return RunOutcome(info.run_id, info.status, json.loads(raw or "null"))


def _dead_letter(run_id: RunId) -> ErrorInfo:
    return ErrorInfo(
        name="DeadLetter",
        what=f"run {run_id} was recovered again and again without progress",
        fix="find out what kills its owner, then resume it: it gets a fresh budget",
        exit_code=5,
    )
