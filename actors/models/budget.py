"""One hard budget for everything that goes through a gateway."""

from collections.abc import Callable

from actors.models.gateway import ModelGateway, ModelReply, ModelRequest, Role
from orchestration.errors import BudgetExceededError
from orchestration.messages import Usage

_SOFT = 0.8
"""The share of a limit at which the warning is given, once."""


class BudgetedGateway:
    """Refuses calls once the money or the tokens are spent; a call that began is finished.

    `spent` carries on from an earlier process. A reply asked for again is not counted twice.
    """

    def __init__(
        self,
        inner: ModelGateway,
        *,
        max_cost_usd: float,
        max_tokens: int,
        spent: Usage | None = None,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._inner = inner
        self._max_cost_usd = max_cost_usd
        self._max_tokens = max_tokens
        self._warn = warn
        self._was_warned = False
        self._counted: set[str] = set()
        self.spent = spent or Usage()

    async def complete(self, request: ModelRequest) -> ModelReply:
        if self._share() >= 1 and request.key not in self._counted:
            raise BudgetExceededError(
                f"the run's model budget is spent: {self._state()}",
                "raise the limit and resume the run; finished work is kept",
            )
        reply = await self._inner.complete(request)
        if request.key not in self._counted:
            self._counted.add(request.key)
            self.spent += reply.usage
        if self._share() >= _SOFT and not self._was_warned:
            self._was_warned = True
            self._warn(f"the model budget is nearly spent: {self._state()}")
        return reply

    async def acknowledge(self, key: str) -> None:
        await self._inner.acknowledge(key)
        self._counted.discard(key)

    async def check(self, role: Role) -> str:
        return await self._inner.check(role)

    async def context_tokens(self, role: Role) -> int:
        return await self._inner.context_tokens(role)

    def _tokens(self) -> int:
        return self.spent.input_tokens + self.spent.output_tokens

    def _share(self) -> float:
        return max(self.spent.cost_usd / self._max_cost_usd, self._tokens() / self._max_tokens)

    def _state(self) -> str:
        return (
            f"${self.spent.cost_usd:.2f} of ${self._max_cost_usd:.2f}, "
            f"{self._tokens():,} of {self._max_tokens:,} tokens"
        )
