"""The run's budget, and replies that are kept."""

import asyncio
from dataclasses import replace

import pytest

from actors.models.budget import BudgetedGateway
from actors.models.gateway import ModelReply
from actors.models.replies import KeptReplies
from actors.models.scripted import FunctionGateway
from orchestration.errors import BudgetExceededError
from orchestration.messages import Usage
from tests.contracts.gateway import HELLO, GatewayContract, Make, Subject, a_request

DEAR = ModelReply("x", usage=Usage(calls=1, input_tokens=60, output_tokens=40, cost_usd=0.4))


class TestBudgetedGateway(GatewayContract):
    @pytest.fixture
    def make(self) -> Make:
        def make(*replies: ModelReply) -> Subject:
            inner = FunctionGateway(lambda r: replace(replies[r.turn - 1], model="function"))
            gateway = BudgetedGateway(inner, max_cost_usd=1, max_tokens=10_000)
            return Subject(gateway, lambda: len(inner.asked))

        return make


@pytest.mark.parametrize(("cost", "tokens"), [(1.0, 10_000), (100.0, 250)])
async def test_no_call_is_made_once_money_or_tokens_are_spent(cost: float, tokens: int):
    inner = FunctionGateway(lambda _: DEAR)
    gateway = BudgetedGateway(inner, max_cost_usd=cost, max_tokens=tokens)
    for number in range(3):
        await gateway.complete(a_request(f"k{number}"))

    with pytest.raises(BudgetExceededError, match=r"\$1.20 of .* 300 of"):
        await gateway.complete(a_request("k3"))

    assert len(inner.asked) == 3


async def test_what_was_spent_before_counts():
    spent = Usage(calls=9, cost_usd=1.0)
    gateway = BudgetedGateway(
        FunctionGateway(lambda _: DEAR), max_cost_usd=1, max_tokens=1000, spent=spent
    )

    with pytest.raises(BudgetExceededError):
        await gateway.complete(a_request())


async def test_a_reply_asked_for_again_is_counted_once_and_given_even_when_all_is_spent():
    gateway = BudgetedGateway(FunctionGateway(lambda _: DEAR), max_cost_usd=0.3, max_tokens=1000)
    await gateway.complete(a_request("k1"))

    assert await gateway.complete(a_request("k1")) == DEAR
    assert gateway.spent == DEAR.usage


async def test_the_warning_comes_once_before_the_end():
    warnings: list[str] = []
    gateway = BudgetedGateway(
        FunctionGateway(lambda _: DEAR), max_cost_usd=1, max_tokens=1000, warn=warnings.append
    )
    for number in range(3):
        await gateway.complete(a_request(f"k{number}"))
        assert len(warnings) == (0 if number == 0 else 1)

    assert "$0.80 of $1.00" in warnings[0]


async def test_kept_replies_are_bounded_and_the_oldest_goes_first():
    replies, calls = KeptReplies(limit=2), list[str]()

    async def ask(key: str) -> ModelReply:
        async def call() -> ModelReply:
            calls.append(key)
            return HELLO

        return await replies.get(key, call)

    for key in ("a", "b", "c", "b", "c", "a"):
        await ask(key)

    assert calls == ["a", "b", "c", "a"]


async def test_a_failure_is_told_to_all_who_wait_and_not_kept():
    replies, answers = KeptReplies(), [RuntimeError("no"), HELLO]

    async def call() -> ModelReply:
        await asyncio.sleep(0)
        match answers.pop(0):
            case ModelReply() as reply:
                return reply
            case error:
                raise error

    asked = [asyncio.create_task(replies.get("k", call)) for _ in range(2)]
    await asyncio.wait(asked)

    assert [str(task.exception()) for task in asked] == ["no", "no"]
    assert await replies.get("k", call) == HELLO


async def test_closing_ends_what_is_in_flight():
    replies, began = KeptReplies(), asyncio.Event()

    async def call() -> ModelReply:
        began.set()
        await asyncio.Event().wait()
        return HELLO

    asked = asyncio.create_task(replies.get("k", call))
    await began.wait()
    await replies.close()

    with pytest.raises(asyncio.CancelledError):
        await asked
