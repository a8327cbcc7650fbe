"""Asking a person: a question bound to exactly its content, and what the answer makes of a run."""

import hashlib
from typing import TypeVar

from orchestration.approval import Answer, ApprovalRequest, Decision, Gate
from orchestration.errors import RejectedError
from orchestration.messages import Dossier, Plan
from orchestration.workflow.step import StepContext, Suspension

D = TypeVar("D", bound=Decision)


def ask(gate: Gate, title: str, body: str, kind: type[D], ctx: StepContext) -> D:
    """The person's decision on exactly this content; suspends until there is one."""
    digest = hashlib.sha256(body.encode()).hexdigest()
    if not isinstance(ctx.answer, kind):
        request = ApprovalRequest(gate=gate, title=title, body=body, digest=digest)
        ctx.suspend(Suspension(label=gate, payload=request.model_dump_json()))
    if ctx.answer.digest not in {"", digest}:
        raise RejectedError(
            f"the {gate} decision was about other content", "look at it again and decide anew"
        )
    return ctx.answer


def heed(decision: Decision, dossier: Dossier) -> Dossier:
    """What the decision makes of the run: go on, go round again with notes, or stop."""
    match decision.answer:
        case Answer.APPROVE:
            return dossier.having(notes=())
        case Answer.CHANGES:
            return dossier.having(notes=(decision.comment or "The person wants changes.",))
        case Answer.REJECT:
            raise RejectedError(f"rejected by {decision.by}", decision.comment)


def plan_text(plan: Plan) -> str:
    """The plan as people read it."""
    lines = [plan.summary, ""]
    for task in plan.tasks:
        after = f"  (after {', '.join(task.after)})" if task.after else ""
        lines += [f"• {task.id}: {task.title}{after}", *(f"    – {a}" for a in task.acceptance)]
        if task.files:
            lines.append(f"    files: {', '.join(task.files)}")
    return "\n".join(lines)
