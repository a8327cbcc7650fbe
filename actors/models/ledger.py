"""Reading a run's account off the journal: its budget, what it spent, how long it was driven."""

import json
from collections.abc import AsyncIterator
from typing import Final

from actors.models.budget import Account
from orchestration.clock import Clock
from orchestration.errors import NotFoundError
from orchestration.ids import RunId
from orchestration.messages import Budget, BudgetDecision, Usage
from orchestration.stories import request_of
from orchestration.workflow.journal import Journal, Record, RecordKind, RunStatus

BUDGET: Final = "budget"
"""How labels of questions about the budget begin."""
_PAGE = 1_000


class Ledger:
    """Opens accounts of the runs in a journal."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal, self._clock = journal, clock

    async def account(self, run: str) -> Account:
        """The run's account as the store has it; one without limits for what is no run."""
        run_id, spent, times, budget = RunId(run), Usage(), Driven(), Budget()
        is_driven = True
        try:
            is_driven = (await self._journal.info(run_id)).status is RunStatus.RUNNING
            budget = (await request_of(self._journal, run_id)).budget
            async for record in self._records(run_id):
                times.see(record)
                if record.kind is RecordKind.TURN:
                    spent += usage_of(record)
                elif record.kind is RecordKind.DECIDED:
                    budget = raised(record) or budget
        except NotFoundError:
            pass
        now = self._clock.now()
        return Account(budget, spent, times.seconds(now, is_driven=is_driven), now)

    async def _records(self, run_id: RunId) -> AsyncIterator[Record]:
        after = 0
        while page := await self._journal.read(run_id, after=after, limit=_PAGE):
            after = page[-1].seq
            for record in page:
                yield record


class Driven:
    """How long a run was driven: from each claim to the last thing written before the next."""

    def __init__(self) -> None:
        self._before = 0.0
        self._since: float | None = None
        self._last = 0.0

    def see(self, record: Record) -> None:
        if record.kind is RecordKind.CLAIMED:
            if self._since is not None:
                self._before += self._last - self._since
            self._since = record.at
        if record.kind is not RecordKind.DECIDED:  # people decide while nobody drives
            self._last = record.at

    def seconds(self, now: float, *, is_driven: bool) -> float:
        """In all; the present claim up to now where somebody holds it."""
        if self._since is None:
            return 0.0
        return self._before + max(0.0, (now if is_driven else self._last) - self._since)


def usage_of(record: Record) -> Usage:
    """What the reply in a TURN record cost."""
    reply = json.loads(record.body).get("reply") or {}
    return Usage.model_validate(reply.get("usage") or {})


def raised(record: Record) -> Budget | None:
    """The new budget that a DECIDED record grants, if it is about that."""
    body = json.loads(record.body)
    if not str(body.get("label", "")).startswith(BUDGET):
        return None
    return BudgetDecision.model_validate(body["answer"]).budget
