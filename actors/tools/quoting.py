"""Untrusted text between marks that it cannot imitate, labelled with where it is from."""

import re
from collections.abc import Sequence

from actors.tools.text import neutralise
from orchestration.messages import Recollection

_TICKS = re.compile(r"`{3,}")


def quoted(pieces: Sequence[Recollection]) -> str:
    """Each piece under its source and commit, in a fence longer than any inside it."""
    return "\n\n".join(
        f"[{each.source} at {each.commit[:12]}]\n{fenced(each.text)}" for each in pieces
    )


def fenced(text: str) -> str:
    """The text as a block that only ends where it ends."""
    text = neutralise(text)
    longest = max(map(len, _TICKS.findall(text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}\n{text}\n{fence}"
