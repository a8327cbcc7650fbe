"""Where events wait for the engine's loop."""

import asyncio
from dataclasses import dataclass

from orchestration.workflow.signals import Event


@dataclass(frozen=True, slots=True)
class Lost:
    """The run is not ours any more, or cannot be kept."""

    error: Exception


class Inbox:
    """Events in the order of their arrival."""

    def __init__(self) -> None:
        self._events: list[Event | Lost] = []
        self._bell = asyncio.Event()

    def put(self, event: Event | Lost) -> None:
        self._events.append(event)
        self._bell.set()

    async def take(self) -> list[Event | Lost]:
        """All that arrived, waiting for the first."""
        await self._bell.wait()
        self._bell.clear()
        events, self._events = self._events, []
        return events

    @property
    def is_empty(self) -> bool:
        return not self._events
