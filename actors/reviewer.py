"""The reviewer: proves changes in fresh sandboxes, and judges them in one of its own."""

from collections import defaultdict
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from actors.assignments import ChallengeJob, ExamineJob, VerifyJob
from actors.briefs import Judgement, examine_text
from actors.mutants.challenge import challenge, mutants_of, reverted
from actors.player import Player, Task
from actors.runners.suite import run_suite
from actors.sandbox.protocol import Sandbox
from actors.tools.kits import judging_tools
from orchestration.ids import StepGrant
from orchestration.messages import TreeRef
from orchestration.proof import Outcome, Review, TestReport
from orchestration.strength import Strength

PROMPT = Path(__file__).with_suffix(".md").read_text(encoding="utf-8")
REPEATING_S = 120.0
"""Once runs of a suite have taken so long, it is not repeated to find flaky tests."""


class Reviewer(Player):
    """Its verdict is a validated object; its sandbox is never the coder's."""

    role = "reviewer"

    async def verify(self, job: VerifyJob, grant: StepGrant) -> TestReport:
        """Run the whole suite at `job.tree`, each time in a sandbox made for this."""
        await self.hands.note(grant, f"running the tests at {job.tree.commit[:12]}")
        reports = [await self._test(job, grant)]
        while len(reports) < job.runs and sum(r.seconds for r in reports) < REPEATING_S:
            reports.append(await self._test(job, grant))
        return reports[0].model_copy(update={"flaky": flaky(reports)})

    async def _test(self, job: VerifyJob, grant: StepGrant) -> TestReport:
        async with self._checkout(grant, job.tree, role="verify") as sandbox:
            return await run_suite(
                sandbox,
                job.tree.commit,
                command=job.brief.test_command,
                timeout_s=job.brief.limits.test_seconds,
                first=job.first,
            )

    async def challenge(self, job: ChallengeJob, grant: StepGrant) -> Strength:
        """Put small faults into the patch, one at a time, and see whether its tests notice."""
        limits, commit = job.brief.limits, job.tree.commit
        async with self._checkout(grant, job.tree, role=f"challenge-{job.part}") as sandbox:

            async def run(seconds: float) -> TestReport:
                seconds = min(seconds, limits.test_seconds)
                command = job.brief.test_command
                return await run_suite(
                    sandbox, commit, command=command, timeout_s=seconds, only=job.tests
                )

            made = await mutants_of(sandbox.read_file, job.added, limit=limits.mutants, seed=commit)
            mine = made[job.part :: job.parts]
            strength = await challenge(sandbox, mine, [run], budget_s=limits.mutant_seconds)
            if job.part == 0:
                strength += await reverted(
                    sandbox, job.base, job.changes, run, timeout_s=limits.test_seconds
                )
        return strength

    @asynccontextmanager
    async def _checkout(
        self, grant: StepGrant, tree: TreeRef, *, role: str
    ) -> AsyncGenerator[Sandbox, None]:
        """A sandbox of this attempt's own at `tree`, gone afterwards."""
        sandbox = await self.hands.workspace(
            grant, tree, role=role, commit=tree.commit, attempt=str(grant.attempt)
        )
        try:
            yield sandbox
        finally:
            await sandbox.terminate()

    async def review(self, job: ExamineJob, grant: StepGrant) -> Review:
        """The verdict on one task's patch."""
        sandbox = await self.hands.workspace(
            grant, job.tree, base=job.base, task=job.task.id, role=self.role
        )
        task = Task(PROMPT, examine_text(job), Judgement, job.task.difficulty)
        judgement = await self.think(judging_tools, sandbox, task, job.brief, grant)
        await sandbox.terminate()
        return judgement.signed(self.role)


def flaky(reports: Sequence[TestReport]) -> tuple[str, ...]:
    """Tests that did not end alike each time."""
    ends: defaultdict[str, list[Outcome]] = defaultdict(list)
    for case in (case for report in reports for case in report.cases):
        ends[case.id].append(case.outcome)
    alike = {id_ for id_, all_ in ends.items() if len(all_) == len(reports) and len({*all_}) == 1}
    return tuple(id_ for id_ in ends if id_ not in alike)
