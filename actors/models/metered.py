"""A gateway whose replies are counted."""

from collections import OrderedDict

from actors.meter import COST, REPLIES, TOKENS, TURNS, Meter
from actors.models.gateway import ModelGateway, ModelReply, ModelRequest, Role
from orchestration.messages import Difficulty

_REMEMBERED = 4_096
"""Conversations whose last counted turn is known."""


class MeteredGateway:
    """Wraps a gateway. A reply is counted once, however often its turn is asked for."""

    def __init__(self, inner: ModelGateway, meter: Meter) -> None:
        self._inner, self._meter = inner, meter
        self._counted: OrderedDict[str, str] = OrderedDict()

    async def complete(self, request: ModelRequest) -> ModelReply:
        reply = await self._inner.complete(request)
        conversation = request.key.rpartition("/")[0]
        if self._counted.get(conversation) != request.key:
            self._counted[conversation] = request.key
            self._counted.move_to_end(conversation)
            if len(self._counted) > _REMEMBERED:
                self._counted.popitem(last=False)
            count_reply(self._meter, request.role, reply)
        return reply

    async def acknowledge(self, key: str) -> None:
        await self._inner.acknowledge(key)

    async def check(self, role: Role, *, priced: bool = False) -> str:
        return await self._inner.check(role, priced=priced)

    async def context_tokens(self, role: Role, difficulty: Difficulty = "normal") -> int:
        return await self._inner.context_tokens(role, difficulty)


def count_reply(meter: Meter, role: Role, reply: ModelReply) -> None:
    """Tell a meter of one reply: tokens, cost, and how long it took."""
    model, usage = reply.model, reply.usage
    meter.add(TURNS, role=role, model=model)
    meter.add(TOKENS, usage.input_tokens, role=role, model=model, kind="input")
    meter.add(TOKENS, usage.cached_tokens, role=role, model=model, kind="cached")
    meter.add(TOKENS, usage.output_tokens, role=role, model=model, kind="output")
    meter.add(COST, usage.cost_usd, role=role, model=model)
    meter.observe(REPLIES, reply.seconds, role=role, model=model)
