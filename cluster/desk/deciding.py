"""Deciding from the web: bound to what was shown, and the first one wins."""

from dataclasses import dataclass
from datetime import UTC, datetime

from cluster import shown
from cluster.budgets import parse_budget, raise_budget
from cluster.desk.known import Question, decisions, questions
from orchestration.approval import Answer, Decision
from orchestration.errors import ConflictError, NotFoundError, UsageError
from orchestration.ids import RunId
from orchestration.messages import Plan
from orchestration.stories import request_of, unplayed
from orchestration.workflow.journal import Journal
from orchestration.workflow.outcome import decide


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


async def record(journal: Journal, run_id: RunId, verdict: Verdict) -> str:
    """Record a decision; returns the question's label.

    Raises:
        NotFoundError: no such run, or it never asked this.
        ConflictError: it was decided already, the run has ended, or the question has changed.
        UsageError: the answer does not fit the question.
    """
    question = await _question(journal, run_id, verdict.label)
    if verdict.digest not in {"", question.request.digest}:
        raise ConflictError(
            f"the question {question.label!r} of run {run_id} has changed since it was shown",
            "look at it again and decide anew",
        )
    if verdict.answer is Answer.CHANGES and not verdict.comment.strip():
        raise UsageError("nobody can tell what to change", "write it into the comment")
    if question.request.gate == "budget" and verdict.answer is Answer.APPROVE:
        more = parse_budget(verdict.budget)
        await raise_budget(journal, run_id, more, by=verdict.by)
        return question.label
    await _record(journal, run_id, question, verdict)
    return question.label


async def _record(journal: Journal, run_id: RunId, question: Question, verdict: Verdict) -> None:
    said = Decision(answer=verdict.answer, comment=verdict.comment.strip(), by=verdict.by)
    edited = verdict.plan.strip() or None
    bound = await shown.decision(journal, run_id, question.label, said, edited)
    # To the question that was compared with what was shown, even if another one waits by now.
    bound = bound.model_copy(update={"digest": question.request.digest})
    workflow = unplayed((await request_of(journal, run_id)).workflow)
    text = bound.model_dump_json(exclude_none=True)
    try:
        is_first = await decide(
            journal, workflow, run_id, text, by=verdict.by, label=question.label
        )
    except (ConflictError, NotFoundError):
        raise await _too_late(journal, run_id, question.label) from None
    if not is_first:
        raise await _too_late(journal, run_id, question.label)


async def _question(journal: Journal, run_id: RunId, label: str | None) -> Question:
    """The question meant."""
    await journal.info(run_id)
    asked = await questions(journal, run_id)
    matching = [one for one in asked if label in {None, one.label}]
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
        return ConflictError(
            f"{last.label!r} of run {run_id} was decided already: "
            f"{last.answer}, by {last.by} at {when}",
            "the first decision counts; see how the run goes on",
        )
    status = (await journal.info(run_id)).status
    if status.ended:
        return ConflictError(
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
