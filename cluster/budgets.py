"""Budgets as people write them: `5usd`, `2h`, `3Mtok`, or several of them."""

import re
from typing import Final

from orchestration.errors import UsageError
from orchestration.messages import Budget

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
