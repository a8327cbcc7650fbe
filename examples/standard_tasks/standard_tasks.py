"""Standard engineering tasks, and a workflow made of them.

    deliver the feature ─ checkout ─ run tests ─ scan ─ [deploy gate] ─ deploy to staging

Staging is a folder that a deployment tool watches, as GitOps tools do: deploying is to write there
which commit is wanted. Replace `publish` by whatever deploys at your place.
"""

import asyncio
import json
import os
import re
from pathlib import Path

from orchestration.approval import Answer, Decision
from orchestration.asking import ask
from orchestration.crew import Crew
from orchestration.delivery import delivery
from orchestration.errors import RunFailedError
from orchestration.messages import (
    CodeTask,
    Delivery,
    Dossier,
    FeatureRequest,
    Frozen,
    Limits,
    Patch,
    TreeRef,
    Work,
)
from orchestration.proof import Review, TestReport
from orchestration.workflow.builder import Workflow, step
from orchestration.workflow.retry import Retry
from orchestration.workflow.shape import Flow
from orchestration.workflow.step import StepContext


class Release(Frozen):
    """What travels from task to task. Each returns it with more filled in."""

    request: FeatureRequest
    delivery: Delivery
    tree: TreeRef
    tests: TestReport | None = None
    audit: Review | None = None
    manifest: str = ""
    """Where it was deployed; empty when it was not."""

    def having(self, **changes: object) -> "Release":
        return self.model_copy(update=changes)


def to_staging(crew: Crew, limits: Limits, retry: Retry) -> Flow[FeatureRequest, Delivery]:
    """Deliver a feature as Manta does, then bring it to staging once a person agrees."""
    tasks = StandardTasks(crew)
    return (
        Workflow("to-staging", FeatureRequest)
        .then(delivery(crew, limits, retry), into=release)
        .then(step(tasks.checkout, retry=retry))
        .then(step(tasks.run_tests, retry=retry))
        .then(step(tasks.scan, retry=retry))
        .then(step(tasks.deploy, retry=retry, answers=Decision))
        .map(as_delivery)
        .commit()
    )


class StandardTasks:
    """Steps to build workflows from, played by the run's crew."""

    def __init__(self, crew: Crew) -> None:
        self.crew = crew

    async def checkout(self, release: Release, ctx: StepContext) -> Release:
        """The integration branch as it stands; it must be what was delivered."""
        tree = await self.crew.integrated(ctx)
        if tree.commit != release.delivery.tree.commit:
            raise RunFailedError(
                f"the branch is at {tree.commit[:12]}, not at what was delivered",
                "see `manta show RUN --log` for who moved it",
            )
        return release.having(tree=tree)

    async def run_tests(self, release: Release, ctx: StepContext) -> Release:
        """The whole suite in a fresh sandbox. A red suite ends the run."""
        report = await self.crew.verify(release.tree, ctx)
        if report.exit_code != 0 or report.problem:
            raise RunFailedError(
                f"the tests do not pass: {report.problem or report.tail}",
                "mend them in another run",
            )
        return release.having(tests=report.brief())

    async def scan(self, release: Release, ctx: StepContext) -> Release:
        """Scanners and the security analyst on the whole change at once."""
        change = Patch(
            base=release.request.base, tree=release.tree, title="The whole change", changes=()
        )
        work = Work(
            task=CodeTask(
                id="whole-change",
                title="The whole change",
                description=release.delivery.summary,
                acceptance=("It endangers nobody who runs it.",),
            ),
            base=release.request.base,
            patch=change,
            red=release.tests,
            green=release.tests,
        )
        return release.having(audit=await self.crew.audit(work, ctx))

    async def deploy(self, release: Release, ctx: StepContext) -> Release:
        """Always asks, and deploys on a yes only: any other answer leaves staging as it is."""
        dossier = Dossier(request=release.request, tree=release.tree, final=release.tests)
        body = f"{findings(release)}\n\n{await self.crew.diff(dossier, ctx)}"
        decision = ask("deploy", "Deploy to staging?", body, Decision, ctx)
        if decision.answer is not Answer.APPROVE:
            return release
        manifest = await ctx.effect("manifest", lambda: publish(release, decision.by), str)
        return release.having(manifest=manifest)


# --- pure pieces -------------------------------------------------------------------------------


def release(request: FeatureRequest, made: Delivery) -> Release:
    """What was delivered, on its way to staging."""
    return Release(request=request, delivery=made, tree=made.tree)


def findings(release: Release) -> str:
    """What the scan found, for whoever decides."""
    found = release.audit.findings if release.audit else ()
    return "\n".join(finding.sentence() for finding in found) or "The scan found nothing."


def as_delivery(release: Release) -> Delivery:
    """The delivery, saying whether it is on staging."""
    where = f"Deployed: {release.manifest}" if release.manifest else "Not deployed."
    summary = f"{release.delivery.summary}\n{where}"
    return release.delivery.model_copy(update={"summary": summary})


# --- staging -----------------------------------------------------------------------------------


def staging() -> Path:
    """The folder that staging's deployment tool watches."""
    home = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(home).expanduser() / "staging"


async def publish(release: Release, by: str) -> str:
    """Say which commit staging is to run; doing it again changes nothing. Returns where."""
    name = re.sub(r"[^\w-]", "-", release.request.repository)
    wanted = {
        "run": release.request.run_id,
        "branch": release.delivery.branch,
        "commit": release.tree.commit,
        "approved_by": by,
    }
    place = staging() / f"{name}.json"
    await asyncio.to_thread(write, place, json.dumps(wanted, indent=1) + "\n")
    return str(place)


def write(place: Path, text: str) -> None:
    """Replace a file at once, so that no reader sees half of it."""
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = place.with_suffix(".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(place)
