"""The players as a team sees them: plain objects in tests, typed handles on Ray."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from hashlib import sha256
from typing import Any, Protocol, TypeVar, cast

from actors.assignments import (
    ChallengeJob,
    CodeJob,
    ExamineJob,
    Handed,
    PersonNeededError,
    PlanJob,
    VerifyJob,
)
from actors.memory import IndexReport, Lesson, RecallReport, SourceFile
from actors.models.budget import RunBudgetError
from actors.models.ledger import BUDGET
from actors.pool import Pool
from orchestration.approval import Answer, ApprovalRequest
from orchestration.ids import StepGrant
from orchestration.messages import Plan
from orchestration.proof import Review, TestReport
from orchestration.strength import Strength
from orchestration.workflow.step import StepContext, Suspension

V = TypeVar("V", bound=Callable[..., Awaitable[Any]])


class ArchitectPort(Protocol):
    """Turns a request into a plan."""

    async def plan(self, job: PlanJob, grant: StepGrant) -> Plan: ...


class CoderPort(Protocol):
    """Writes tests and code."""

    async def write_test(self, job: CodeJob, grant: StepGrant) -> Handed: ...
    async def write_code(self, job: CodeJob, grant: StepGrant) -> Handed: ...


class ReviewerPort(Protocol):
    """Proves and judges changes."""

    async def verify(self, job: VerifyJob, grant: StepGrant) -> TestReport: ...
    async def challenge(self, job: ChallengeJob, grant: StepGrant) -> Strength: ...
    async def review(self, job: ExamineJob, grant: StepGrant) -> Review: ...


class SecurityPort(Protocol):
    """Looks at changes as an enemy would."""

    async def audit(self, job: ExamineJob, grant: StepGrant) -> Review: ...


class MemoryPort(Protocol):
    """Memory as a team uses it: `recall` never raises, the other verbs may raise `MantaError`s."""

    async def recall(self, repository: str, query: str, *, limit: int = 8) -> RecallReport: ...
    async def manifest(self, repository: str) -> dict[str, str]: ...
    async def index(
        self,
        repository: str,
        commit: str,
        files: Mapping[str, SourceFile],
        removed: Sequence[str] = (),
    ) -> IndexReport: ...
    async def remember(self, repository: str, lesson: Lesson) -> None: ...


@dataclass
class Pools:
    """A role's workers are leased."""

    architects: Pool[ArchitectPort]
    coders: Pool[CoderPort]
    reviewers: Pool[ReviewerPort]
    analysts: Pool[SecurityPort]

    async def close(self) -> None:
        for pool in (self.architects, self.coders, self.reviewers, self.analysts):
            await pool.close()


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
            ctx.suspend(
                Suspension(label=budget_label(ctx.grant), payload=question.model_dump_json())
            )

    return cast("V", asking)


def budget_question(error: RunBudgetError, grant: StepGrant) -> ApprovalRequest:
    """Whether the run may spend more. Each agent that finds nothing left asks for itself."""
    return ApprovalRequest(
        gate=BUDGET,
        title="The run's budget is spent.",
        body=str(error),
        digest=sha256(f"{BUDGET} {grant.step_key}".encode()).hexdigest(),
    )


def budget_label(grant: StepGrant) -> str:
    """How the question is addressed."""
    return f"{BUDGET}-{sha256(grant.step_key.encode()).hexdigest()[:6]}"


def is_refused(question: ApprovalRequest, answer: object) -> bool:
    """Whether the step's last answer (JSON) is a no to this very question."""
    if not isinstance(answer, str):
        return False
    said = json.loads(answer)
    return said.get("digest") == question.digest and said.get("answer") != Answer.APPROVE
