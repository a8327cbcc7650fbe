"""A report that only our reporter can have written: it signs with a key made for one run.

The reporter gets the key before any test runs. A test that rewrites the report cannot sign it; one
that searches the runner's memory for the key still could, which is why tests and runner settings
are frozen, reviewers read the code, and the exit code must agree.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import BaseModel, ValidationError

from actors.runners.reporting import clean, ending, message_of, report
from actors.runners.runner import Place, Ran
from orchestration.ids import CommitId
from orchestration.proof import Outcome, TestCase, TestReport

MAX_REPORT = 50_000_000
_OUTCOMES = {
    ("setup", "failed"): Outcome.ERROR,
    ("teardown", "failed"): Outcome.ERROR,
    ("collect", "failed"): Outcome.ERROR,
    ("call", "failed"): Outcome.FAILED,
    ("call", "passed"): Outcome.PASSED,
}


class Record(BaseModel):
    """What the runner said of one phase of one test."""

    id: str
    when: Literal["collect", "setup", "call", "teardown"]
    outcome: str
    crash: str = ""
    text: str = ""

    def case(self) -> TestCase | None:
        """The test's case; None for what decides nothing, such as a run that was repeated."""
        outcome = _OUTCOMES.get((self.when, self.outcome))
        if self.outcome == "skipped":
            outcome = Outcome.SKIPPED
        if outcome is None:
            return None
        message = "" if outcome is Outcome.PASSED else message_of(self.crash, self.text)
        return TestCase(id=self.id, outcome=outcome, message=message)


class Body(BaseModel):
    """What is signed."""

    code: int | None = None
    """The exit code that the runner meant to end with, where the reporter knows it."""
    patched: tuple[str, ...] = ()
    """Functions of the runner that code under test has replaced."""
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class SignedRun:
    """A folder of ours in the workspace's `.git`, and a key, for one run of the tests."""

    place: Place
    folder: str
    key: str

    @classmethod
    def fresh(cls, place: Place) -> Self:
        return cls(place, f".git/manta-{secrets.token_hex(16)}", secrets.token_hex(32))

    async def read(self, name: str) -> bytes:
        """A file of the folder; empty when there is none."""
        try:
            return await self.place.read_file(f"{self.folder}/{name}", limit=MAX_REPORT)
        except FileNotFoundError:
            return b""

    async def conclude(
        self, ran: Ran, commit: CommitId, command: str, *, timeout_s: float, why_silent: str
    ) -> TestReport:
        """The run's report; `why_silent` says what a missing one means."""
        if why := ending(ran, timeout_s):
            running = clean(await self.read("running"), 300)
            where = f", in {running}" if running else ""
            return report(ran, commit, command, problem=f"{why}{where}")
        raw = await self.read("report")
        if not raw:
            return report(ran, commit, command, problem=why_silent)
        body = self.verified(raw)
        if body is None:
            return report(ran, commit, command, problem="the report was not written by the runner")
        problem = ""
        if body.code is not None and body.code != ran.exit_code:
            problem = f"the runner ended with code {body.code}, its process with {ran.exit_code}"
        if body.patched:
            problem = f"the code under test changes the test runner: {clean(body.patched[0], 200)}"
        cases = [case for record in body.records if (case := record.case())]
        return report(ran, commit, command, cases=cases, problem=problem)

    def verified(self, raw: bytes) -> Body | None:
        """The report's body, if its signature is right."""
        signature, _, body = raw.partition(b"\n")
        expected = hmac.new(self.key.encode(), body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(signature, expected.encode()):
            return None
        try:
            return Body.model_validate_json(body)
        except ValidationError:
            return None

    async def clean_up(self) -> None:
        await self.place.remove(self.folder)
