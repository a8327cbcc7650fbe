"""One run's records as figures: a fold, told to a meter as it goes."""

import json
from collections import Counter
from collections.abc import Mapping

from actors.meter import (
    RECOVERIES,
    RUNS,
    STEP_FAILURES,
    STEPS,
    TASKS,
    TASKS_NOW,
    VERDICTS,
    Meter,
)
from cluster.runs.view import TEAM, RunView, fold
from orchestration.events import Event, EventKind, event_of
from orchestration.ids import StepKey
from orchestration.workflow.journal import Record, RecordKind, RunStatus

GATES: Mapping[str, str] = {
    "prove_red": "red",
    "prove_green": "green",
    "agree": "review",
    "merge": "merge",
}
"""Steps of the story that end in a verdict, and what people call it."""
STATES = ("working", "waiting", "done", "failed")
HEARD = (
    RecordKind.CLAIMED,
    RecordKind.STARTED,
    RecordKind.DONE,
    RecordKind.FAILED,
    RecordKind.SUSPENDED,
    RecordKind.DECIDED,
    RecordKind.FINISHED,
)
"""What a tally wants to hear. What models said is counted where they are asked."""


class Tally:
    """What one drive of a run adds to the figures."""

    def __init__(self, meter: Meter, *, restarted: bool = False) -> None:
        """`restarted`: the supervisor is itself a recovery."""
        self._meter, self._restarted = meter, restarted
        self._view = RunView()
        self._began: dict[StepKey, float] = {}
        self._gates: dict[str, str] = {}
        self._merged: set[str] = set()

    def hear(self, record: Record, output: str = "") -> None:
        """Take in one record, in order; `output` is what a DONE one gave, as JSON."""
        event = event_of(record)
        if event is None:
            return
        self._view = fold(self._view, event)
        self._count_tasks()
        match record.kind:
            case RecordKind.CLAIMED:
                self._claimed(record)
            case RecordKind.STARTED:
                self._began[record.step_key] = record.at
            case RecordKind.DONE:
                self._done(event, output)
            case RecordKind.FAILED:
                self._meter.add(STEP_FAILURES, step=event.step, outcome=event.status)
            case RecordKind.FINISHED:
                self._give_up()
            case _:
                self._asked(event, record)

    def remember(self, record: Record) -> None:
        """Take in a question of an earlier drive: its answer may come in this one."""
        if record.kind is RecordKind.SUSPENDED:
            self._asked_by(record)

    def rest(self, status: RunStatus) -> None:
        """The drive is over, and the run stands so."""
        if status is not RunStatus.RUNNING:
            self._meter.add(RUNS, status=status.value)
        for state in STATES:
            self._meter.set(TASKS_NOW, 0, state=state)

    def _claimed(self, record: Record) -> None:
        if record.epoch <= 1:
            self._meter.add(RUNS, status="started")
        elif json.loads(record.body).get("was") != RunStatus.RUNNING:
            self._meter.add(RUNS, status="resumed")
        else:
            self._meter.add(RUNS, status="recovered")
            self._meter.add(RECOVERIES, what="supervisor" if self._restarted else "lease")

    def _done(self, event: Event, output: str) -> None:
        began = self._began.pop(StepKey(event.key), None)
        if began is not None:
            self._meter.observe(STEPS, max(0.0, event.at - began), step=event.step)
        if gate := GATES.get(event.step):
            said = json.loads(output or "{}")
            passed = not said.get("feedback")
            self._meter.add(VERDICTS, gate=gate, verdict="passed" if passed else "refused")
            if gate == "merge" and passed:
                self._merged.add(event.task)
                self._meter.add(TASKS, outcome="merged")

    def _asked(self, event: Event, record: Record) -> None:
        if event.kind is EventKind.WAITING:
            gate = self._asked_by(record)
            self._meter.add(VERDICTS, gate=gate, verdict="asked")
        elif event.kind is EventKind.DECIDED:
            gate = self._gates.get(event.label, "other")
            self._meter.add(VERDICTS, gate=gate, verdict=event.status or "other")

    def _asked_by(self, record: Record) -> str:
        """The gate of a question; what it asks is remembered by its label."""
        body = json.loads(record.body)
        payload = json.loads(body.get("payload", "{}"))
        gate = payload.get("gate", "other") if isinstance(payload, dict) else "other"
        self._gates[str(body.get("label", ""))] = str(gate)
        return str(gate)

    def _give_up(self) -> None:
        for task, row in self._view.rows.items():
            if task != TEAM and task not in self._merged and row.state == "failed":
                self._meter.add(TASKS, outcome="given_up")

    def _count_tasks(self) -> None:
        rows = self._view.rows.values()
        states = Counter(row.state for row in rows if row.task != TEAM)
        for state in STATES:
            self._meter.set(TASKS_NOW, states[state], state=state)
