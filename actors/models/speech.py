"""What models are saying right now: the newest words of replies under way, for who looks on.

Kept in a gateway's memory and nowhere else: whole replies are journaled, and these are not missed.
"""

from dataclasses import dataclass

from actors.models.gateway import ModelGateway, ModelReply, ModelRequest, Role
from orchestration.messages import Difficulty

SHOWN = 400
"""Characters kept of a reply, the latest."""


@dataclass(frozen=True, slots=True)
class Words:
    """The newest words of one reply. Untrusted."""

    role: Role
    conversation: str
    """As in the request: the step's key, and its part after a colon where it has several."""
    text: str


class Speeches:
    """Replies under way in one process."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[ModelRequest, str]] = {}

    def hear(self, request: ModelRequest, piece: str) -> None:
        """The next piece of a reply."""
        before = self._said.get(request.key)
        self._said[request.key] = request, ((before[1] if before else "") + piece)[-SHOWN:]

    def over(self, request: ModelRequest) -> None:
        """The reply is whole, or was given up."""
        self._said.pop(request.key, None)

    def doing(self, run: str) -> tuple[Words, ...]:
        """What is being said in a run."""
        return tuple(
            Words(request.role, request.conversation, text)
            for request, text in self._said.values()
            if request.run == run and text
        )


class AudibleGateway:
    """Wraps a gateway that can be overheard, in the process where it speaks."""

    def __init__(self, inner: ModelGateway, speeches: Speeches) -> None:
        self._inner, self._speeches = inner, speeches

    async def complete(self, request: ModelRequest) -> ModelReply:
        return await self._inner.complete(request)

    async def acknowledge(self, key: str) -> None:
        await self._inner.acknowledge(key)

    async def check(self, role: Role, *, priced: bool = False) -> str:
        return await self._inner.check(role, priced=priced)

    async def context_tokens(self, role: Role, difficulty: Difficulty = "normal") -> int:
        return await self._inner.context_tokens(role, difficulty)

    async def doing(self, run: str) -> tuple[Words, ...]:
        """What models are saying in a run right now."""
        return self._speeches.doing(run)
