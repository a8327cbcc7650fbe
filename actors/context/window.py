"""What the model sees of one conversation: a fold of its entries through the processors."""

from collections.abc import Iterable, Sequence

from actors.context.entry import Entry, Kind
from actors.context.processor import ContextProcessor, Room, fits
from actors.context.tokens import upper_bound
from actors.models.gateway import WireMessage

_FRESH_TURNS = 5
_TARGET = 0.6


class Window:
    """The entries shown now. Grows at its end; only `compact` rewrites.

    Args:
        processors: asked in order.
        limit: tokens of a whole prompt, tools and a possible tail included.
        told: what every prompt says besides its messages: the tools, and the answer's form.
    """

    def __init__(
        self, processors: Sequence[ContextProcessor], *, limit: int, told: str = ""
    ) -> None:
        self._processors = tuple(processors)
        self._limit = limit
        self._told = Entry({"role": "system", "content": told}, Kind.SYSTEM)
        self._entries: list[Entry] = []
        self._messages: list[WireMessage] = []
        self.size = 0
        """Bytes shown."""
        self.floor = 0
        """Bytes shown right after the last compaction."""

    @property
    def entries(self) -> tuple[Entry, ...]:
        return tuple(self._entries)

    def add(self, entries: Iterable[Entry]) -> None:
        """Show these after all others."""
        for entry in entries:
            shown = entry
            for processor in self._processors:
                shown = processor.arrive(shown, self._entries)
            self._entries.append(shown)
            self._messages.append(shown.message)
            self.size += shown.size

    def fits(self, tail: WireMessage | None = None) -> bool:
        """Whether a prompt of all that is shown stays within the limit."""
        room = self._room(tail)
        return self.size <= room or fits(self._entries, room)

    def compact(self, tail: WireMessage | None = None) -> None:
        """Show less, by the processors' rules.

        Raises:
            ContextOverflowError: what must be shown does not fit.
        """
        limit = self._room(tail)
        newest = self._entries[-1].turn
        room = Room(limit, int(limit * _TARGET), fresh_from=newest - _FRESH_TURNS + 1)
        for processor in self._processors:
            self._entries = processor.compact(self._entries, room)
        self._messages = [entry.message for entry in self._entries]
        self.size = self.floor = sum(entry.size for entry in self._entries)

    @property
    def uncounted(self) -> int:
        """Bytes of entries up to which a prompt is within the limit without counting tokens."""
        return self._limit - self._told.size

    def _room(self, tail: WireMessage | None) -> int:
        """Tokens that the entries may have together."""
        room = self._limit - (upper_bound(tail) if tail else 0)
        is_near = self.size + self._told.size > room
        return room - (self._told.tokens if is_near else self._told.size)

    def messages(self, tail: WireMessage | None = None) -> tuple[WireMessage, ...]:
        """The prompt: all that is shown, then the tail, which is shown this once."""
        return (*self._messages, tail) if tail else tuple(self._messages)
