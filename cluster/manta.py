"""Runs from a program of one's own: `from cluster import Manta`. The commands stand on the same.

async with Manta.open() as manta:
    run = await manta.submit("Add a greeting.", repo="greeter")
    detail = await run.wait()
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from actors.evidence import Evidence
from cluster.configuration.sources import load_settings
from cluster.desk.deciding import Verdict
from cluster.desk.delivering import fetch_branch
from cluster.desk.opening import open_desk
from cluster.desk.protocol import Desk
from cluster.desk.wire import Recorded, RunDetail, RunSummary
from cluster.desk.wishing import Wishes
from cluster.intake import Order
from cluster.runs.budgets import parse_budget
from cluster.settings import Settings
from cluster.terminal.options import person
from orchestration.approval import Answer
from orchestration.events import Event
from orchestration.ids import RunId, parse_run_id
from orchestration.messages import Budget, Plan

GOING_ON = {"pending", "running"}


class Manta:
    """Runs in a store here, or at a hall elsewhere. Every method raises as `Desk` says."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @staticmethod
    def open(
        *,
        hall: str | None = None,
        token: str | None = None,
        state_dir: str | Path | None = None,
        settings: Settings | None = None,
    ) -> AbstractAsyncContextManager["Manta"]:
        """What the environment and the user's file say, unless it is said here.

        Args:
            hall: Address of a hall elsewhere; none means the store here.
            token: The hall's token.
            state_dir: Where runs are kept, without a hall.
            settings: All of it instead; nothing is read from the environment then.

        Raises:
            UsageError: something in it cannot be used.
        """
        if settings is None:
            place = Path(state_dir).absolute() if state_dir else None
            flags = {"hall": hall, "hall_token": token, "state_dir": place}
            settings = load_settings(flags).settings
        return _opened(settings)

    async def submit(  # noqa: PLR0913 - a keyword for each thing that can be wished
        self,
        request: str,
        *,
        repo: str | Path = ".",
        ref: str = "HEAD",
        run_id: str | None = None,
        approve: Sequence[str] = (),
        budget: str = "",
        model: str | None = None,
        test_command: str | None = None,
        replay: str | Path | None = None,
    ) -> "Run":
        """Have a request worked on; returns once it is, and does not wait for its end.

        Args:
            request: What is wanted, in words.
            repo: Path or URL of the repository.
            ref: What to build on.
            run_id: Submitting the same again attaches to the run.
            approve: Gates that wait for a person, such as `plan` and `delivery`.
            budget: For the whole run, such as `5usd,2h`.
            model: PROVIDER/NAME.
            test_command: Overrides the detected test runner.
            replay: A recording to play back in place of models.
        """
        wishes = Wishes(
            approve=tuple(approve),
            budget=parse_budget(budget) if budget else Budget(),
            model=model,
            test_command=test_command,
        )
        recording = Path(replay) if replay else None
        order = Order(request, str(repo), ref=ref, run_id=run_id, replay=recording)
        begun = await self._desk.submit(order, wishes)
        return Run(self._desk, begun.run_id)

    async def runs(self, *, limit: int = 50, offset: int = 0) -> tuple[RunSummary, ...]:
        """Runs, newest first."""
        return (await self._desk.runs(limit=limit, offset=offset)).runs

    def run(self, run_id: str) -> "Run":
        """A run by its id; whether there is one shows when it is asked for something."""
        return Run(self._desk, parse_run_id(run_id))


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncGenerator[Manta]:
    async with open_desk(settings) as desk:
        yield Manta(desk)


@dataclass(frozen=True, slots=True)
class Run:
    """One run, wherever it is driven."""

    _desk: Desk
    id: RunId

    async def look(self) -> RunDetail:
        """The run as it stands: status, tasks, cost, questions, delivery, error."""
        return await self._desk.run(self.id)

    def events(self, *, after: int = 0) -> AsyncGenerator[Event]:
        """What happens after a number, until the run ends or waits for a person.

        From a hall elsewhere, a lost connection is taken up again: nothing is missed or told twice.
        """
        return self._desk.events(self.id, after=after)

    async def wait(self) -> RunDetail:
        """Follow the run until it ends or waits for a person, and say how it stands then."""
        while True:
            detail = await self.look()
            if detail.run.status not in GOING_ON:
                return detail
            async with aclosing(self.events(after=detail.run.seq)) as events:
                async for _ in events:
                    pass

    async def plan(self) -> Plan:
        """The plan as it stands."""
        return (await self._desk.plan(self.id)).plan

    async def diff(self) -> str:
        """The change so far, as a unified diff."""
        return (await self._desk.diff(self.id)).diff

    async def evidence(self) -> Evidence:
        """What proves a delivered change."""
        return await self._desk.evidence(self.id)

    async def fetch(self, repo: str | Path = ".", *, branch: str = "") -> str:
        """Make the delivered branch in a repository here; returns its name."""
        delivery = await fetch_branch(self._desk, self.id, Path(repo), branch)
        return branch or delivery.branch

    async def approve(
        self,
        *,
        label: str | None = None,
        digest: str = "",
        plan: Plan | None = None,
        budget: str = "",
        by: str = "",
        resume: bool = True,
    ) -> Recorded:
        """Approve what the run asks; it then goes on, unless `resume` is false.

        Args:
            label: Which question, where several wait.
            digest: Of the question as it was shown; without one the answer is to whatever it is.
            plan: With a question about the plan: this one instead.
            budget: With a question about the budget: all that may be spent.
            by: Who decides; the person at this machine unless another one is named.
            resume: Whether it goes on by itself once nothing is asked any more.
        """
        edited = plan.model_dump_json() if plan else ""
        who = by or person()
        verdict = Verdict(
            Answer.APPROVE, who, label=label, digest=digest, plan=edited, budget=budget
        )
        return await self._desk.decide(self.id, verdict, resume=resume)

    async def request_changes(
        self,
        comment: str,
        *,
        label: str | None = None,
        digest: str = "",
        by: str = "",
        resume: bool = True,
    ) -> Recorded:
        """Send back what the run asks about; the comment reaches the agents."""
        who = by or person()
        verdict = Verdict(Answer.CHANGES, who, comment=comment, label=label, digest=digest)
        return await self._desk.decide(self.id, verdict, resume=resume)

    async def reject(
        self,
        *,
        comment: str = "",
        label: str | None = None,
        digest: str = "",
        by: str = "",
        resume: bool = True,
    ) -> Recorded:
        """Say no. At a gate this ends the run; a tool call is declined."""
        who = by or person()
        verdict = Verdict(Answer.REJECT, who, comment=comment, label=label, digest=digest)
        return await self._desk.decide(self.id, verdict, resume=resume)

    async def resume(self, *, take_over: bool = False) -> None:
        """See to it that the run is driven on."""
        await self._desk.resume(self.id, take_over=take_over)

    async def cancel(self, *, by: str = "") -> bool:
        """Stop the run; False if it had ended already."""
        return (await self._desk.cancel(self.id, by=by or person())).accepted
