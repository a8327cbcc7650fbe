"""A reply that was paid for is never paid for twice, and never lost with the one who asked."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from actors.models.gateway import ModelReply

KEPT = 512
"""Finished replies kept unacknowledged; beyond it the oldest are forgotten."""


class KeptReplies:
    """Joins equal keys while in flight and keeps each reply until it is acknowledged.

    Asking for another turn of a conversation acknowledges the one before: a reply is durable
    before the next question is made. A call goes on when its asker is cancelled: the provider
    bills it anyway, and whoever asks again gets the reply. One that has yet to be sent is given up
    with its last asker. A failure is not kept: asking again calls again.
    """

    def __init__(self, limit: int = KEPT) -> None:
        self._limit = limit
        self._flying: dict[str, asyncio.Task[ModelReply]] = {}
        self._kept: dict[str, tuple[str, ModelReply]] = {}
        """The latest reply of each conversation, and its key."""
        self._askers: Counter[str] = Counter()
        self.unsent: set[str] = set()
        """Keys whose call waits for leave or for better times. The caller keeps it up to date."""

    async def get(self, key: str, call: Callable[[], Awaitable[ModelReply]]) -> ModelReply:
        """The reply to `key`, calling for it only if nobody has."""
        place = _conversation(key)
        if (kept := self._kept.get(place)) and kept[0] == key:
            return kept[1]
        self._kept.pop(place, None)
        if key not in self._flying:
            self._flying[key] = asyncio.create_task(self._fly(key, call), name=f"model {key}")
            self._flying[key].add_done_callback(_look_at)
        flying = self._flying[key]
        self._askers[key] += 1
        try:
            return await asyncio.shield(flying)
        except asyncio.CancelledError:
            if self._askers[key] == 1 and key in self.unsent:
                flying.cancel()
            raise
        finally:
            self._askers[key] -= 1
            if not self._askers[key]:
                del self._askers[key]

    def forget(self, key: str) -> None:
        place = _conversation(key)
        if (kept := self._kept.get(place)) and kept[0] == key:
            del self._kept[place]

    async def close(self) -> None:
        """Cancel what is in flight and forget everything."""
        flying = list(self._flying.values())
        for task in flying:
            task.cancel()
        if flying:
            await asyncio.wait(flying)
        self._kept.clear()

    async def _fly(self, key: str, call: Callable[[], Awaitable[ModelReply]]) -> ModelReply:
        try:
            reply = await call()
        finally:
            del self._flying[key]
            self.unsent.discard(key)
        self._kept[_conversation(key)] = key, reply
        while len(self._kept) > self._limit:
            del self._kept[next(iter(self._kept))]
        return reply


def _conversation(key: str) -> str:
    """A turn's key without the number of the turn."""
    return key.rpartition("/")[0] or key


def _look_at(task: asyncio.Task[ModelReply]) -> None:
    """Mark a failure as seen: nobody may be left waiting for it."""
    if not task.cancelled():
        task.exception()
