"""One run's team: the crew of the score, played by pooled workers over the run's own repository."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from actors.assignments import Brief, ChallengeJob, CodeJob, ExamineJob, Handed, PlanJob, VerifyJob
from actors.briefs import TEXT_SHOWN
from actors.evidence import evidence_of, lesson_of, summary_of
from actors.excerpts import Excerpts, excerpts
from actors.guidance import nested_guidance, readable
from actors.memory.feeding import BUDGET_S, Snapshot, feed
from actors.ports import CoderPort, MemoryPort, Pools
from actors.questions import against_deletions, asks
from actors.run_repository import RunRepository
from actors.runners.affected import affected
from actors.tools.text import neutralise
from orchestration.errors import MantaError, NotFoundError
from orchestration.gates import already_failing, file_of
from orchestration.ids import TaskId
from orchestration.messages import (
    Assigned,
    CodeTask,
    Delivery,
    Dossier,
    FeatureRequest,
    Frozen,
    Patch,
    Plan,
    Recollection,
    TreeRef,
    Work,
)
from orchestration.passages import added_tests, green_verdict, grounds
from orchestration.proof import Review, TestReport
from orchestration.strength import Strength
from orchestration.workflow.facts import read_output
from orchestration.workflow.journal import Journal, RecordKind
from orchestration.workflow.step import StepContext

CHALLENGERS = 4
"""Reviewers' slots that one challenge takes at most."""
LONG_S = 20.0
"""A suite that takes longer is begun with the tests that a change most likely touches."""
MERGED = "merged"
"""Key of the recorded effect by which the integration branch moves."""


class Merged(Frozen):
    """What one attempt to merge came to."""

    tree: TreeRef | None = None
    trouble: tuple[str, ...] = ()


class Team:
    """Implements the score's `Crew`."""

    def __init__(
        self,
        request: FeatureRequest,
        *,
        head: TreeRef,
        repository: RunRepository,
        journal: Journal,
        pools: Pools,
        memory: MemoryPort,
    ) -> None:
        self.request = request
        self.repository, self.journal = repository, journal
        self.pools, self.memory = pools, memory
        self.brief = Brief(
            request=request.text,
            repository=request.repository,
            guidance=request.guidance,
            limits=request.limits,
            policy=request.policy,
            test_command=request.test_command,
        )
        self._head = head
        self._merging = asyncio.Lock()
        self._reports: dict[str, TestReport] = {}
        self._testing: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._testers: dict[TaskId, CoderPort] = {}
        """Who wrote a task's test, where somebody else is to write its code."""

    # --- planning ------------------------------------------------------------------------------

    async def recall(self, dossier: Dossier, ctx: StepContext, /) -> tuple[Recollection, ...]:
        if trouble := await self._index(dossier.tree):
            await ctx.note(f"memory is not up to date: {trouble}")
        query = "\n".join((self.request.text, *dossier.notes))
        report = await self.memory.recall(self.request.memory_key, query)
        await ctx.note(report.note or f"memory: {len(report.found)} pieces recalled")
        return report.found

    @asks
    async def plan(self, dossier: Dossier, ctx: StepContext, /) -> Plan:
        async with self.pools.architects.lease() as architect:
            return await architect.plan(PlanJob(brief=self.brief, dossier=dossier), ctx.grant)

    # --- building ------------------------------------------------------------------------------

    async def begin(self, assigned: Assigned, ctx: StepContext, /) -> Work:
        return Work(**dict(assigned), base=self._head)

    @asks
    async def write_test(self, work: Work, ctx: StepContext, /) -> Patch:
        files = await self._excerpts(work, work.base, tests=True)
        job = CodeJob(
            brief=await self._brief(work, work.task.files),
            task=work.task,
            tree=work.base,
            feedback=work.feedback,
            files=files.whole,
            outlines=files.outlined,
            builds_on=work.builds_on,
            others=work.others,
            apart=self.request.independent_tests,
        )
        async with self.pools.coders.lease() as coder:
            if job.apart:
                self._testers[work.task.id] = coder
            handed = await coder.write_test(job, ctx.grant)
        return await self._patch(work, work.base, handed, work.base)

    @asks
    async def write_code(self, work: Work, ctx: StepContext, /) -> Patch:
        """On top of the test, or of the last round's code; with what was merged meanwhile."""
        started = work.patch or work.test
        start = started.tree if started else work.base
        moved = work.patch is not None and work.patch.base != work.base
        upstream = work.base if moved else None
        files = await self._excerpts(work, start, tests=False)
        job = CodeJob(
            brief=await self._brief(work, work.task.files),
            task=work.task,
            tree=start,
            upstream=upstream,
            feedback=work.feedback,
            tests=await self.repository.texts(work.test) if work.test else {},
            files=files.whole,
            outlines=files.outlined,
            builds_on=work.builds_on,
            others=work.others,
            candidate=work.candidate,
            apart=self.request.independent_tests,
            first_tests=await self._lacks_tests(work, ctx),
        )
        async with self.pools.coders.lease(besides=self._testers.get(work.task.id)) as coder:
            handed = await coder.write_code(job, ctx.grant)
        return await self._patch(work, start, handed, *grounds(work))

    async def _excerpts(self, work: Work, tree: TreeRef, *, tests: bool) -> Excerpts:
        """The files that a part of the task is expected to change, as its coder is shown them."""
        task = work.task
        named = [symbol.rpartition(":")[0] for symbol in task.symbols]
        paths = list(dict.fromkeys([*task.files, *filter(None, named)]))
        texts = await self.repository.present(tree, paths, tests=tests)
        return await asyncio.to_thread(excerpts, texts, task.symbols, TEXT_SHOWN)

    async def _lacks_tests(self, work: Work, ctx: StepContext) -> bool:
        """Whether the task may add the first tests of a repository that has none."""
        if work.task.changes_behaviour:
            return False
        before = await self.verify(work.base, ctx)
        return not before.cases and not before.problem

    async def verify(self, tree: TreeRef, ctx: StepContext, /) -> TestReport:
        flaky = (await self._tested(self.request.base, ctx)).flaky
        report = await self._tested(tree, ctx)
        return report.model_copy(update={"commit": tree.commit, "flaky": flaky})

    async def _tested(self, tree: TreeRef, ctx: StepContext) -> TestReport:
        """The same files are tested once; those of the base more often, to know what is flaky."""
        content = await self.repository.content(tree)
        runs = self.request.limits.base_runs if tree == self.request.base else 1
        async with self._testing[content]:
            if content not in self._reports:
                first = await self._affected(tree)
                async with self.pools.reviewers.lease() as reviewer:
                    job = VerifyJob(brief=self.brief, tree=tree, runs=runs, first=first)
                    self._reports[content] = await reviewer.verify(job, ctx.grant)
            elif tree != self.request.base:
                await ctx.note(f"the files at {tree.commit[:12]} have been tested already")
        return self._reports[content]

    async def _affected(self, tree: TreeRef) -> tuple[str, ...]:
        """Where the suite takes long: the tests that this tree's changes most likely touch."""
        base = self.request.base
        known = self._reports.get(await self.repository.content(base))
        if known is None or known.seconds < LONG_S:
            return ()
        changed = (await self.repository.patch(base, tree, "", "")).paths
        files = [entry.path for entry in await self.repository.files(tree)]
        return affected(changed, files, failing={file_of(id_) for id_ in already_failing(known)})

    async def without(self, work: Work, paths: Sequence[str], ctx: StepContext, /) -> TreeRef:
        if work.patch is None:
            raise ValueError("nothing to leave files out of")
        return await self.repository.restored(work.patch.tree, work.base, paths)

    async def challenge(self, work: Work, ctx: StepContext, /) -> Strength:
        """On as many slots as are idle now; this step's own one is the first."""
        patch, test = work.patch, work.test
        if patch is None or test is None:
            raise ValueError("a challenge without code and tests")
        added = await self.repository.added_lines(work.base, patch.tree)
        parts = min(1 + self.pools.reviewers.idle, CHALLENGERS)
        jobs = [
            ChallengeJob(
                brief=self.brief,
                base=work.base.commit,
                tree=patch.tree,
                changes=patch.changes,
                added={path: tuple(lines) for path, lines in added.items()},
                tests=(*test.paths, *added_tests(work)),
                part=part,
                parts=parts,
            )
            for part in range(parts)
        ]
        try:
            async with asyncio.TaskGroup() as group:
                asked = [group.create_task(self._challenge(job, ctx)) for job in jobs]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return sum((one.result() for one in asked), Strength())

    async def _challenge(self, job: ChallengeJob, ctx: StepContext) -> Strength:
        async with self.pools.reviewers.lease() as reviewer:
            return await reviewer.challenge(job, ctx.grant)

    @asks
    async def review(self, work: Work, ctx: StepContext, /) -> Review:
        job = await self._examine(work)
        async with self.pools.reviewers.lease() as reviewer:
            return await reviewer.review(job, ctx.grant)

    @asks
    async def audit(self, work: Work, ctx: StepContext, /) -> Review:
        job = await self._examine(work)
        async with self.pools.analysts.lease() as analyst:
            return await analyst.audit(job, ctx.grant)

    # --- merging and delivering ------------------------------------------------------------------

    async def merge(self, work: Work, ctx: StepContext, /) -> Work:
        if trouble := await against_deletions(work, self.request.policy, self.journal, ctx):
            return work.having(feedback=trouble)
        async with self._merging:
            head = self._head
            merged = await ctx.effect(MERGED, lambda: self._merge(work, head, ctx), Merged)
            if merged.tree is not None:
                self._head = merged.tree
                return work.having(merged=merged.tree, feedback=())
            test = await self._rebased(work, head)
            return work.having(feedback=merged.trouble, base=head, test=test)

    async def integrated(self, ctx: StepContext, /) -> TreeRef:
        return self._head

    async def diff(self, dossier: Dossier, ctx: StepContext, /) -> str:
        diff = await self.repository.diff(self.request.base, dossier.tree)
        return f"{summary_of(dossier)}\n\n{neutralise(diff)}"

    async def deliver(self, dossier: Dossier, ctx: StepContext, /) -> Delivery:
        branch = f"manta/{self.request.run_id}"
        bundle = await self.repository.bundle(self.request.base, dossier.tree, branch)
        # A fork's dossier may still name the run it came from.
        dossier = dossier.having(request=self.request)
        evidence = await evidence_of(self.journal, dossier, branch)
        delivery = Delivery(
            run_id=self.request.run_id,
            branch=branch,
            tree=dossier.tree,
            bundle=await self.journal.put_blob(bundle),
            evidence=await self.journal.put_blob(evidence.model_dump_json(indent=1).encode()),
            summary=summary_of(dossier),
            undone=tuple(f"{u.task.id}: {u.task.title}" for u in dossier.undone),
        )
        try:
            await self._learn(dossier)
        except MantaError as error:
            await ctx.note(f"memory could not learn from this run: {error}")
        return delivery

    # --- pieces ----------------------------------------------------------------------------------

    async def _patch(self, work: Work, start: TreeRef, handed: Handed, *on: TreeRef) -> Patch:
        """What a coder made of `start`, as one commit of ours on these; empty if nothing.

        Whatever was found wanting before, such as a leaked key, is thus in no delivered history.
        """
        tree, title = start, work.patch.title if work.patch else handed.title
        if handed.commit:
            message = f"{title}\n\n{handed.notes}\n\n{self._trailers(work.task)}"
            theirs, parents = start.plus(handed.commit, handed.bundle), [tree.commit for tree in on]
            tree = await self.repository.adopt(on[0], theirs, message, parents[1:])
        return await self.repository.patch(work.base, tree, title, handed.notes)

    async def _merge(self, work: Work, head: TreeRef, ctx: StepContext) -> Merged:
        """A merge commit on `head` whose tree has been tested, or the reasons against it."""
        if work.patch is None:
            raise ValueError("a merge without a patch")
        message = f"Merge task {work.task.id}: {work.task.title}\n\n{self._trailers(work.task)}"
        tree, conflicts = await self.repository.merge(head, work.patch.tree, message)
        if tree is None:
            return Merged(
                trouble=(f"Merging with others' work conflicts in: {', '.join(conflicts)}.",)
            )
        before, after = await self.verify(head, ctx), await self.verify(tree, ctx)
        may_add_tests = self.request.limits.killed_share > 0
        verdict = green_verdict(work, before, after, may_add_tests=may_add_tests)
        if not verdict.passed:
            return Merged(trouble=("Merged with others' work, it fails.", *verdict.reasons))
        return Merged(tree=tree)

    async def _rebased(self, work: Work, head: TreeRef) -> Patch | None:
        """The frozen tests as they stand on the moved branch; unchanged where they conflict."""
        test = work.test
        if test is None:
            return None
        message = f"{test.title}\n\n{self._trailers(work.task)}"
        tree, _ = await self.repository.merge(head, test.tree, message)
        if tree is None:
            return test
        return await self.repository.patch(head, tree, test.title, test.notes)

    async def _examine(self, work: Work) -> ExamineJob:
        patch, red, green = work.patch, work.red, work.green
        if patch is None or green is None:
            raise ValueError("a review without its proof")
        return ExamineJob(
            brief=await self._brief(work, patch.paths),
            task=work.task,
            base=work.base.commit,
            tree=patch.tree,
            diff=await self.repository.diff(work.base, patch.tree),
            changes=patch.changes,
            added=await self.repository.added_lines(work.base, patch.tree),
            red=red,
            green=green,
            builds_on=work.builds_on,
            others=work.others,
        )

    async def _brief(self, work: Work, files: Sequence[str]) -> Brief:
        """What is told of one task: with the guides nearest to its files, as its base has them."""
        tree = work.base
        paths = readable(await self.repository.files(tree))
        nearer = await nested_guidance(
            paths, files, lambda path: self.repository.read(tree.commit, path)
        )
        both = "\n\n".join(part for part in (self.brief.guidance, nearer) if part)
        return self.brief.model_copy(update={"guidance": both})

    async def _index(self, tree: TreeRef) -> str:
        """Bring memory up to date with the files of a tree. Returns what hindered it, or ""."""
        try:
            async with asyncio.timeout(2 * BUDGET_S):
                files = await self.repository.files(tree)
                snapshot = Snapshot(tree.commit, files, self.repository)
                return (await feed(self.memory, self.request.memory_key, snapshot)).note
        except TimeoutError:
            return f"it took longer than {2 * BUDGET_S:.0f} s"
        except MantaError as error:
            return str(error)

    async def _learn(self, dossier: Dossier) -> None:
        """Lessons of this run for later ones."""
        await self._index(dossier.tree)
        for work in dossier.works:
            await self.memory.remember(self.request.memory_key, lesson_of(work, self.request))

    def _trailers(self, task: CodeTask) -> str:
        return f"Manta-Run: {self.request.run_id}\nManta-Task: {task.id}"


async def head_of(journal: Journal, request: FeatureRequest) -> TreeRef:
    """The integration branch, as the recorded merges have it; the base of a run yet to begin."""
    head = request.base
    try:
        effects = await journal.read(request.run_id, kinds=[RecordKind.EFFECT])
    except NotFoundError:
        return head
    for record in effects:
        facts, text = read_output(record.body)
        if facts["key"] == MERGED:
            body = await journal.get_blob(text.blob) if text.blob else text.inline or "{}"
            head = Merged.model_validate_json(body).tree or head
    return head
