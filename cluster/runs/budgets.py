"""Budgets as people write them (`5usd`, `2h`, `3Mtok`), and granting a stopped run a larger one."""

import re
from typing import Final

from actors.models.ledger import BUDGET, Ledger
from orchestration.approval import Answer
from orchestration.clock import SystemClock
from orchestration.errors import UsageError
from orchestration.ids import RunId
from orchestration.messages import Budget, BudgetDecision
from orchestration.stories import request_of, unplayed
from orchestration.workflow.journal import Journal
from orchestration.workflow.outcome import decide, open_suspensions

_PART = re.compile(r"\$?(\d+(?:\.\d+)?)\s*([a-z]*)", re.IGNORECASE)
_UNITS: Final = {
    **dict.fromkeys(("usd", "dollars", "dollar"), ("usd", 1.0)),
    **dict.fromkeys(("tok", "tokens"), ("tokens", 1.0)),
    **dict.fromkeys(("ktok", "k"), ("tokens", 1e3)),
    **dict.fromkeys(("mtok", "m"), ("tokens", 1e6)),
    **dict.fromkeys(("s", "sec", "seconds"), ("seconds", 1.0)),
    **dict.fromkeys(("min", "minutes"), ("seconds", 60.0)),
    **dict.fromkeys(("h", "hours", "hour"), ("seconds", 3600.0)),
}


def parse_budget(text: str) -> Budget:
    """Read amounts separated by commas, spaces or `+`: money, tokens, time.

    Raises:
        UsageError: something in it is no amount, zero, or said twice.
    """
    found: dict[str, float] = {}
    for part in re.split(r"\s*[,+]\s*|\s+(?=[\d$])", text.strip()):
        match = _PART.fullmatch(part)
        default = "usd" if part.startswith("$") else ""
        unit = _UNITS.get((match[2] or default).lower()) if match else None
        if match is None or unit is None or unit[0] in found or float(match[1]) <= 0:
            raise UsageError(
                f"{text!r} is no budget", "write money, tokens or time, such as 5usd,3Mtok,2h"
            )
        found[unit[0]] = float(match[1]) * unit[1]
    return Budget(
        usd=found.get("usd"),
        tokens=round(found["tokens"]) if "tokens" in found else None,
        seconds=found.get("seconds"),
    )


def larger(new: Budget, old: Budget) -> Budget:
    """The new budget, where it says something; the old one's other limits stay."""
    return old.model_copy(update=new.model_dump(exclude_none=True))


async def raise_budget(journal: Journal, run_id: RunId, more: Budget, *, by: str) -> Budget:
    """Grant a stopped run a larger budget: every agent that asked for one goes on at the resume.

    Raises:
        UsageError: the run does not wait for one, or has spent as much already.
    """
    asked = [one for one in await open_suspensions(journal, run_id) if is_about_budget(one.label)]
    if not asked:
        raise UsageError(
            f"run {run_id} does not wait for a larger budget", f"see `manta show {run_id}`"
        )
    clock = SystemClock()
    account = await Ledger(journal, clock).account(run_id)
    account.budget = larger(more, account.budget)
    if spent := account.refusal(0.0, 1, clock.now()):
        raise UsageError(f"that is no more than run {run_id} has spent: {spent}", "grant more")
    decision = BudgetDecision(answer=Answer.APPROVE, by=by, budget=account.budget)
    workflow = unplayed((await request_of(journal, run_id)).workflow)
    for one in asked:
        answer = decision.model_dump_json(exclude_none=True)
        await decide(journal, workflow, run_id, answer, by=by, label=one.label)
    return account.budget


def is_about_budget(label: str) -> bool:
    """Whether a question under this label asks for a larger budget."""
    return label.startswith(f"{BUDGET}-")
