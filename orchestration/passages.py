"""The story's pure pieces: what is handed on from one step to the next, and when to go on."""

from collections.abc import Sequence

from orchestration import errors, gates
from orchestration.errors import MantaError, RunFailedError, UntestableError
from orchestration.ids import BlobId, TaskId
from orchestration.kinds import is_test_path
from orchestration.messages import (
    Assigned,
    Delivery,
    Dossier,
    FeatureRequest,
    Plan,
    TreeRef,
    Undone,
    Work,
)
from orchestration.proof import Severity, TestReport, Verdict
from orchestration.workflow.facts import Collected, ErrorInfo
from orchestration.workflow.shape import LoopView

BLOCK_AT = Severity.MEDIUM
"""Findings this bad, or worse, go to repair."""
HARD_AFTER = 2
"""Rounds that did not solve a task, after which several coders compete for it."""

UNTESTABLE_FIX = (
    "see that they come to an end in a sandbox, without a network: make it ready with --setup, "
    "name other tests with --test-command, or allow more time (MANTA_LIMITS__TEST_SECONDS)"
)


# --- a run -------------------------------------------------------------------------------------


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


def ordered(plan: Plan) -> Plan:
    """The plan with tasks that change the same symbol one after the other, as they are listed."""
    after: dict[TaskId, set[TaskId]] = {task.id: set(task.after) for task in plan.tasks}
    for number, later in enumerate(plan.tasks):
        for earlier in plan.tasks[:number]:
            pair = earlier.id, later.id
            waits = _leads(after, *pair) or _leads(after, *reversed(pair))
            if set(earlier.symbols) & set(later.symbols) and not waits:
                after[later.id].add(earlier.id)
    tasks = tuple(t.model_copy(update={"after": _sorted(after[t.id], plan)}) for t in plan.tasks)
    return plan.model_copy(update={"tasks": tasks})


def with_works(dossier: Dossier, built: list[Collected[Work]]) -> Dossier:
    """What was built joins what earlier rounds built; the rest is kept with its reason."""
    tasks = {task.id: task for task in (dossier.plan.tasks if dossier.plan else ())}
    return dossier.having(
        works=(*dossier.works, *(one.value for one in built if one.value is not None)),
        undone=tuple(
            Undone(task=tasks[TaskId(one.key)], why=why(one.error), error=one.error.name)
            for one in built
            if one.error is not None
        ),
    )


def why(error: ErrorInfo) -> str:
    """Why a task failed, with the last reasons of the gates where there are some."""
    last = Work.model_validate_json(error.result).feedback if error.result else ()
    return " ".join((f"{error.what.rstrip('.')}.", *last))


def nothing_delivered(dossier: Dossier) -> Delivery:
    """The outcome of a request that needs no change."""
    said = dossier.plan.summary if dossier.plan else ""
    return Delivery(
        run_id=dossier.request.run_id,
        branch="",
        tree=dossier.tree,
        bundle=BlobId(""),
        evidence=BlobId(""),
        summary=f"Nothing to do. {said}",
    )


def is_agreed(view: LoopView[Dossier]) -> bool:
    """Nobody wants changes."""
    return not view.output.notes


def is_unsettled(dossier: Dossier) -> bool:
    """The plan has to be made anew first."""
    return bool(dossier.notes)


def is_idle(dossier: Dossier) -> bool:
    """There is nothing to conclude: no task was planned, now or before."""
    return not dossier.works


# --- a task ------------------------------------------------------------------------------------


def task_id(assigned: Assigned) -> str:
    """How step keys name a task."""
    return assigned.task.id


def task_after(assigned: Assigned) -> tuple[TaskId, ...]:
    """What must be merged before it."""
    return assigned.task.after


def needs_test(work: Work) -> bool:
    """The task changes behaviour, so a failing test comes first."""
    return work.task.changes_behaviour


def candidates(work: Work, at_most: int) -> list[Work]:
    """The round's attempts: the work itself and, where it is hard, rivals that start afresh."""
    rounds = work.rounds + bool(work.feedback)
    is_hard = work.task.difficulty == "hard" or rounds >= HARD_AFTER
    fresh = work.having(rounds=rounds, patch=None, feedback=())
    rivals = [fresh.having(candidate=n) for n in range(2, 1 + (at_most if is_hard else 1))]
    return [work.having(rounds=rounds, candidate=1), *rivals]


def candidate(work: Work) -> str:
    """How step keys name an attempt."""
    return str(work.candidate)


def best(attempts: Sequence[Collected[Work]]) -> Work:
    """The attempt to go on with: clean, strong and small before others.

    Raises:
        MantaError: none came to an end; the first one's reason.
    """
    works = [one.value for one in attempts if one.value is not None]
    if not works:
        raise revived(next(one.error for one in attempts if one.error is not None))
    return min(works, key=_rank)


def all_verdicts(arms: dict[str, Work]) -> Work:
    """Join reviewer, security and, where they are tried, mutants."""
    strength = arms["strength"].strength if "strength" in arms else None
    return arms["review"].having(audit=arms["audit"].audit, strength=strength)


def grounds(work: Work) -> tuple[TreeRef, ...]:
    """What a task's commit stands on: its test, and the branch where that has moved on since."""
    if work.test is None:
        return (work.base,)
    return (work.test.tree,) if work.test.base == work.base else (work.test.tree, work.base)


def has_test(work: Work) -> bool:
    """There are tests of its own, so that mutants can say how strong they are."""
    return work.test is not None


def is_clean(work: Work) -> bool:
    """No feedback: straight on."""
    return not work.feedback


def is_red(view: LoopView[Work]) -> bool:
    """The test fails for the right reason."""
    return not view.output.feedback


def is_merged(view: LoopView[Work]) -> bool:
    """The task is part of the integration branch."""
    return view.output.merged is not None


async def keep(work: Work) -> Work:
    """Straight on with it as it is."""
    return work


async def keep_all(dossier: Dossier) -> Dossier:
    """Straight on with it as it is."""
    return dossier


def changed_tests(work: Work) -> tuple[str, ...]:
    """Test files that were there before and that the task had no leave to change."""
    if work.test is None:
        return ()
    changed = (c.path for c in work.test.changes if c.status != "A" and is_test_path(c.path))
    return tuple(path for path in changed if path not in work.task.existing_tests)


def green_verdict(
    work: Work, before: TestReport, after: TestReport, *, may_add_tests: bool
) -> Verdict:
    """The green gate of a task, or that of one which changes no behaviour."""
    patch, test, red = work.patch, work.test, work.red
    if patch is None:
        raise ValueError("a green gate without code")
    if test is None or red is None:
        return gates.upkeep_gate(patch, before, after)
    return gates.green_gate(
        gates.freeze(test),
        patch,
        before,
        after,
        red,
        settings_changed=patch.settings_changed,
        may_change=work.task.existing_tests,
        may_add_tests=may_add_tests,
    )


def added_tests(work: Work) -> tuple[str, ...]:
    """Test files that came with the code and not with the frozen tests."""
    if work.test is None or work.patch is None:
        return ()
    added = (c.path for c in work.patch.changes if c.status == "A" and is_test_path(c.path))
    return tuple(path for path in added if path not in work.test.paths)


def revived(info: ErrorInfo) -> MantaError:
    """A journaled error as an exception of its class, or of one with its exit code."""
    return error_class(info.name)(info.what, info.fix)


def error_class(name: str) -> type[MantaError]:
    """One of ours by its name; any other counts as work that failed."""
    kind: object = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, MantaError):
        return kind
    return RunFailedError


def require_testable(before: TestReport) -> None:
    """What no coder can mend ends the run, and not one round after the other.

    Raises:
        UntestableError: the tests before any change say nothing.
    """
    if before.problem or before.ended != "exited":
        why = (before.problem or f"it ended by {before.ended}").rstrip(".")
        raise UntestableError(
            f"nothing can be proven, for {before.command!r} says nothing before any change: {why}",
            UNTESTABLE_FIX,
        )


# --- pieces of pieces --------------------------------------------------------------------------


def _rank(work: Work) -> tuple[bool, bool, int, int, int, int]:
    strength = work.strength
    return (
        bool(work.feedback),
        work.review is None,
        len(work.feedback),
        len(strength.survivors) if strength else 0,
        len(work.patch.changes) if work.patch else 0,
        work.candidate,
    )


def _leads(after: dict[TaskId, set[TaskId]], first: TaskId, last: TaskId) -> bool:
    """Whether `last` waits for `first`, directly or not."""
    waits = after[last]
    return first in waits or any(_leads(after, first, one) for one in waits)


def _sorted(ids: set[TaskId], plan: Plan) -> tuple[TaskId, ...]:
    return tuple(task.id for task in plan.tasks if task.id in ids)
