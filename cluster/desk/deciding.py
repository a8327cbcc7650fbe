"""Deciding from the web: bound to what was shown, and the first one wins."""

from dataclasses import dataclass
from datetime import UTC, datetime

from cluster.desk.known import Question, decisions, questions
from cluster.runs.budgets import parse_budget, raise_budget
from orchestration.approval import Answer, Decision
from orchestration.errors import ConflictError, NotFoundError, UsageError
from orchestration.ids import RunId
from orchestration.messages import Plan, PlanDecision
from orchestration.stories import request_of, unplayed
from orchestration.workflow.journal import Journal
from orchestration.workflow.outcome import decide


class TooLateError(ConflictError):
    """Nothing is asked any more: somebody decided, or the run has ended."""

    exit_code = UsageError.exit_code


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a person says, and to which question."""

    answer: Answer
    by: str
    comment: str = ""
    label: str | None = None
    """None where only one question waits."""
    digest: str = ""
    """Of the question as it was shown; empty for whatever it says now."""
    plan: str = ""
    """JSON of an edited plan, with approve."""
    budget: str = ""
    """With approving a larger budget: all of it, such as `10usd,2h`."""

    def edited_plan(self) -> Plan | None:
        """The edited plan, if there is one.

        Raises:
            UsageError: it does not hold together.
        """
        if not self.plan.strip():
            return None
        try:
            return Plan.model_validate_json(self.plan)
        except ValueError as error:
            raise UsageError(f"the edited plan does not hold together: {error}") from None


async def record(journal: Journal, run_id: RunId, verdict: Verdict) -> str:
    """Record a decision; returns the question's label.

    Raises:
        NotFoundError: no such run, or it never asked this.
        ConflictError: it was decided already, the run has ended, or the question has changed.
        UsageError: the answer does not fit the question.
    """
    question = await _question(journal, run_id, verdict)
    if verdict.digest not in {"", question.request.digest}:
        raise ConflictError(
            f"the question {question.label!r} of run {run_id} has changed since it was shown",
            "look at it again and decide anew",
        )
    if verdict.budget and question.request.gate != "budget":
        raise UsageError(
            f"run {run_id} does not wait for a larger budget", f"see `manta show {run_id}`"
        )
    if verdict.answer is Answer.CHANGES and not verdict.comment.strip():
        raise UsageError("nobody can tell what to change", "write it into the comment")
    if question.request.gate == "budget" and verdict.answer is Answer.APPROVE:
        if not verdict.budget:
            raise UsageError(
                f"run {run_id} needs to know how much it may spend",
                f"manta approve {run_id} --budget 10usd",
            )
        more = parse_budget(verdict.budget)
        await raise_budget(journal, run_id, more, by=verdict.by)
        return question.label
    await _record(journal, run_id, question, verdict)
    return question.label


async def _record(journal: Journal, run_id: RunId, question: Question, verdict: Verdict) -> None:
    workflow = unplayed((await request_of(journal, run_id)).workflow)
    text = _decision(question, verdict).model_dump_json(exclude_none=True)
    try:
        is_first = await decide(
            journal, workflow, run_id, text, by=verdict.by, label=question.label
        )
    except (ConflictError, NotFoundError):
        raise await _too_late(journal, run_id, question.label) from None
    if not is_first:
        raise await _too_late(journal, run_id, question.label)


def _decision(question: Question, verdict: Verdict) -> Decision:
    """Bound to the question that was compared with what was shown; an edited plan is checked.

    Raises:
        UsageError: the plan does not hold together, or this is not a plan.
    """
    said = Decision(
        answer=verdict.answer,
        comment=verdict.comment.strip(),
        by=verdict.by,
        digest=question.request.digest,
    )
    plan = verdict.edited_plan()
    if plan is None:
        return said
    if question.request.gate != "plan" or said.answer is not Answer.APPROVE:
        raise UsageError(
            "only a plan can be edited", f"leave the plan out for {question.request.gate}"
        )
    return PlanDecision(**said.model_dump(), edited=plan)


async def _question(journal: Journal, run_id: RunId, verdict: Verdict) -> Question:
    """The question meant. A budget is one for all who asked for it."""
    await journal.info(run_id)
    asked, label = await questions(journal, run_id), verdict.label
    matching = [one for one in asked if label in {None, one.label}]
    if verdict.budget and matching and all(one.request.gate == "budget" for one in matching):
        return matching[0]
    if len(matching) > 1:
        names = ", ".join(one.label for one in matching)
        raise UsageError(f"run {run_id} asks several things: {names}", "name one by its label")
    if not matching:
        raise await _too_late(journal, run_id, label)
    return matching[0]


async def _too_late(
    journal: Journal, run_id: RunId, label: str | None
) -> ConflictError | NotFoundError:
    """What happened instead of this decision."""
    before = [one for one in await decisions(journal, run_id) if label in {None, one.label}]
    if before:
        last = before[-1]
        when = datetime.fromtimestamp(last.at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return TooLateError(
            f"{last.label!r} of run {run_id} was decided already: "
            f"{last.answer}, by {last.by} at {when}",
            "the first decision counts; see how the run goes on",
        )
    status = (await journal.info(run_id)).status
    if status.ended:
        return TooLateError(
            f"run {run_id} has ended ({status}): it is too late to decide", "start a new run"
        )
    asked = f" {label!r}" if label else " anything"
    return NotFoundError(f"run {run_id} does not ask{asked}: it is {status}", "look at the run")


def edited(shown_plan: Plan | None, given: str) -> str:
    """The given plan where a person changed it; nothing where it is the one shown."""
    if not given.strip():
        return ""
    try:
        plan = Plan.model_validate_json(given)
    except ValueError:
        return given  # told in words by who checks it
    return "" if plan == shown_plan else given
