"""What every model gateway promises. A plug's test module subclasses `GatewayContract`."""

import asyncio
import copy
from collections.abc import Callable
from dataclasses import dataclass

from actors.models.gateway import ModelGateway, ModelReply, ModelRequest, ToolCall
from orchestration.messages import Usage


def a_request(key: str = "k1", turn: int = 1, task: str = "Say hello", **more: object):
    """A first turn's question, or a later one with the messages given."""
    fields: dict[str, object] = {
        "role": "coder",
        "conversation": "build[greet]/write_code#1",
        "messages": (
            {"role": "system", "content": "You code."},
            {"role": "user", "content": task},
        ),
        **more,
    }
    return ModelRequest(key=key, turn=turn, **fields)  # pyright: ignore[reportArgumentType] - test data


HELLO = ModelReply(text="hello", usage=Usage(calls=1, input_tokens=10, output_tokens=5))
USE_TOOLS = ModelReply(
    text="Let me look.",
    tool_calls=(ToolCall("a", "read", '{"path": "x.py"}'), ToolCall("b", "run", '{"command":')),
    finish="tool_calls",
    usage=Usage(calls=1, input_tokens=10, output_tokens=5),
)


@dataclass
class Subject:
    """A plug that answers turn 1, 2, ... with the given replies, and what it cost."""

    gateway: ModelGateway
    calls: Callable[[], int | None]
    """How often a provider was asked; None where there is no provider."""


Make = Callable[..., Subject]
"""Makes the plug under test: `make(reply, ...)`."""


class GatewayContract:
    """Provide a fixture `make` that returns a Subject for some replies."""

    async def test_a_reply_carries_the_text_and_its_usage(self, make: Make):
        reply = await make(HELLO).gateway.complete(a_request())

        assert (reply.text, reply.tool_calls, reply.finish) == ("hello", (), "stop")
        assert (reply.usage.calls, reply.usage.input_tokens, reply.usage.output_tokens) == (
            1,
            10,
            5,
        )
        assert reply.model

    async def test_tool_calls_come_with_their_arguments_as_the_model_wrote_them(self, make: Make):
        reply = await make(USE_TOOLS).gateway.complete(a_request())

        assert reply.tool_calls == USE_TOOLS.tool_calls
        assert reply.finish == "tool_calls"

    async def test_the_same_key_is_paid_for_once(self, make: Make):
        subject = make(HELLO)

        first = await subject.gateway.complete(a_request("k1"))
        again = await subject.gateway.complete(a_request("k1"))

        assert first == again
        assert subject.calls() in (1, None)

    async def test_equal_keys_in_flight_are_joined(self, make: Make):
        subject = make(HELLO)

        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(subject.gateway.complete(a_request())) for _ in range(5)]

        assert {task.result().text for task in asked} == {"hello"}
        assert subject.calls() in (1, None)

    async def test_a_reply_outlives_the_one_who_asked(self, make: Make):
        subject = make(HELLO)
        asker = asyncio.create_task(subject.gateway.complete(a_request()))
        await asyncio.sleep(0)
        asker.cancel()
        await asyncio.wait([asker])

        assert (await subject.gateway.complete(a_request())).text == "hello"
        assert subject.calls() in (1, None)

    async def test_acknowledging_is_never_an_error(self, make: Make):
        subject = make(HELLO)
        await subject.gateway.complete(a_request("k1"))

        await subject.gateway.acknowledge("k1")
        await subject.gateway.acknowledge("k1")
        await subject.gateway.acknowledge("never heard of")

    async def test_the_question_is_left_as_it_was(self, make: Make):
        request = a_request(tools=({"type": "function", "function": {"name": "read"}},))
        before = copy.deepcopy(request)

        await make(HELLO).gateway.complete(request)

        assert request == before

    async def test_a_role_has_a_model_and_a_context(self, make: Make):
        gateway = make(HELLO).gateway

        assert await gateway.check("reviewer")
        assert await gateway.context_tokens("reviewer") >= 1000
