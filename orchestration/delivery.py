"""THE STORY: how a request becomes a tested branch.

    recall ─ plan ─ [plan gate] ─ build each task ─ conclude ─ [delivery gate] ─ deliver
                                      │
       write a failing test ─ red gate ─ ( code ─ green gate ─ review ∥ audit ─ merge )*

Every loop has a cap. Whatever a round finds wanting goes back as feedback, word for word.
"""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import cache
from importlib import import_module
from typing import Any, TypeVar

from orchestration import gates
from orchestration.approval import Answer, ApprovalRequest, Decision, Gate, Rule
from orchestration.crew import Crew
from orchestration.errors import InvalidWorkflowError, MantaError, RejectedError, UsageError
from orchestration.ids import RunId, TaskId
from orchestration.messages import (
    Assigned,
    Delivery,
    Dossier,
    FeatureRequest,
    Limits,
    Plan,
    PlanDecision,
    Work,
)
from orchestration.proof import Severity
from orchestration.workflow.builder import Workflow, step
from orchestration.workflow.journal import Journal
from orchestration.workflow.outcome import input_of
from orchestration.workflow.retry import Retry
from orchestration.workflow.shape import Flow, LoopView, StepNode
from orchestration.workflow.step import StepContext, Suspension

D = TypeVar("D", bound=Decision)

Play = Callable[[Callable[..., Awaitable[Any]]], StepNode[Any, Any]]

BLOCK_AT = Severity.MEDIUM
"""Findings this bad, or worse, go to repair."""


def delivery(crew: Crew, limits: Limits, retry: Retry) -> Flow[FeatureRequest, Delivery]:
    """The feature-delivery workflow, played by `crew`; `retry` is for players that die."""
    score = Score(crew)

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
        )
        .commit()
    )
    round_ = (
        Workflow("round", Dossier)
        .then(play(score.recall))
        .dountil(planning, is_agreed, at_most=limits.plan_rounds)
        .then(tasks, into=with_works)
        .then(play(score.conclude))
        .then(step(score.ask_delivery, answers=Decision))
        .commit()
    )
    return (
        Workflow("delivery", FeatureRequest)
        .map(open_dossier)
        .dountil(round_, is_agreed, at_most=limits.plan_rounds)
        .then(play(crew.deliver))
        .commit()
    )


def building(crew: Crew, score: "Score", limits: Limits, play: Play) -> Flow[Assigned, Work]:
    """One task, from a failing test to its merge."""
    red = Workflow("red", Work).then(play(score.write_test)).then(play(score.prove_red)).commit()
    examine = (
        Workflow("examine", Work)
        .parallel(play(score.review), play(score.audit))
        .map(both_verdicts)
        .commit()
    )
    green = (
        Workflow("green", Work)
        .then(play(score.write_code))
        .then(play(score.prove_green))
        .branch((is_clean, examine), default=step(keep, id="unexamined"), id="examined")
        .branch((is_clean, play(crew.merge)), default=step(keep, id="unmerged"), id="merged")
        .commit()
    )
    return (
        Workflow("build", Assigned)
        .then(play(crew.begin))
        .dountil(red, is_red, at_most=limits.red_attempts)
        .dountil(green, is_merged, at_most=limits.repairs)
        .commit()
    )


class Score:
    """The story's own steps: a crew verb, then a pure verdict on what it brought."""

    def __init__(self, crew: Crew) -> None:
        self.crew = crew

    async def recall(self, dossier: Dossier, ctx: StepContext) -> Dossier:
        return dossier.having(recalled=await self.crew.recall(dossier, ctx))

    async def plan(self, dossier: Dossier, ctx: StepContext) -> Dossier:
        return dossier.having(plan=await self.crew.plan(dossier, ctx), notes=())

    async def ask_plan(self, dossier: Dossier, ctx: StepContext) -> Dossier:
        if dossier.plan is None:
            raise ValueError("a plan gate without a plan")
        if dossier.request.policy.rule("plan") is Rule.ALLOW:
            return dossier.having(notes=())
        decision = ask("plan", "Approve this plan?", plan_text(dossier.plan), PlanDecision, ctx)
        if decision.edited is not None:
            dossier = dossier.having(plan=decision.edited)
        return heed(decision, dossier)

    async def write_test(self, work: Work, ctx: StepContext) -> Work:
        return work.having(test=await self.crew.write_test(work, ctx), feedback=())

    async def prove_red(self, work: Work, ctx: StepContext) -> Work:
        if work.test is None:
            raise ValueError("a red gate without a test")
        before = await self.crew.verify(work.base, ctx)
        red = await self.crew.verify(work.test.tree, ctx)
        verdict = gates.red_gate(work.test, before, red)
        return work.having(red=red.brief(), feedback=verdict.reasons)

    async def write_code(self, work: Work, ctx: StepContext) -> Work:
        patch = await self.crew.write_code(work, ctx)
        return work.having(patch=patch, feedback=(), review=None, audit=None)

    async def prove_green(self, work: Work, ctx: StepContext) -> Work:
        if work.test is None or work.red is None or work.patch is None:
            raise ValueError("a green gate without a red one")
        before = await self.crew.verify(work.base, ctx)
        green = await self.crew.verify(work.patch.tree, ctx)
        frozen = gates.freeze(work.test)
        changed = work.patch.settings_changed
        verdict = gates.green_gate(
            frozen, work.patch, before, green, work.red, settings_changed=changed
        )
        return work.having(green=green.brief(), feedback=verdict.reasons)

    async def review(self, work: Work, ctx: StepContext) -> Work:
        return work.having(review=await self.crew.review(work, ctx))

    async def audit(self, work: Work, ctx: StepContext) -> Work:
        return work.having(audit=await self.crew.audit(work, ctx))

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


# --- which story a run plays -------------------------------------------------------------------


def played(name: str, crew: Crew, limits: Limits, retry: Retry) -> Flow[FeatureRequest, Delivery]:
    """The workflow called `module:function`, played by `crew`; without a name the story above.

    The function is called like `delivery`. Naming one is trusting it: it runs beside the team,
    outside of any sandbox, and so is never named by a repository.

    Raises:
        UsageError: there is no such function, or what it gives is not a delivery.
    """
    tell = _named(name) if name else delivery
    try:
        flow = tell(crew, limits, retry)
    except MantaError:
        raise
    except Exception as error:
        raise UsageError(
            f"workflow {name!r} could not be made: {type(error).__name__}: {error}",
            "make it a function (crew, limits, retry) -> Flow[FeatureRequest, Delivery]",
        ) from error
    if isinstance(flow, Flow) and (flow.takes, flow.gives) == (FeatureRequest, Delivery):
        return flow
    raise InvalidWorkflowError(
        f"workflow {name!r} does not turn a FeatureRequest into a Delivery",
        "give a committed workflow: Workflow(id, FeatureRequest)...commit()",
    )


def _named(name: str) -> Callable[[Crew, Limits, Retry], object]:
    module, _, function = name.partition(":")
    try:
        return getattr(import_module(module), function)
    except Exception as error:
        raise UsageError(
            f"there is no workflow {name!r}: {type(error).__name__}: {error}",
            "name it MODULE:FUNCTION and have the module importable wherever Manta runs",
        ) from error


@cache
def unplayed(name: str = "") -> Flow[FeatureRequest, Delivery]:
    """A workflow without its players: the story as a text, to read stored runs by."""
    return played(name, type("Unplayed", (Crew,), {})(), Limits(), Retry())


async def request_of(journal: Journal, run_id: RunId) -> FeatureRequest:
    """What a run was asked for, whichever workflow it plays. A fork has an id of its own.

    Raises:
        NotFoundError: there is no such run.
    """
    info = await journal.info(run_id)
    request = await input_of(journal, replace(unplayed(), id=info.workflow), run_id)
    return request.model_copy(update={"run_id": run_id})


# --- pure pieces -------------------------------------------------------------------------------


def open_dossier(request: FeatureRequest) -> Dossier:
    """The run begins knowing its request."""
    return Dossier(request=request, tree=request.base)


def tasks_of(dossier: Dossier) -> list[Assigned]:
    """This round's tasks."""
    tasks = dossier.plan.tasks if dossier.plan else ()
    return [
        Assigned(
            task=task,
            builds_on=tuple(t.title for t in tasks if t.id in task.after),
            others=tuple(t.title for t in tasks if t.id not in {task.id, *task.after}),
        )
        for task in tasks
    ]


def with_works(dossier: Dossier, works: list[Work]) -> Dossier:
    """The tasks that were built join those of earlier rounds."""
    return dossier.having(works=(*dossier.works, *works))


def task_id(assigned: Assigned) -> str:
    """How step keys name a task."""
    return assigned.task.id


def task_after(assigned: Assigned) -> tuple[TaskId, ...]:
    """What must be merged before it."""
    return assigned.task.after


def both_verdicts(arms: dict[str, Work]) -> Work:
    """Join reviewer and security; what blocks becomes the coder's feedback."""
    work = arms["review"].having(audit=arms["audit"].audit)
    if work.review is None or work.audit is None:
        raise ValueError("a review gate without both verdicts")
    return work.having(feedback=gates.review_gate(work.review, work.audit, BLOCK_AT).reasons)


def is_clean(work: Work) -> bool:
    """No feedback: straight on."""
    return not work.feedback


def is_red(view: LoopView[Work]) -> bool:
    """The test fails for the right reason."""
    return not view.output.feedback


def is_merged(view: LoopView[Work]) -> bool:
    """The task is part of the integration branch."""
    return view.output.merged is not None


def is_agreed(view: LoopView[Dossier]) -> bool:
    """Nobody wants changes."""
    return not view.output.notes


async def keep(work: Work) -> Work:
    """Feedback waits: straight on to the next round."""
    return work


def ask(gate: Gate, title: str, body: str, kind: type[D], ctx: StepContext) -> D:
    """The person's decision on exactly this content; suspends until there is one."""
    digest = hashlib.sha256(body.encode()).hexdigest()
    if not isinstance(ctx.answer, kind):
        request = ApprovalRequest(gate=gate, title=title, body=body, digest=digest)
        ctx.suspend(Suspension(label=gate, payload=request.model_dump_json()))
    if ctx.answer.digest not in {"", digest}:
        raise RejectedError(
            f"the {gate} decision was about other content", "look at it again and decide anew"
        )
    return ctx.answer


def heed(decision: Decision, dossier: Dossier) -> Dossier:
    """What the decision makes of the run: go on, go round again with notes, or stop."""
    match decision.answer:
        case Answer.APPROVE:
            return dossier.having(notes=())
        case Answer.CHANGES:
            return dossier.having(notes=(decision.comment or "The person wants changes.",))
        case Answer.REJECT:
            raise RejectedError(f"rejected by {decision.by}", decision.comment)


def plan_text(plan: Plan) -> str:
    """The plan as people read it."""
    lines = [plan.summary, ""]
    for task in plan.tasks:
        after = f"  (after {', '.join(task.after)})" if task.after else ""
        lines += [f"• {task.id}: {task.title}{after}", *(f"    – {a}" for a in task.acceptance)]
        if task.files:
            lines.append(f"    files: {', '.join(task.files)}")
    return "\n".join(lines)
