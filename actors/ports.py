"""The players as a team sees them: plain objects in tests, typed handles on Ray."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from actors.assignments import (
    ChallengeJob,
    CodeJob,
    ExamineJob,
    Handed,
    PlanJob,
    VerifyJob,
)
from actors.memory import PIECES, IndexReport, Lesson, RecallReport, SourceFile
from actors.pool import Pool
from orchestration.ids import StepGrant
from orchestration.messages import Plan
from orchestration.proof import Review, TestReport
from orchestration.strength import Strength


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

    async def recall(self, repository: str, query: str, *, limit: int = PIECES) -> RecallReport: ...
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

    def release_idle(self) -> None:
        """Make room on the cluster."""
        for pool in self._all():
            pool.release_idle()

    async def close(self) -> None:
        for pool in self._all():
            await pool.close()

    def _all(self) -> Iterable[Pool[Any]]:
        return (self.architects, self.coders, self.reviewers, self.analysts)
