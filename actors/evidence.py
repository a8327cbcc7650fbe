"""The evidence bundle: what proves a delivery, as JSON that anyone can check again."""

import json
import platform
from typing import Final

from actors.memory import Lesson
from orchestration import gates
from orchestration.ids import CommitId, RunId
from orchestration.messages import (
    Dossier,
    FeatureRequest,
    Frozen,
    TaskEvidence,
    Undone,
    Usage,
    Work,
)
from orchestration.proof import TestReport
from orchestration.workflow.journal import Journal, RecordKind

SCHEMA: Final = 1
PAGE = 1_000


class Environment(Frozen):
    """Where the proof was made."""

    python: str
    system: str


class Evidence(Frozen):
    """Everything claimed about one delivery."""

    schema_version: int = SCHEMA
    run_id: RunId
    request: str
    repository: str
    base: CommitId
    branch: str
    commit: CommitId
    models: tuple[str, ...]
    """Who thought; a recording says `recording:` first."""
    tasks: tuple[TaskEvidence, ...]
    undone: tuple[Undone, ...] = ()
    """What was asked for and could not be built."""
    final: TestReport | None
    usage: Usage
    environment: Environment


def schema() -> str:
    """The published form of evidence: JSON Schema, as in `docs/schemas/evidence.json`."""
    made = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Evidence.model_json_schema(),
    }
    return json.dumps(made, indent=2) + "\n"


async def evidence_of(journal: Journal, dossier: Dossier, branch: str) -> Evidence:
    """The evidence of a run that is about to be delivered."""
    request = dossier.request
    usage, models = await spent(journal, request.run_id)
    return Evidence(
        run_id=request.run_id,
        request=request.text,
        repository=request.repository,
        base=request.base.commit,
        branch=branch,
        commit=dossier.tree.commit,
        models=models,
        tasks=tuple(task_evidence(work) for work in dossier.works),
        undone=dossier.undone,
        final=dossier.final,
        usage=usage,
        environment=Environment(python=platform.python_version(), system=platform.platform()),
    )


def task_evidence(work: Work) -> TaskEvidence:
    """What proves one task. Only a merged task can be asked for it."""
    test, patch, green = work.test, work.patch, work.green
    review, audit, merged = work.review, work.audit, work.merged
    if not (patch and green and review and audit and merged):
        raise ValueError(f"task {work.task.id} was never merged")
    return TaskEvidence(
        task=work.task,
        base=patch.base.commit,
        test_commit=test.tree.commit if test else None,
        commit=patch.tree.commit,
        merged=merged.commit,
        test_files=gates.freeze(test) if test else {},
        red=work.red,
        green=green,
        review=review,
        audit=audit,
        strength=work.strength,
    )


async def spent(journal: Journal, run_id: RunId) -> tuple[Usage, tuple[str, ...]]:
    """What a run's model calls cost, and which models answered."""
    usage, models, after = Usage(), set[str](), 0
    while page := await journal.read(run_id, after=after, kinds=[RecordKind.TURN], limit=PAGE):
        after = page[-1].seq
        for reply in (json.loads(record.body).get("reply") for record in page):
            if reply:
                usage += Usage.model_validate(reply["usage"])
                models.add(reply["model"])
    return usage, tuple(sorted(models))


def summary_of(dossier: Dossier) -> str:
    """One line a task, for people."""
    lines = [f"{work.task.id}: {work.task.title}" for work in dossier.works]
    lines += [f"Not part of it: {one.task.id}: {one.task.title}." for one in dossier.undone]
    final = dossier.final
    if final is not None:
        passed = "passes" if final.exit_code == 0 else f"ends with exit code {final.exit_code}"
        lines.append(f"The whole suite {passed} on the branch (`{final.command}`).")
    return "\n".join(lines)


def lesson_of(work: Work, request: FeatureRequest) -> Lesson:
    """What a merged task teaches later runs. Its key makes a repeat replace it."""
    patch = work.patch
    said = work.review.summary if work.review else ""
    return Lesson(
        key=f"{request.run_id}/{work.task.id}",
        problem=f"{work.task.title}\n{work.task.description}",
        fix=f"{patch.title}\n{patch.notes}\n{said}" if patch else "",
        commit=patch.tree.commit if patch else "",
        files=patch.paths if patch else (),
    )
