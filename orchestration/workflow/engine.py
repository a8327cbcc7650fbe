"""The engine: one small loop that makes facts durable, then acts on them.

    outcome = await Engine(journal, owner="me").start(workflow, value, run_id=run_id)

Each round appends the machine's records in one transaction, performs its commands, and feeds back
what happens. Whatever kills the process, the next `start` or `resume` continues from the journal.
"""

import json
import random
from collections.abc import Callable
from typing import Any, TypeVar

from orchestration.clock import Clock, SystemClock
from orchestration.errors import ConflictError, InvalidWorkflowError
from orchestration.ids import RunId
from orchestration.workflow.codec import codec
from orchestration.workflow.drive import Drive, Terms
from orchestration.workflow.facts import read_output
from orchestration.workflow.journal import Journal, RecordKind, RunInfo, RunStatus
from orchestration.workflow.outcome import RunOutcome, check_workflow, outcome_of
from orchestration.workflow.shape import Flow
from orchestration.workflow.storage import Storage, load, loaded
from orchestration.workflow.values import Stored

In = TypeVar("In")
Out = TypeVar("Out")

MAX_RECOVERIES = 3
"""Recoveries without progress after which a run becomes a dead letter."""


class Engine:
    """Drives runs as one owner."""

    def __init__(
        self,
        journal: Journal,
        *,
        owner: str,
        clock: Clock | None = None,
        lease_ttl_s: float = 15.0,
        poll_s: float = 1.0,
        grace_s: float = 10.0,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self.journal = journal
        self.terms = Terms(
            journal, owner, clock or SystemClock(), lease_ttl_s, poll_s, grace_s, dice
        )

    async def start(
        self,
        workflow: Flow[In, Out],
        value: In,
        *,
        run_id: RunId,
        title: str = "",
        steps: int | None = None,
    ) -> RunOutcome:
        """Create the run, or attach to it where it exists, and drive it as far as it goes.

        Args:
            workflow: What to run.
            value: What it is given.
            run_id: Starting the same id again attaches to the run, or tells how it ended.
            title: For people.
            steps: Stop after so many attempts of steps and leave the run pending (single-step
                mode is 1).

        Raises:
            InvalidWorkflowError: the workflow is not committed.
            RunOwnedError: somebody else drives it.
            ConflictError: the run exists with another input, workflow or definition.
            StaleOwnerError: the run was taken over meanwhile.
            UsageError: the value is not what the workflow takes.
        """
        _require_built(workflow)
        storage = Storage(self.journal, self.terms.clock, lambda: False)
        given = await storage.store(codec(workflow.takes), value)
        head = f'"lines":{json.dumps(workflow.lines)},'
        is_new = await self.journal.create_run(
            run_id,
            workflow=workflow.id,
            definition=workflow.definition,
            title=title or workflow.id,
            body=given.text.write(head),
        )
        info = await self.journal.info(run_id)
        if not is_new:
            check_workflow(info, workflow)
            await self._check_input(run_id, given)
        if info.status.ended or info.status is RunStatus.DEAD_LETTER:
            return await outcome_of(self.journal, workflow, run_id)
        try:
            return await self._drive(workflow, info, take_over=False, steps=steps)
        except ConflictError:  # perhaps a rival ended it between our look and our claim
            outcome = await outcome_of(self.journal, workflow, run_id)
            if not outcome.status.ended:
                raise
            return outcome

    async def resume(
        self,
        workflow: Flow[Any, Out],
        run_id: RunId,
        *,
        take_over: bool = False,
        steps: int | None = None,
    ) -> RunOutcome:
        """Go on with a run that is suspended, crashed, or a dead letter.

        Raises:
            NotFoundError: there is no such run.
            ConflictError: it has ended, or belongs to another workflow or definition.
            RunOwnedError: somebody else drives it.
        """
        _require_built(workflow)
        info = await self.journal.info(run_id)
        check_workflow(info, workflow)
        if info.status.ended:
            raise ConflictError(
                f"run {run_id} has ended ({info.status})", "read its outcome, or fork it"
            )
        return await self._drive(workflow, info, take_over=take_over, steps=steps)

    async def _drive(
        self, workflow: Flow[Any, Any], info: RunInfo, *, take_over: bool, steps: int | None
    ) -> RunOutcome:
        run_id = info.run_id
        await self._check_definition(workflow, info)
        clock = self.terms.clock
        asked_at = clock.ticks()
        lease = await self.journal.claim(
            run_id, self.terms.owner, ttl_s=self.terms.lease_ttl_s, take_over=take_over
        )
        history = await load(self.journal, run_id)
        if history.recoveries > MAX_RECOVERIES:
            storage = Storage(
                self.journal, clock, lambda: clock.ticks() - asked_at < self.terms.lease_ttl_s
            )
            await storage.append(lease, (), status=RunStatus.DEAD_LETTER, release=True)
            return await outcome_of(self.journal, workflow, run_id)
        drive = Drive(self.terms, workflow, lease, history, asked_at=asked_at, steps=steps)
        return await drive.go()

    async def _check_input(self, run_id: RunId, given: Stored) -> None:
        created = (await load(self.journal, run_id, kinds=[RecordKind.CREATED])).created
        stands = Stored(read_output(created)[1], given.codec)
        if await loaded(self.journal, stands.look) != given.look():
            raise ConflictError(
                f"run {run_id} exists with another input", "choose another run id, or resume it"
            )

    async def _check_definition(self, workflow: Flow[Any, Any], info: RunInfo) -> None:
        if info.definition in {workflow.definition, *workflow.compatible_with}:
            return
        created = (await load(self.journal, info.run_id, kinds=[RecordKind.CREATED])).created
        before = [str(line) for line in read_output(created)[0].get("lines") or ()]  # pyright: ignore[reportGeneralTypeIssues] - JSON of our own
        gone = [f"- {line}" for line in before if line not in workflow.lines]
        new = [f"+ {line}" for line in workflow.lines if line not in before]
        raise ConflictError(
            f"workflow {workflow.id!r} has changed since run {info.run_id} began:\n"
            + "\n".join([*gone, *new] or ["its steps are in another order"]),
            f"finish the run with the older version, or declare the change compatible: "
            f"commit(compatible_with=[{info.definition!r}])",
        )


def _require_built(workflow: object) -> None:
    if not isinstance(workflow, Flow):
        raise InvalidWorkflowError(
            f"{type(workflow).__name__} is no workflow to run", "build one and call .commit()"
        )
