"""A delivery's claims, proven again from its commits: no model, no run, no trust in who made it.

For each task the tests are run at its base, at its frozen tests, at its code and around its merge,
each in a fresh sandbox, and judged by the same gates. Equal trees are tested once.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from actors.evidence import Evidence
from actors.git.repository import BareRepository
from actors.hands import ENVIRONMENT
from actors.run_repository import RunRepository
from actors.runners.suite import run_suite
from actors.sandbox.preparing import prepare, run_setup
from actors.sandbox.protocol import Sandbox, SandboxProvider, SandboxSpec
from orchestration import gates
from orchestration.errors import GitError
from orchestration.frozen import Frozen
from orchestration.ids import CommitId
from orchestration.messages import Patch, Preparation, TaskEvidence, TreeRef
from orchestration.proof import TestReport

SPARE_S = 600.0
"""A sandbox that nobody ends lives this much longer than its tests may."""
Test = Callable[[CommitId], Awaitable[TestReport]]
"""Run the whole suite at a commit, in a fresh sandbox."""


class Claim(Frozen):
    """One thing that the evidence says, and whether it is so."""

    what: str
    holds: bool
    why: tuple[str, ...] = ()
    """Where it does not hold, why."""


@dataclass
class Verification:
    """Evidence beside a repository that has its commits."""

    evidence: Evidence
    repository: RunRepository
    test: Test
    _reports: dict[str, TestReport] = field(default_factory=dict[str, TestReport])

    async def claims(self) -> AsyncGenerator[Claim]:
        """Each claim once it has been looked at; the branch first, then task by task."""
        yield await self._branch()
        for task in self.evidence.tasks:
            yield await self._frozen(task)
            if task.test_commit and task.red:
                yield await self._red(task, task.test_commit)
                yield await self._green(task, task.test_commit)
            else:
                yield await self._upkeep(task)
            yield await self._merged(task)
        yield await self._final()

    async def _branch(self) -> Claim:
        """The delivered commit is built on the base, and every task is part of it."""
        evidence, missing = self.evidence, list[str]()
        named = {
            evidence.base: "the base",
            **{t.merged: f"task {t.task.id}" for t in evidence.tasks},
        }
        for commit, name in named.items():
            if not await self.repository.contains(evidence.commit, commit):
                missing.append(f"{name} ({commit[:12]}) is not part of {evidence.commit[:12]}.")
        return _claim("the branch is the base and every task's work", missing)

    async def _frozen(self, task: TaskEvidence) -> Claim:
        """From the red commit to the merge nobody changed the tests."""
        changed: list[str] = []
        for commit in dict.fromkeys(filter(None, (task.test_commit, task.commit, task.merged))):
            there = {e.path: e.blob for e in await self.repository.files(_tree(commit))}
            changed += [
                f"{path} is another file at {commit[:12]} than the evidence says."
                for path, blob in task.test_files.items()
                if there.get(path) != blob
            ]
        return _claim(f"{task.task.id}: its tests stayed as they were frozen", changed)

    async def _red(self, task: TaskEvidence, test: CommitId) -> Claim:
        before, red = await self._tested(task.base), await self._tested(test)
        verdict = gates.red_gate(await self._patch(task.base, test), before, red)
        again = {case.id for case in red.with_outcome(*gates.FAILING)}
        claimed = task.red.with_outcome(*gates.FAILING) if task.red else ()
        gone = [
            f"{case.id} is said to have failed, and passes."
            for case in claimed
            if case.id not in again and case.id not in before.flaky
        ]
        reasons = [*verdict.reasons, *gone]
        return _claim(f"{task.task.id}: its tests fail without its code", reasons)

    async def _green(self, task: TaskEvidence, test: CommitId) -> Claim:
        before, red = await self._tested(task.base), await self._tested(test)
        after = await self._tested(task.commit)
        patch = await self._patch(task.base, task.commit)
        verdict = gates.green_gate(
            gates.freeze(await self._patch(task.base, test)),
            patch,
            before,
            after,
            red,
            settings_changed=patch.settings_changed,
            may_change=task.task.existing_tests,
            may_add_tests=True,
        )
        return _claim(f"{task.task.id}: its tests pass with its code", verdict.reasons)

    async def _upkeep(self, task: TaskEvidence) -> Claim:
        before, after = await self._tested(task.base), await self._tested(task.commit)
        patch = await self._patch(task.base, task.commit)
        reasons = gates.upkeep_gate(patch, before, after).reasons
        return _claim(f"{task.task.id}: it leaves the tests alone, and all passing", reasons)

    async def _merged(self, task: TaskEvidence) -> Claim:
        what = f"{task.task.id}: merging it broke nothing"
        parents = await self.repository.parents(task.merged)
        if not parents:
            return _claim(what, [f"{task.merged[:12]} is not built on anything."])
        before, after = await self._tested(parents[0]), await self._tested(task.merged)
        free = {
            case.id for case in before.cases if gates.file_of(case.id) in task.task.existing_tests
        }
        known = before.model_copy(update={"flaky": (*before.flaky, *sorted(free))})
        return _claim(what, gates.keep_gate(known, after).reasons)

    async def _final(self) -> Claim:
        """The whole suite on the branch ends as it is said to, and proves every task."""
        said, now = self.evidence.final, await self._tested(self.evidence.commit)
        reasons = list(_unlike(said, now)) if said else []
        return _claim("the whole suite on the branch ends as reported", reasons)

    async def _tested(self, commit: CommitId) -> TestReport:
        content = await self.repository.content(_tree(commit))
        if content not in self._reports:
            self._reports[content] = await self.test(commit)
        flaky = self.evidence.final.flaky if self.evidence.final else ()
        return self._reports[content].model_copy(update={"commit": commit, "flaky": flaky})

    async def _patch(self, base: CommitId, commit: CommitId) -> Patch:
        return await self.repository.patch(_tree(base), _tree(commit), "Change", "")


@dataclass
class FreshCheckouts:
    """Runs the suite at any commit of a repository, each time in a sandbox made for that."""

    provider: SandboxProvider
    repository: BareRepository
    command: str | None
    """Of the tests; None to detect it."""
    timeout_s: float
    toolchains: tuple[str, ...] = ()
    setup: Preparation | None = None
    """How a checkout is made ready, where it has to be."""
    _snapshot: str = ""
    _preparing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def test(self, commit: CommitId) -> TestReport:
        """The report of one run.

        Raises:
            UsageError: there are no tests that we recognise, or the set-up command failed.
        """
        spec = SandboxSpec(
            labels={"role": "verification", "by": secrets.token_hex(8)},
            env=ENVIRONMENT,
            toolchains=self.toolchains,
            ttl_s=self.timeout_s + SPARE_S,
        )
        bundle = await self.repository.bundle(None, commit)
        sandbox = await self._open(spec, bundle, commit)
        try:
            return await run_suite(sandbox, commit, command=self.command, timeout_s=self.timeout_s)
        finally:
            await sandbox.terminate()

    async def _open(self, spec: SandboxSpec, bundle: bytes, commit: CommitId) -> Sandbox:
        if self.setup and self.provider.capabilities.snapshot:
            async with self._preparing:
                if not self._snapshot:
                    made = await prepare(self.provider, spec, [bundle], commit, self.setup)
                    self._snapshot = made.snapshot
            spec = replace(spec, snapshot=self._snapshot)
        sandbox = await self.provider.create(spec)
        await sandbox.git_import([bundle], commit)
        if self.setup and not self.provider.capabilities.snapshot:
            await run_setup(sandbox, self.setup)
        return sandbox


async def require_commits(evidence: Evidence, repository: RunRepository) -> None:
    """Check that the commits are here that the evidence speaks of.

    Raises:
        GitError: one is not.
    """
    named = [evidence.base, evidence.commit]
    for task in evidence.tasks:
        named += [task.base, task.commit, task.merged, *filter(None, [task.test_commit])]
    for commit in named:
        if not await repository.has(commit):
            raise GitError(
                f"commit {commit[:12]}, of which the evidence speaks, is not in the repository",
                "name the repository that has the delivered branch with --repo",
            )


def _unlike(said: TestReport, now: TestReport) -> Iterator[str]:
    if now.problem or now.ended != "exited":
        yield f"The test run says nothing: {now.problem or now.ended}."
        return
    then, again = _failing(said), _failing(now)
    steady = set(said.flaky)
    for id_ in sorted(again - then - steady):
        yield f"{id_} fails, and the evidence does not say so."
    for id_ in sorted(then - again - steady):
        yield f"{id_} is said to fail, and does not."
    if said.exit_code != now.exit_code and not steady:
        yield f"The run ended with code {now.exit_code}, and not with {said.exit_code}."


def _failing(report: TestReport) -> set[str]:
    return {case.id for case in report.with_outcome(*gates.FAILING)}


def _claim(what: str, reasons: Iterable[str]) -> Claim:
    why = tuple(reasons)
    return Claim(what=what, holds=not why, why=why)


def _tree(commit: CommitId) -> TreeRef:
    return TreeRef(commit=commit, bundles=())
