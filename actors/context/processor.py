"""The context processor socket: what decides which part of a conversation the model sees.

Processors are pure: the same entries give the same result, in any process, after any restart. They
rewrite only at compaction steps. Between two of these a prompt only grows at its end, so that
providers find its beginning in their caches.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from actors.context.entry import Entry


@dataclass(frozen=True, slots=True)
class Room:
    """How much may be shown, at a compaction step."""

    limit: int
    """Tokens that the entries may have together."""
    target: int
    """Tokens to come down to once the limit is broken, so that it is not broken again at once."""
    fresh_from: int
    """Turns from this one on are fresh."""


class ContextProcessor(Protocol):
    """One way of keeping a context fit."""

    def arrive(self, entry: Entry, before: Sequence[Entry]) -> Entry:
        """The form in which a new entry is shown after the entries `before` it."""
        ...

    def compact(self, entries: Sequence[Entry], room: Room) -> list[Entry]:
        """The entries to show from now on.

        Raises:
            ContextOverflowError: what must be shown does not fit.
        """
        ...


def fits(entries: Sequence[Entry], limit: int) -> bool:
    """Whether entries have at most `limit` tokens together, counting only if it is near."""
    return sum(e.size for e in entries) <= limit or sum(e.tokens for e in entries) <= limit
