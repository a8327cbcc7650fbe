"""A metered gateway answers as the one it wraps, and counts every reply once."""

from dataclasses import replace

import pytest

from actors.meter import InMemoryMeter
from actors.models.gateway import ModelReply, ModelRequest
from actors.models.metered import MeteredGateway
from actors.models.scripted import FunctionGateway
from orchestration.messages import Usage
from tests.contracts.gateway import HELLO, GatewayContract, Make, Subject, a_request

KINDS = ("input", "cached", "output")
PAID = ModelReply(
    text="done",
    model="acme/large",
    usage=Usage(calls=1, input_tokens=100, cached_tokens=60, output_tokens=7, cost_usd=0.25),
    seconds=2.0,
)


class TestMeteredGateway(GatewayContract):
    @pytest.fixture
    def make(self) -> Make:
        def made(*replies: ModelReply) -> Subject:
            asked: list[ModelRequest] = []

            def answer(request: ModelRequest) -> ModelReply:
                asked.append(request)
                return replace(replies[request.turn - 1], model="function")

            gateway = FunctionGateway(answer)
            return Subject(MeteredGateway(gateway, InMemoryMeter()), lambda: len(asked))

        return made


async def test_a_reply_is_counted_by_role_and_model() -> None:
    meter = InMemoryMeter()
    gateway = MeteredGateway(FunctionGateway(lambda _: PAID), meter)
    await gateway.complete(a_request("run/step/1", 1))
    await gateway.complete(a_request("run/step/2", 2))
    who = ("coder", "acme/large")
    assert meter.counts["model_turns", who] == 2
    assert meter.counts["model_cost_usd", who] == 0.5
    tokens = {kind: meter.counts["model_tokens", (*who, kind)] for kind in KINDS}
    assert tokens == {"input": 200, "cached": 120, "output": 14}
    assert meter.spreads["model_seconds", who] == [2.0, 2.0]


async def test_a_reply_that_is_asked_for_again_is_counted_once() -> None:
    meter = InMemoryMeter()
    gateway = MeteredGateway(FunctionGateway(lambda _: HELLO), meter)
    for _ in range(3):
        await gateway.complete(a_request("run/step/1"))
    await gateway.complete(a_request("run/other/1"))
    assert sum(v for (name, _), v in meter.counts.items() if name == "model_turns") == 2
