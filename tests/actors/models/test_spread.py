"""Several gateways as one."""

from dataclasses import replace

import pytest

from actors.models.gateway import ModelReply
from actors.models.scripted import FunctionGateway
from actors.models.spread import SpreadGateway
from tests.contracts.gateway import HELLO, GatewayContract, Make, Subject, a_request


class TestSpreadGateway(GatewayContract):
    @pytest.fixture
    def make(self) -> Make:
        def make(*replies: ModelReply) -> Subject:
            inner = [
                FunctionGateway(lambda r: replace(replies[r.turn - 1], model="function"))
                for _ in range(3)
            ]
            return Subject(SpreadGateway(inner), lambda: sum(len(one.asked) for one in inner))

        return make


async def test_a_conversation_keeps_to_one_gateway_and_many_use_all():
    inner = [FunctionGateway(lambda _: HELLO) for _ in range(3)]
    spread = SpreadGateway(inner)
    for conversation in range(40):
        for turn in (1, 2, 3):
            await spread.complete(a_request(f"run/step-{conversation}/{turn}"))
    places = [{one.key.rpartition("/")[0] for one in gateway.asked} for gateway in inner]
    assert all(places)
    assert sum(map(len, places)) == 40
