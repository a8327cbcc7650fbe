"""THE STORY: how a request becomes a tested branch.

    recall ─ plan ─ [plan gate] ─ build each task ─ settle ─ conclude ─ [delivery gate] ─ deliver
                                      │
       write a failing test ─ red gate ─ ( attempt ─ merge )*
                                             │
          code ─ green gate ─ review ∥ audit ∥ mutants      (by several coders where it is hard)

Every loop has a cap. Whatever a round finds wanting goes back as feedback, word for word. What
cannot be built is planned anew once; then the rest is delivered without it, and says so.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from orchestration import gates
from orchestration.approval import Decision, Rule
from orchestration.asking import ask, heed, plan_text
from orchestration.crew import Crew
from orchestration.errors import (
    CircuitBreakerOpen,
    InfrastructureError,
    RejectedError,
    UntestableError,
)
from orchestration.messages import (
    Assigned,
    Delivery,
    Dossier,
    FeatureRequest,
    Limits,
    PlanDecision,
    Work,
)
from orchestration.passages import (
    BLOCK_AT,
    UNTESTABLE_FIX,
    added_tests,
    all_verdicts,
    best,
    candidate,
    candidates,
    changed_tests,
    error_class,
    green_verdict,
    has_test,
    is_agreed,
    is_clean,
    is_idle,
    is_merged,
    is_red,
    is_unsettled,
    keep,
    keep_all,
    needs_test,
    nothing_delivered,
    open_dossier,
    ordered,
    require_testable,
    task_after,
    task_id,
    tasks_of,
    with_works,
)
from orchestration.proof import TestReport
from orchestration.workflow.builder import Workflow, step
from orchestration.workflow.facts import Collected
from orchestration.workflow.retry import Retry
from orchestration.workflow.shape import Flow, StepNode
from orchestration.workflow.step import StepContext

Play = Callable[[Callable[..., Awaitable[Any]]], StepNode[Any, Any]]


def delivery(crew: Crew, limits: Limits, retry: Retry) -> Flow[FeatureRequest, Delivery]:
    """The feature-delivery workflow, played by `crew`; `retry` is for players that die."""
    score = Score(crew, limits)

    def play(verb: Callable[..., Awaitable[Any]]) -> StepNode[Any, Any]:
        return step(verb, retry=retry)

    planning = (
        Workflow("planning", Dossier)
        .then(play(score.plan))
        .then(step(score.ask_plan, answers=PlanDecision))
        .commit()
    )
    tasks = (
        Workflow("tasks", Dossier)
        .map(tasks_of)
        .foreach(
            building(crew, score, limits, play),
            concurrency=limits.parallel_tasks,
            key=task_id,
            after=task_after,
            collect=True,
        )
        .commit()
    )
    closing = (
        Workflow("closing", Dossier)
        .then(play(score.conclude))
        .then(step(score.ask_delivery, answers=Decision))
        .commit()
    )
    round_ = (
        Workflow("round", Dossier)
        .then(play(score.recall))
        .dountil(planning, is_agreed, at_most=limits.plan_rounds)
        .then(tasks, into=with_works)
        .then(score.settle)
        .branch(
            (is_unsettled, step(keep_all, id="unsettled")),
            (is_idle, step(keep_all, id="idle")),
            default=closing,
            id="closed",
        )
        .commit()
    )
    return (
        Workflow("delivery", FeatureRequest)
        .map(open_dossier)
        .dountil(round_, is_agreed, at_most=limits.plan_rounds + limits.replans)
        .branch((is_idle, score.deliver_nothing), default=play(crew.deliver), id="delivered")
        .commit()
    )


def building(crew: Crew, score: "Score", limits: Limits, play: Play) -> Flow[Assigned, Work]:
    """One task, from a failing test to its merge."""
    red = Workflow("red", Work).then(play(score.write_test)).then(play(score.prove_red)).commit()
    tested = Workflow("test", Work).dountil(red, is_red, at_most=limits.red_attempts).commit()
    strength = (
        Workflow("strength", Work)
        .branch(
            (has_test, play(score.challenge)),
            default=step(keep, id="unchallenged"),
            id="challenged",
        )
        .commit()
    )
    examine = (
        Workflow("examine", Work)
        .parallel(play(score.review), play(score.audit), *([strength] if limits.mutants else []))
        .map(all_verdicts)
        .then(score.agree)
        .commit()
    )
    attempt = (
        Workflow("attempt", Work)
        .then(play(score.write_code))
        .then(play(score.prove_green))
        .branch((is_clean, examine), default=step(keep, id="unexamined"), id="examined")
        .commit()
    )
    green = (
        Workflow("green", Work)
        .map(score.candidates)
        .foreach(
            attempt, concurrency=limits.candidates, key=candidate, collect=True, until=is_clean
        )
        .then(score.choose)
        .branch((is_clean, play(crew.merge)), default=step(keep, id="unmerged"), id="merged")
        .commit()
    )
    return (
        Workflow("build", Assigned)
        .then(play(crew.begin))
        .branch((needs_test, tested), default=step(keep, id="untested"), id="tested")
        .dountil(green, is_merged, at_most=limits.repairs)
        .commit()
    )


class Score:
    """The story's own steps: a crew verb, then a pure verdict on what it brought."""

    def __init__(self, crew: Crew, limits: Limits) -> None:
        self.crew, self.limits = crew, limits

    async def recall(self, dossier: Dossier, ctx: StepContext) -> Dossier:
        return dossier.having(recalled=await self.crew.recall(dossier, ctx))

    async def plan(self, dossier: Dossier, ctx: StepContext) -> Dossier:
        plan = ordered(await self.crew.plan(dossier, ctx))
        if plan.impossible:
            raise RejectedError(
                f"the architect finds nothing to plan: {plan.impossible}",
                "change the request, then run again",
            )
        return dossier.having(plan=plan, notes=(), undone=())

    async def ask_plan(self, dossier: Dossier, ctx: StepContext) -> Dossier:
        plan, policy = dossier.plan, dossier.request.policy
        if plan is None:
            raise ValueError("a plan gate without a plan")
        tests = sorted({path for task in plan.tasks for path in task.existing_tests})
        about_tests = policy.rule("tests") if tests else Rule.ALLOW
        if about_tests is Rule.DENY:
            raise RejectedError(f"policy forbids to change existing tests: {', '.join(tests)}")
        if Rule.ASK not in {policy.rule("plan"), about_tests}:
            return dossier.having(notes=())
        title = "Approve this plan?" + (f" It changes {', '.join(tests)}" if tests else "")
        decision = ask("plan", title, plan_text(plan), PlanDecision, ctx)
        if decision.edited is not None:
            dossier = dossier.having(plan=decision.edited)
        return heed(decision, dossier)

    async def write_test(self, work: Work, ctx: StepContext) -> Work:
        return work.having(test=await self.crew.write_test(work, ctx), feedback=())

    async def prove_red(self, work: Work, ctx: StepContext) -> Work:
        if work.test is None:
            raise ValueError("a red gate without a test")
        before = await self.crew.verify(work.base, ctx)
        require_testable(before)
        red = await self.crew.verify(work.test.tree, ctx)
        verdict = gates.red_gate(work.test, before, red)
        return work.having(red=red.brief(), feedback=verdict.reasons)

    def candidates(self, work: Work) -> list[Work]:
        return candidates(work, self.limits.candidates)

    async def write_code(self, work: Work, ctx: StepContext) -> Work:
        patch = await self.crew.write_code(work, ctx)
        return work.having(patch=patch, feedback=(), review=None, audit=None, strength=None)

    async def prove_green(self, work: Work, ctx: StepContext) -> Work:
        if work.patch is None:
            raise ValueError("a green gate without code")
        before = await self.crew.verify(work.base, ctx)
        require_testable(before)
        green = await self.crew.verify(work.patch.tree, ctx)
        reasons = self._green(work, before, green)
        if not reasons and (tests := changed_tests(work)):
            # What the new tests changed of old ones must hold as it was, too.
            old = await self.crew.without(work, tests, ctx)
            reasons = gates.keep_gate(before, await self.crew.verify(old, ctx)).reasons
        if not reasons and (tests := added_tests(work)):
            # The frozen tests must not need what other new tests do when they are imported.
            lean = await self.crew.without(work, tests, ctx)
            reasons = self._green(work, before, await self.crew.verify(lean, ctx))
        return work.having(green=green.brief(), feedback=reasons)

    def _green(self, work: Work, before: TestReport, after: TestReport) -> tuple[str, ...]:
        may_add_tests = self.limits.killed_share > 0
        return green_verdict(work, before, after, may_add_tests=may_add_tests).reasons

    async def review(self, work: Work, ctx: StepContext) -> Work:
        return work.having(review=await self.crew.review(work, ctx))

    async def audit(self, work: Work, ctx: StepContext) -> Work:
        return work.having(audit=await self.crew.audit(work, ctx))

    async def challenge(self, work: Work, ctx: StepContext) -> Work:
        return work.having(strength=await self.crew.challenge(work, ctx))

    async def agree(self, work: Work) -> Work:
        """What blocks becomes the coder's feedback."""
        if work.review is None or work.audit is None:
            raise ValueError("a review gate without both verdicts")
        verdict = gates.review_gate(work.review, work.audit, BLOCK_AT)
        strong = gates.strength_gate(work.strength, self.limits.killed_share)
        return work.having(feedback=(*verdict.reasons, *strong.reasons))

    async def choose(self, attempts: list[Collected[Work]]) -> Work:
        """Go on with the best of the round's attempts."""
        return best(attempts)

    async def settle(self, dossier: Dossier, ctx: StepContext) -> Dossier:
        """What could not be built is planned anew; after that, done without."""
        undone = dossier.undone
        for one in undone:
            kind = error_class(one.error)
            if issubclass(kind, InfrastructureError):
                raise kind(f"task {one.task.id} failed: {one.why}")
            if issubclass(kind, UntestableError) and not dossier.works:
                raise kind(one.why, UNTESTABLE_FIX)
        if undone and dossier.replanned < self.limits.replans:
            notes = tuple(f"{one.task.id} ({one.task.title}): {one.why}" for one in undone)
            await ctx.note(f"planning anew: {', '.join(one.task.id for one in undone)} failed")
            return dossier.having(notes=notes, replanned=dossier.replanned + 1)
        if undone and not dossier.works:
            raise CircuitBreakerOpen(
                "no task could be built. " + " ".join(f"{u.task.id}: {u.why}" for u in undone),
                "make the request smaller or clearer, or allow more rounds",
            )
        return dossier

    async def conclude(self, dossier: Dossier, ctx: StepContext) -> Dossier:
        """The whole suite on the integration branch, whatever was merged last."""
        tree = await self.crew.integrated(ctx)
        final = await self.crew.verify(tree, ctx)
        return dossier.having(tree=tree, final=final.brief())

    async def ask_delivery(self, dossier: Dossier, ctx: StepContext) -> Dossier:
        if dossier.request.policy.rule("delivery") is Rule.ALLOW:
            return dossier.having(notes=())
        diff = await self.crew.diff(dossier, ctx)
        decision = ask("delivery", "Deliver this change?", diff, Decision, ctx)
        return heed(decision, dossier)

    async def deliver_nothing(self, dossier: Dossier) -> Delivery:
        return nothing_delivered(dossier)
