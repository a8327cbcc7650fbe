"""The reviewer: proves changes in fresh sandboxes, and judges them in one of its own."""

from pathlib import Path

from actors.assignments import ExamineJob, VerifyJob
from actors.briefs import Judgement, examine_text
from actors.player import Player, Task
from actors.runners.suite import run_suite
from actors.tools.kits import judging_tools
from orchestration.ids import StepGrant
from orchestration.proof import Review, TestReport

PROMPT = Path(__file__).with_suffix(".md").read_text(encoding="utf-8")


class Reviewer(Player):
    """Its verdict is a validated object; its sandbox is never the coder's."""

    role = "reviewer"

    async def verify(self, job: VerifyJob, grant: StepGrant) -> TestReport:
        """Run the whole suite at `job.tree` in a sandbox made for this and ended after it."""
        await self.hands.note(grant, f"running the tests at {job.tree.commit[:12]}")
        sandbox = await self.hands.workspace(
            grant, job.tree, role="verify", commit=job.tree.commit, attempt=str(grant.attempt)
        )
        try:
            limits = job.brief.limits
            return await run_suite(
                sandbox,
                job.tree.commit,
                command=job.brief.test_command,
                timeout_s=limits.test_seconds,
            )
        finally:
            await sandbox.terminate()

    async def review(self, job: ExamineJob, grant: StepGrant) -> Review:
        """The verdict on one task's patch."""
        sandbox = await self.hands.workspace(
            grant, job.tree, base=job.base, task=job.task.id, role=self.role
        )
        task = Task(PROMPT, examine_text(job), Judgement)
        judgement = await self.think(judging_tools, sandbox, task, job.brief, grant)
        await sandbox.terminate()
        return judgement.signed(self.role)
