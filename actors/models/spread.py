"""Several gateways as one."""

import zlib
from collections.abc import Sequence

from actors.models.gateway import ModelGateway, ModelReply, ModelRequest, Role
from orchestration.messages import Difficulty


class SpreadGateway:
    """Equal keys always meet at the same gateway, and are joined there."""

    def __init__(self, gateways: Sequence[ModelGateway]) -> None:
        self._gateways = tuple(gateways)

    async def complete(self, request: ModelRequest) -> ModelReply:
        return await self._of(request.key).complete(request)

    async def acknowledge(self, key: str) -> None:
        await self._of(key).acknowledge(key)

    async def check(self, role: Role, *, priced: bool = False) -> str:
        return await self._gateways[0].check(role, priced=priced)

    async def context_tokens(self, role: Role, difficulty: Difficulty = "normal") -> int:
        return await self._gateways[0].context_tokens(role, difficulty)

    def _of(self, key: str) -> ModelGateway:
        conversation = key.rpartition("/")[0]
        return self._gateways[zlib.crc32(conversation.encode()) % len(self._gateways)]
