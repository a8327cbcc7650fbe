"""Looking at runs: following their records, reading every result, checking that they replay."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

from orchestration.ids import RunId, StepKey
from orchestration.workflow.codec import codec
from orchestration.workflow.facts import History, read_output
from orchestration.workflow.journal import Journal, NewRecord, Record, RecordKind
from orchestration.workflow.keys import joined
from orchestration.workflow.machine import Machine
from orchestration.workflow.migrations import migrated
from orchestration.workflow.outcome import check_workflow
from orchestration.workflow.shape import Flow, MapNode
from orchestration.workflow.storage import fetch, load, loaded, read_all
from orchestration.workflow.values import Stored

_PAGE = 1_000


async def watch(
    journal: Journal, run_id: RunId, *, after: int = 0, poll_s: float = 1.0
) -> AsyncIterator[Record]:
    """A run's records in order, as they come, until the run has ended.

    Whoever is cut off asks again with the last number seen: nothing is missed or seen twice.
    """
    while True:
        ended = (await journal.info(run_id)).status.ended
        page = await journal.read(run_id, after=after, limit=_PAGE)
        for record in page:
            after = record.seq
            yield migrated(record)
        if ended and not page:
            return
        if not page:
            await journal.wait(run_id, after=after, timeout_s=poll_s)


async def results(journal: Journal, flow: Flow[Any, Any], run_id: RunId) -> dict[StepKey, Any]:
    """The output of every step that is done, every iteration and item included."""
    check_workflow(await journal.info(run_id), flow)
    history = await load(journal, run_id, kinds=[RecordKind.DONE])
    found: dict[StepKey, Any] = {}
    for key, past in history.steps.items():
        step = flow.step_at(key)
        head, text = read_output(past.body)
        if step is not None and not head.get("bail"):
            found[key] = await loaded(journal, Stored(text, step.codec).take)
    return found


async def replay(journal: Journal, flow: Flow[Any, Any], run_id: RunId) -> tuple[str, ...]:
    """Walk a run again from what its steps gave; say where a decision comes out differently.

    Nothing is performed or written. Conditions, maps and items are judged anew and compared with
    what was recorded: an impure or a changed one shows as a line here.
    """
    check_workflow(await journal.info(run_id), flow)
    history = await load(journal, run_id)
    recorded = {
        (r.kind, r.step_key): r.body
        for r in await read_all(journal, run_id)
        if r.kind in {RecordKind.CHOSEN, RecordKind.ITERATION, RecordKind.DONE}
    }
    value = Stored(read_output(history.created)[1], codec(flow.takes))
    machine = Machine(flow, _without_judgements(history, flow), value, now=0.0)
    while machine.missing is not None:
        await fetch(journal, machine.missing)
        machine.supplied()
    return tuple(_differences(machine.take_records(), recorded))


def _differences(
    judged: list[NewRecord], recorded: dict[tuple[RecordKind, StepKey], str]
) -> Iterator[str]:
    for record in judged:
        before = recorded.get((record.kind, record.step_key))
        if before is not None and before != record.body:
            yield f"{record.kind} {record.step_key}: was {before[:200]}, is {record.body[:200]}"


def _without_judgements(history: History, flow: Flow[Any, Any]) -> History:
    """Without the results of pure functions, so that they are worked out anew."""
    steps = {
        key: past
        for key, past in history.steps.items()
        if not key.endswith(joined(StepKey(""))) and not isinstance(flow.at(key), MapNode)
    }
    return replace(history, steps=steps, chosen={}, iterations={})
