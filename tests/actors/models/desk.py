"""A litellm gateway in front of the loopback endpoint. Importing this imports litellm: seconds."""

from typing import Any

import pytest

from actors.models.gateway import ModelReply
from actors.models.litellm import LitellmGateway
from actors.models.retrying import RetryPolicy
from actors.models.routing import parse_routes
from tests.actors.models import endpoint as http
from tests.actors.models.endpoint import Endpoint
from tests.contracts.gateway import a_request

MARKS = [
    # litellm ignores these when it is imported, and pytest undoes that.
    pytest.mark.filterwarnings("ignore:.*ReadOnly. qualifier"),
    pytest.mark.filterwarnings("ignore:Accessing the .* attribute on the instance"),
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings"),
    pytest.mark.timeout(20),
]


class Waits:
    """A clock that notes how long it was asked to wait, and does not."""

    def __init__(self) -> None:
        self.waited: list[float] = []

    def now(self) -> float:
        return 1_800_000_000.0 + sum(self.waited)

    def ticks(self) -> float:
        return sum(self.waited)

    async def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)


class Desk:
    """A gateway to the endpoint, with instant waits."""

    def __init__(self, server: Endpoint) -> None:
        self.server = server
        self.clock = Waits()
        self.gateways: list[LitellmGateway] = []

    def gateway(self, model: str = "openai/loopback", **fields: Any) -> LitellmGateway:
        route = {"model": model, "api_base": self.server.url, **fields}
        routes = parse_routes({"default": route})
        self.gateways.append(LitellmGateway(routes, clock=self.clock, policy=RetryPolicy()))
        return self.gateways[-1]

    async def close(self) -> None:
        for gateway in self.gateways:
            await gateway.close()

    async def ask(self, *answers: http.Answer, **fields: Any) -> ModelReply:
        self.server.will(*answers)
        return await self.gateway(**fields).complete(a_request())
