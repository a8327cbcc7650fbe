"""What a context is made of: wire messages, and what is known about each."""

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from actors.context.tokens import count, upper_bound
from actors.models.gateway import WireMessage


class Kind(StrEnum):
    """What a message is to the conversation."""

    SYSTEM = "system"
    TASK = "task"
    REPLY = "reply"
    RESULT = "result"
    NOTICE = "notice"
    """Said to the model by the loop: a nudge, a reminder, news of an interruption."""
    GAP = "gap"
    """Stands for the turns that left the context."""


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What is known of one tool call, however little of it is shown."""

    call: str
    """`turn.position`: how `recall` finds it."""
    name: str
    brief: str
    """Its arguments on one short line."""
    same: str
    """Digest of name and arguments: equal for the same call."""
    ok: bool
    exit_code: int | None
    seconds: float
    size: int
    """Characters of the whole answer."""
    digest: str
    """Digest of the whole answer."""
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()

    @property
    def ending(self) -> str:
        """How it ended, such as `ok`, `failed` or `exit 1 · 0.3 s`."""
        if self.exit_code is not None:
            return f"exit {self.exit_code} · {self.seconds:.1f} s"
        return "ok" if self.ok else "failed"


@dataclass(frozen=True)
class Entry:
    """One message, made once. A rewritten message is a new entry."""

    message: WireMessage
    kind: Kind
    turn: int = 0
    """From 1; 0 for what stands before the first turn."""
    facts: CallFacts | None = None
    """For results."""
    whole: bool = True
    """False once it is shown in short form."""

    @cached_property
    def size(self) -> int:
        """Bytes of its texts and a little more: never fewer than `tokens`."""
        return upper_bound(self.message)

    @cached_property
    def tokens(self) -> int:
        """Counted at the first question."""
        return count(self.message)

    def shortened(self, content: str) -> "Entry":
        """The same message with less in it."""
        message = {**self.message, "content": content}
        return Entry(message, self.kind, self.turn, self.facts, whole=False)


def open_failures(entries: list[Entry]) -> list[Entry]:
    """Failed results, oldest first, whose very call has not been made again since."""
    last = {entry.facts.same: entry for entry in entries if entry.facts}
    return [entry for entry in last.values() if entry.facts and not entry.facts.ok]
