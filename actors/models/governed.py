"""A gateway whose every call waits for the governor's leave."""

import json
from dataclasses import replace

from actors.models.gateway import ModelGateway, ModelReply, ModelRequest, Role, WireMessage
from actors.models.governor import Call, Governor, Lane
from actors.models.replies import KeptReplies
from orchestration.messages import Difficulty, Usage

_CHARS_PER_TOKEN = 4
EXPECTED_OUTPUT = 1_000
"""Tokens reserved for a reply; the real number settles it."""


class GovernedGateway:
    """Wraps a gateway that asks no governor by itself, such as a recording."""

    def __init__(self, inner: ModelGateway, governor: Governor, lane: Lane) -> None:
        self._inner, self._governor, self._lane = inner, governor, lane
        self._replies = KeptReplies()

    async def complete(self, request: ModelRequest) -> ModelReply:
        return await self._replies.get(request.key, lambda: self._ask(request))

    async def acknowledge(self, key: str) -> None:
        self._replies.forget(key)
        await self._inner.acknowledge(key)

    async def check(self, role: Role, *, priced: bool = False) -> str:
        return await self._inner.check(role, priced=priced)

    async def context_tokens(self, role: Role, difficulty: Difficulty = "normal") -> int:
        return await self._inner.context_tokens(role, difficulty)

    async def _ask(self, request: ModelRequest) -> ModelReply:
        call = Call(request.run, self._lane, expected_tokens(request))
        leave = await self._governor.reserve(call)
        try:
            reply = await self._inner.complete(request)
        except BaseException:
            await self._governor.settle(leave, Usage())
            raise
        notice = await self._governor.settle(leave, reply.usage)
        return replace(reply, notice=notice)


def expected_tokens(request: ModelRequest) -> int:
    """A rough count of what a call will take; cheap, because the real one follows."""
    sent = sum(_length(message) for message in request.messages) + len(json.dumps(request.tools))
    return sent // _CHARS_PER_TOKEN + min(
        request.max_output_tokens or EXPECTED_OUTPUT, EXPECTED_OUTPUT
    )


def _length(message: WireMessage) -> int:
    """Characters of a message, without writing it out."""
    calls = message.get("tool_calls") or ()
    return len(message.get("content") or "") + sum(len(str(call)) for call in calls)
