"""What the team asks people while it works: tool calls, deletions, a larger budget.

Decisions are read off the journal: they hold after any restart, and for exactly what was asked.
"""

import json
from collections.abc import Awaitable, Callable
from functools import wraps
from hashlib import sha256
from typing import Any, TypeVar, cast

from actors.assignments import PersonNeededError
from actors.models.budget import RunBudgetError
from actors.models.ledger import BUDGET
from actors.tools.approvals import decision_on
from actors.tools.text import neutralise
from orchestration.approval import Answer, ApprovalPolicy, ApprovalRequest, Rule
from orchestration.errors import RejectedError
from orchestration.ids import StepGrant
from orchestration.messages import Patch, Work
from orchestration.workflow.journal import Journal
from orchestration.workflow.step import StepContext, Suspension

V = TypeVar("V", bound=Callable[..., Awaitable[Any]])


def asks(verb: V) -> V:
    """A crew verb whose player may need a person: the step is suspended, and run again after."""

    @wraps(verb)
    async def asking(crew: object, value: object, ctx: StepContext, /) -> Any:
        try:
            return await verb(crew, value, ctx)
        except PersonNeededError as error:
            ctx.suspend(Suspension.model_validate_json(str(error.details[0])))
        except RunBudgetError as error:
            question = budget_question(error, ctx.grant)
            if is_refused(question, ctx.answer):
                raise
            label = f"{BUDGET}-{sha256(ctx.grant.step_key.encode()).hexdigest()[:6]}"
            ctx.suspend(Suspension(label=label, payload=question.model_dump_json()))

    return cast("V", asking)


def budget_question(error: RunBudgetError, grant: StepGrant) -> ApprovalRequest:
    """Whether the run may spend more. Each agent that finds nothing left asks for itself."""
    return ApprovalRequest(
        gate=BUDGET,
        title="The run's budget is spent.",
        body=str(error),
        digest=sha256(f"{BUDGET} {grant.step_key}".encode()).hexdigest(),
    )


def is_refused(question: ApprovalRequest, answer: object) -> bool:
    """Whether the step's last answer (JSON) is a no to this very question."""
    if not isinstance(answer, str):
        return False
    said = json.loads(answer)
    return said.get("digest") == question.digest and said.get("answer") != Answer.APPROVE


# --- deletions -----------------------------------------------------------------------------------


def deleted(patch: Patch) -> dict[str, str]:
    """Files that the patch takes away, whatever made it so: path to git blob. Moves are none."""
    kept = {change.new_blob for change in patch.changes if change.status == "A"}
    gone = [change for change in patch.changes if change.status == "D"]
    return {change.path: change.old_blob for change in gone if change.old_blob not in kept}


async def against_deletions(
    work: Work, policy: ApprovalPolicy, journal: Journal, ctx: StepContext
) -> tuple[str, ...]:
    """Why the work may not be merged because of files it deletes; asks where policy says so.

    Raises:
        RejectedError: a person wants the run to end.
    """
    gone = deleted(work.patch) if work.patch else {}
    rule = policy.rule("deletions")
    if not gone or rule is Rule.ALLOW:
        return ()
    paths = ", ".join(gone)
    if rule is Rule.DENY:
        return (f"Policy forbids deleting files. Put them back: {paths}.",)
    digest = sha256(json.dumps(sorted(gone.items())).encode()).hexdigest()
    label = f"delete-{work.task.id}"
    decision = await decision_on(journal, ctx.grant.run_id, label, digest)
    if decision is None:
        request = ApprovalRequest(
            gate="deletions",
            title=f"Task {work.task.id} deletes files. Allow it?",
            body=neutralise("\n".join(f"{path}  ({blob[:12]})" for path, blob in gone.items())),
            digest=digest,
        )
        ctx.suspend(Suspension(label=label, payload=request.model_dump_json()))
    match decision.answer:
        case Answer.APPROVE:
            return ()
        case Answer.CHANGES:
            return (f"{decision.by} wants these files kept: {paths}. {decision.comment}".strip(),)
        case Answer.REJECT:
            raise RejectedError(f"rejected by {decision.by}", decision.comment)
