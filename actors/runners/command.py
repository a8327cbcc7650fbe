"""Any command, by its exit code alone: less to say, and never less strict."""

from collections.abc import Sequence
from dataclasses import dataclass

from actors.runners.reporting import clean, ending, message_of, report
from actors.runners.runner import Place
from orchestration.ids import CommitId
from orchestration.proof import Outcome, TestCase, TestReport

_CANNOT_RUN = {126: "it may not be executed", 127: "there is no such command"}


@dataclass(frozen=True, slots=True)
class CommandRunner:
    """The whole suite is one case whose id is the command."""

    command: str
    """Text for `bash -c`, from the person or from the repository's own settings."""

    async def run(
        self, place: Place, commit: CommitId, *, timeout_s: float, only: Sequence[str] = ()
    ) -> TestReport:
        ran = await place.exec(self.command, timeout_s=timeout_s)
        if why := ending(ran, timeout_s):
            return report(ran, commit, self.command, problem=why)
        if ran.exit_code in _CANNOT_RUN:
            problem = f"{self.command!r} cannot run in the sandbox: {_CANNOT_RUN[ran.exit_code]}"
            return report(ran, commit, self.command, problem=problem)
        said = clean(ran.stdout + b"\n" + ran.stderr)
        case = TestCase(id=self.command, outcome=Outcome.PASSED)
        if ran.exit_code:
            message = message_of(f"exit code {ran.exit_code}", said)
            case = TestCase(id=self.command, outcome=Outcome.FAILED, message=message)
        return report(ran, commit, self.command, cases=[case])
