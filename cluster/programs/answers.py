"""What programs are told: the desk's own forms, cut to what a model can read at once."""

from pydantic import BaseModel, ConfigDict

from actors.evidence import Evidence
from actors.tools.text import neutralise
from cluster.desk.wire import ChangedFile, DiffShown, RunDetail
from orchestration.errors import NotFoundError
from orchestration.messages import TaskEvidence, Usage
from orchestration.proof import Finding
from orchestration.strength import Fate

BODY, PART = 6_000, 20_000
"""Characters of a question, and of a part of something long."""
CUT = "\n[... cut; `plan` and `diff` show all of it]"


class Told(BaseModel):
    """Frozen."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Part(Told):
    """A part of a change."""

    files: tuple[ChangedFile, ...]
    diff: str
    next_offset: int | None
    """Ask again from here for the rest."""


class TaskProof(Told):
    """What proves one task."""

    task: str
    title: str
    red: tuple[str, ...]
    """Tests that failed before the change, for the right reason."""
    green: str
    """The command that passes with it, from a clean checkout."""
    mutants_killed: int
    mutants_survived: tuple[str, ...]
    review: str
    audit: str
    remarks: tuple[Finding, ...]
    """What reviewers found and did not block for."""


class Proof(Told):
    """What proves a delivery, in brief. `manta verify RUN` proves it again."""

    run_id: str
    branch: str
    base: str
    commit: str
    tasks: tuple[TaskProof, ...]
    undone: tuple[str, ...]
    suite: str
    models: tuple[str, ...]
    usage: Usage


def in_brief(detail: RunDetail) -> RunDetail:
    """A run with its questions cut to a readable length."""
    asked = tuple(
        one.model_copy(update={"body": one.body[:BODY] + CUT}) if len(one.body) > BODY else one
        for one in detail.questions
    )
    return detail.model_copy(update={"questions": asked})


def part_of(shown: DiffShown, path: str, offset: int) -> Part:
    """A piece of a diff, of one file or of all.

    Raises:
        NotFoundError: that file is not changed.
    """
    text, files = shown.diff, shown.files
    if path:
        files = tuple(file for file in files if file.path == path)
        if not files:
            raise NotFoundError(
                f"{path!r} is not changed", f"changed are: {', '.join(f.path for f in shown.files)}"
            )
        pieces = [f"diff --git {piece}" for piece in text.split("diff --git ")[1:]]
        text = "".join(piece for piece in pieces if f" b/{path}\n" in piece)
    end = offset + PART
    rest = end if end < len(text) else None
    return Part(files=files, diff=neutralise(text[offset:end]), next_offset=rest)


def proof_of(evidence: Evidence) -> Proof:
    """The evidence as somebody would tell it."""
    final = evidence.final
    passes = "passes" if final and final.exit_code == 0 else "does not pass"
    return Proof(
        run_id=evidence.run_id,
        branch=evidence.branch,
        base=evidence.base,
        commit=evidence.commit,
        tasks=tuple(map(_task, evidence.tasks)),
        undone=tuple(f"{one.task.id}: {one.task.title}" for one in evidence.undone),
        suite=f"{passes}: {final.command}" if final else "",
        models=evidence.models,
        usage=evidence.usage,
    )


def _task(proof: TaskEvidence) -> TaskProof:
    strength = proof.strength
    return TaskProof(
        task=proof.task.id,
        title=proof.task.title,
        red=tuple(case.id for case in proof.red.brief().cases) if proof.red else (),
        green=proof.green.command,
        mutants_killed=strength.count(Fate.KILLED, Fate.TIMEOUT) if strength else 0,
        mutants_survived=tuple(m.sentence() for m in strength.survivors) if strength else (),
        review=proof.review.summary,
        audit=proof.audit.summary,
        remarks=(*proof.review.findings, *proof.audit.findings),
    )
