"""The architect: reads the repository and turns a request into a plan."""

from pathlib import Path

from actors.assignments import PlanJob
from actors.briefs import listed, recalled_text, told
from actors.player import Player, Task
from actors.tools.kits import reading_tools
from orchestration.ids import StepGrant
from orchestration.messages import Plan

PROMPT = Path(__file__).with_suffix(".md").read_text(encoding="utf-8")

WANTED = "# What the person wants changed\n\nPlan anew, heeding every word:"
UNDONE = """# What could not be built

Plan only what is missing, another way: smaller, in another order, or without what proved
impossible:"""


class Architect(Player):
    """Plans with read-only tools, in a sandbox of its own that is kept until the plan stands."""

    role = "architect"

    async def plan(self, job: PlanJob, grant: StepGrant) -> Plan:
        """A validated plan; what does not hold together goes back to the model."""
        sandbox = await self.hands.workspace(grant, job.dossier.tree, role=self.role)
        task = Task(PROMPT, plan_task(job), Plan)
        return await self.think(reading_tools, sandbox, task, job.brief, grant)


def plan_task(job: PlanJob) -> str:
    """The planning task as the architect is told it."""
    dossier = job.dossier
    parts = [told(job.brief)]
    if dossier.works:
        done = [f"{work.task.id}: {work.task.title}" for work in dossier.works]
        parts.append(f"# Already built and merged\n\n{listed(done)}")
    if dossier.notes:
        before = (
            f"\n\nThe plan before:\n{dossier.plan.model_dump_json(indent=1)}"
            if dossier.plan
            else ""
        )
        heading = UNDONE if dossier.undone else WANTED
        parts.append(f"{heading}\n{listed(dossier.notes)}{before}")
    parts.append("# Your part\n\nPlan the tasks, then call `finish`.")
    if dossier.recalled:
        parts.append(recalled_text(dossier.recalled))
    return "\n\n".join(parts)
