"""Node's own test runner, vitest and jest, each with a signed report of ours."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from actors.runners.python import script
from actors.runners.reporting import clean
from actors.runners.runner import Place, Ran
from actors.runners.signed import SignedRun
from orchestration.ids import CommitId
from orchestration.proof import TestReport

_ENV = {"CI": "1", "NO_COLOR": "1"}
"""Snapshots are compared and never written; nobody waits for keys; failures are plain text."""
_NONE_YET = "--passWithNoTests"
"""A repository without tests is to have its first ones written."""


@dataclass(frozen=True, slots=True)
class NodeRunner:
    """`node --test` (Node 20 or newer). `args` name files or options."""

    args: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        return shlex.join(("node", "--test", *self.args))

    async def run(
        self, place: Place, commit: CommitId, *, timeout_s: float, only: Sequence[str] = ()
    ) -> TestReport:
        def argv(folder: str) -> list[str]:
            return [
                "node", "--test", f"--test-reporter=./{folder}/reporter.mjs",
                f"--test-reporter-destination={folder}/report", *self.args, *_files(only),
            ]  # fmt: skip

        return await _reported(
            place, commit, self.command, "inside_node.mjs", argv, timeout_s=timeout_s
        )


@dataclass(frozen=True, slots=True)
class VitestRunner:
    """vitest of the repository's own `node_modules`."""

    args: tuple[str, ...] = ()
    program: ClassVar[str] = "node_modules/vitest/vitest.mjs"

    @property
    def command(self) -> str:
        return shlex.join(("npx", "vitest", "run", *self.args))

    async def run(
        self, place: Place, commit: CommitId, *, timeout_s: float, only: Sequence[str] = ()
    ) -> TestReport:
        def argv(folder: str) -> list[str]:
            return [
                "node", self.program, "run", f"--reporter=./{folder}/reporter.mjs",
                "--coverage.enabled=false", "--bail=0", "--retry=0", _NONE_YET,
                *self.args, *_files(only),
            ]  # fmt: skip

        return await _reported(
            place, commit, self.command, "inside_vitest.mjs", argv, timeout_s=timeout_s
        )


@dataclass(frozen=True, slots=True)
class JestRunner:
    """jest (29 or newer) of the repository's own `node_modules`."""

    args: tuple[str, ...] = ()
    program: ClassVar[str] = "node_modules/jest/bin/jest.js"

    @property
    def command(self) -> str:
        return shlex.join(("npx", "jest", *self.args))

    async def run(
        self, place: Place, commit: CommitId, *, timeout_s: float, only: Sequence[str] = ()
    ) -> TestReport:
        def argv(folder: str) -> list[str]:
            exactly = ["--runTestsByPath", *_files(only)] if only else []
            return [
                "node", self.program, "--ci", "--coverage=false", "--bail=0", _NONE_YET,
                # With a limit on memory, tests never run in the process that reports.
                "--workerIdleMemoryLimit=1GB", f"--reporters=./{folder}/reporter.mjs",
                *self.args, *exactly,
            ]  # fmt: skip

        return await _reported(
            place, commit, self.command, "inside_jest.mjs", argv, timeout_s=timeout_s
        )


async def _reported(
    place: Place,
    commit: CommitId,
    command: str,
    reporter: str,
    argv: Callable[[str], Sequence[str]],
    *,
    timeout_s: float,
) -> TestReport:
    """Run a program that loads our reporter; it is given the folder with reporter and key."""
    signed = SignedRun.fresh(place)
    try:
        await place.write_file(f"{signed.folder}/reporter.mjs", script(reporter))
        await place.write_file(f"{signed.folder}/signing.mjs", script("inside_signing.mjs"))
        await place.write_file(f"{signed.folder}/key", signed.key.encode(), mode=0o600)
        ran = await place.exec(argv(signed.folder), timeout_s=timeout_s, env=_ENV)
        return await signed.conclude(
            ran, commit, command, timeout_s=timeout_s, why_silent=_why_silent(ran, argv(""))
        )
    finally:
        await signed.clean_up()


def _files(only: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(test.partition("::")[0] for test in only))


def _why_silent(ran: Ran, argv: Sequence[str]) -> str:
    if ran.exit_code == 127:
        return "there is no node in the sandbox; add a toolchain that has it"
    program = argv[1]
    if program.startswith("node_modules/") and f"{program}'".encode() in ran.stderr:
        return f"{program} is not there: the repository's packages are not installed"
    said = clean(ran.stderr or ran.stdout, 300)
    return f"it ended with code {ran.exit_code} before {program} could report: {said}"
