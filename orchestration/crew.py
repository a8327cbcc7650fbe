"""The players the score needs. Every verb is a step."""

from collections.abc import Sequence
from typing import Protocol

from orchestration.messages import (
    Assigned,
    Delivery,
    Dossier,
    Patch,
    Plan,
    Recollection,
    TreeRef,
    Work,
)
from orchestration.proof import Review, TestReport
from orchestration.strength import Strength
from orchestration.workflow.step import StepContext


class Crew(Protocol):
    """One run's team. Whoever implements it decides who does the work, never in what order."""

    async def recall(self, dossier: Dossier, ctx: StepContext, /) -> tuple[Recollection, ...]:
        """What memory knows. Never fails: slow or broken recall gives nothing and says so."""
        ...

    async def plan(self, dossier: Dossier, ctx: StepContext, /) -> Plan:
        """Decompose the request, heeding the dossier's notes."""
        ...

    async def begin(self, assigned: Assigned, ctx: StepContext, /) -> Work:
        """Open a task on the integration branch as it stands now."""
        ...

    async def write_test(self, work: Work, ctx: StepContext, /) -> Patch:
        """A commit that adds tests for the task and changes nothing else."""
        ...

    async def write_code(self, work: Work, ctx: StepContext, /) -> Patch:
        """A commit on top of the frozen tests that makes them pass, heeding the feedback."""
        ...

    async def verify(self, tree: TreeRef, ctx: StepContext, /) -> TestReport:
        """Run the whole suite at `tree` in a fresh sandbox; the same tree is run only once."""
        ...

    async def without(self, work: Work, paths: Sequence[str], ctx: StepContext, /) -> TreeRef:
        """The task's patch with these files as they are at its base; gone where they are new."""
        ...

    async def challenge(self, work: Work, ctx: StepContext, /) -> Strength:
        """How many small faults in the patch its tests notice, within the run's budget."""
        ...

    async def review(self, work: Work, ctx: StepContext, /) -> Review:
        """A reviewer's verdict on the task's patch."""
        ...

    async def audit(self, work: Work, ctx: StepContext, /) -> Review:
        """Scanners' and a security analyst's verdict on the task's patch."""
        ...

    async def merge(self, work: Work, ctx: StepContext, /) -> Work:
        """Merge into the integration branch, one at a time, testing the merged tree first.

        Returns the work with `merged` set, or, on a conflict or a red merge, with `feedback`
        set and `base` moved to the branch's present head.
        """
        ...

    async def integrated(self, ctx: StepContext, /) -> TreeRef:
        """The integration branch as it stands."""
        ...

    async def diff(self, dossier: Dossier, ctx: StepContext, /) -> str:
        """The whole change as text, for the delivery gate."""
        ...

    async def deliver(self, dossier: Dossier, ctx: StepContext, /) -> Delivery:
        """Name the branch, write the evidence, remember the lessons."""
        ...
