"""The security analyst: scanners first, then an agent that judges what they and it found."""

from pathlib import Path

from actors.assignments import ExamineJob
from actors.briefs import Judgement, examine_text, listed
from actors.player import Player, Task
from actors.scanners.scan import scan
from actors.tools.kits import judging_tools
from orchestration.ids import StepGrant
from orchestration.proof import Review, Severity

PROMPT = Path(__file__).with_suffix(".md").read_text(encoding="utf-8")
SCANNERS = (
    "bandit on changed Python, detect-secrets on added lines, and our own checks for risky calls, "
    "links, modes, and files that steer CI, hooks, builds or dependencies."
)
CERTAIN = Severity.HIGH
"""Scanner findings this bad, or worse, stand whatever the analyst says."""


class SecurityAnalyst(Player):
    """Owns a sandbox with the change; reports only what the change adds."""

    role = "security"

    async def audit(self, job: ExamineJob, grant: StepGrant) -> Review:
        """Scanners' and analyst's verdict on one task's patch."""
        sandbox = await self.hands.workspace(
            grant, job.tree, base=job.base, task=job.task.id, role=self.role
        )
        made = await scan(sandbox, changes=job.changes, added=job.added)
        scanned = listed([f.sentence() for f in made.findings]) or "Nothing."
        text = f"{examine_text(job)}\n\n# What the scanners found\n\n{SCANNERS}\n\n{scanned}"
        task = Task(PROMPT, text, Judgement, job.task.difficulty)
        judgement = await self.think(judging_tools, sandbox, task, job.brief, grant)
        await sandbox.terminate()
        certain = [f for f in made.findings if f.severity.rank >= CERTAIN.rank]
        verdict = judgement.signed(self.role, *certain)
        return verdict.model_copy(update={"scanners": made.scanners, "missing": made.missing})
