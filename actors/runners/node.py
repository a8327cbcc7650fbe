"""Node's own test runner (`node --test`, Node 20 or newer), with a signed report."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from actors.runners.python import script
from actors.runners.reporting import clean
from actors.runners.runner import Place, Ran
from actors.runners.signed import SignedRun
from orchestration.ids import CommitId
from orchestration.proof import TestReport


@dataclass(frozen=True, slots=True)
class NodeRunner:
    """`node --test` with a reporter of ours. `args` name files or options."""

    args: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        return shlex.join(("node", "--test", *self.args))

    async def run(
        self, place: Place, commit: CommitId, *, timeout_s: float, only: Sequence[str] = ()
    ) -> TestReport:
        signed = SignedRun.fresh(place)
        reporter = f"{signed.folder}/reporter.mjs"
        try:
            await place.write_file(reporter, script("inside_node.mjs"))
            await place.write_file(f"{signed.folder}/key", signed.key.encode(), mode=0o600)
            argv = [
                "node", "--test", f"--test-reporter=./{reporter}",
                f"--test-reporter-destination={signed.folder}/report",
                *self.args, *(test.partition("::")[0] for test in only),
            ]  # fmt: skip
            ran = await place.exec(argv, timeout_s=timeout_s)
            return await signed.conclude(
                ran, commit, self.command, timeout_s=timeout_s, why_silent=_why_silent(ran)
            )
        finally:
            await signed.clean_up()


def _why_silent(ran: Ran) -> str:
    if ran.exit_code == 127:
        return "there is no node in the sandbox; add a toolchain that has it"
    said = clean(ran.stderr or ran.stdout, 300)
    return f"it ended with code {ran.exit_code} before node could report: {said}"
