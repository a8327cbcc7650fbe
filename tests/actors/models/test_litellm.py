"""litellm over real HTTP against an endpoint on loopback; nothing else can be reached."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actors.models.gateway import ModelReply, ModelRequest
from actors.models.recording import RecordingGateway, read_recording
from actors.models.scripted import ScriptedGateway
from actors.models.speech import Speeches
from orchestration.errors import ModelError
from tests.actors.models import endpoint as http
from tests.actors.models.desk import MARKS, Desk
from tests.actors.models.endpoint import SECRET, Endpoint
from tests.contracts.gateway import USE_TOOLS, GatewayContract, Make, Subject, a_request

pytestmark = [pytest.mark.slow, *MARKS]


@pytest.fixture
async def desk(server: Endpoint) -> AsyncGenerator[Desk]:
    desk = Desk(server)
    yield desk
    await desk.close()


class TestLitellmGateway(GatewayContract):
    @pytest.fixture
    def make(self, desk: Desk) -> Make:
        def make(*replies: ModelReply) -> Subject:
            for reply in replies:
                calls = [
                    {
                        "id": c.id,
                        "type": "function",
                        "function": {"name": c.name, "arguments": c.arguments},
                    }
                    for c in reply.tool_calls
                ]
                desk.server.will(
                    http.message(reply.finish, content=reply.text, tool_calls=calls or None)
                )
            return Subject(desk.gateway(), lambda: len(desk.server.asked))

        return make


async def test_the_request_goes_out_whole_with_the_route_s_options(desk: Desk):
    tool = {"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}}
    desk.server.will(http.message(content="ok"))
    gateway = desk.gateway(temperature=0.2, max_output_tokens=99, options={"seed": 7})

    await gateway.complete(a_request(tools=(tool,)))

    sent = desk.server.asked[0]
    assert sent["messages"] == list(a_request().messages)
    assert sent["tools"] == [tool]
    assert (sent["model"], sent["temperature"], sent["seed"]) == ("loopback", 0.2, 7)
    assert 99 in (sent.get("max_tokens"), sent.get("max_completion_tokens"))
    assert desk.server.keys == [f"Bearer {SECRET}"]


async def test_what_is_recorded_over_http_is_replayed_without(desk: Desk, tmp_path: Path):
    desk.server.will(http.message(content="hello"))
    recorder = RecordingGateway(desk.gateway(context_tokens=9000), tmp_path / "run.jsonl")
    recorded = await recorder.complete(a_request())

    replay = ScriptedGateway(read_recording(tmp_path / "run.jsonl"))

    assert await replay.complete(a_request()) == replace(
        recorded, model="recording:openai/loopback", seconds=0.0
    )
    assert await replay.context_tokens("coder") == 9000


async def test_an_option_that_the_model_does_not_know_is_left_out(desk: Desk):
    await desk.ask(http.message(content="ok"), model="openai/o3", temperature=0.2)

    assert "temperature" not in desk.server.asked[0]


async def test_quirks_of_tool_calls_are_normalised(desk: Desk):
    reply = await desk.ask(
        http.message(
            content=None,
            tool_calls=[
                {"type": "function", "function": {"name": "a", "arguments": {"x": 1}}},
                {"id": None, "type": "function", "function": {"name": "b", "arguments": '{"x":'}},
                {"id": "z", "type": "function", "function": {"name": "c", "arguments": ""}},
            ],
        )
    )

    assert [(c.name, c.arguments) for c in reply.tool_calls] == [
        ("a", '{"x": 1}'),
        ("b", '{"x":'),
        ("c", "{}"),
    ]
    assert len({c.id for c in reply.tool_calls}) == 3
    assert (reply.finish, reply.text) == ("tool_calls", "")


@pytest.mark.parametrize(
    ("answer", "text", "finish"),
    [
        (http.message(content="<think>hm</think>yes", reasoning_content="hm"), "yes", "stop"),
        (http.message(content=None, refusal="I cannot"), "I cannot", "refusal"),
        (http.message("content_filter", content=None), "", "refusal"),
        (http.failure(400, "blocked by content policy"), "blocked by content policy", "refusal"),
        (http.message(content=""), "", "stop"),
        (http.message("length", content="half"), "half", "length"),
    ],
)
async def test_what_the_model_says_arrives_in_one_shape(
    desk: Desk, answer: http.Answer, text: str, finish: str
):
    reply = await desk.ask(answer)

    assert (reply.text, reply.finish) == (text, finish)


async def test_a_streamed_reply_equals_a_whole_one(desk: Desk):
    reply = await desk.ask(
        http.stream(
            {"role": "assistant", "content": "Let me "},
            {"content": "look."},
            {"tool_calls": [_part(0, "a", "read", '{"path": ')]},
            {"tool_calls": [_part(0, None, None, '"x.py"}')]},
            {"tool_calls": [_part(1, "b", "run", '{"command":')]},
            finish="tool_calls",
        ),
        stream=True,
    )

    assert (reply.text, reply.tool_calls) == (USE_TOOLS.text, USE_TOOLS.tool_calls)
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (7, 3)


async def test_a_reply_can_be_overheard_until_it_is_whole(desk: Desk):
    until, gateway = asyncio.Event(), desk.gateway(stream=True)
    gateway.speeches = ear = Ear()
    pieces = [
        {"role": "assistant", "content": "Let me "},
        {"content": "look."},
        {"tool_calls": [_part(0, "a", "read", '{"path": ')]},
    ]
    desk.server.will(http.stream(*pieces, finish="tool_calls", until=until))
    asking = asyncio.create_task(gateway.complete(a_request("run-1/step/1")))
    await asyncio.wait_for(ear.heard.wait(), 5)
    words = ear.doing("run-1")
    until.set()
    await asking
    assert [(one.role, one.text) for one in words] == [("coder", 'Let me look. read {"path": ')]
    assert words[0].conversation == a_request().conversation
    assert ear.doing("run-1") == ()


class Ear(Speeches):
    """Says when a tool is being called."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = asyncio.Event()

    def hear(self, request: ModelRequest, piece: str) -> None:
        super().hear(request, piece)
        if "path" in piece:
            self.heard.set()


def _part(index: int, name: str | None, function: str | None, arguments: str) -> dict[str, Any]:
    call: dict[str, Any] = {"arguments": arguments} | ({"name": function} if function else {})
    return {"index": index, "type": "function", "function": call} | ({"id": name} if name else {})


async def test_money_is_counted_by_the_local_table_with_cached_tokens_cheaper(desk: Desk):
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    plain = await desk.ask(http.message(content="x", usage=usage), model="openai/gpt-4o")
    usage = {**usage, "prompt_tokens_details": {"cached_tokens": 800}}
    cached = await desk.ask(http.message(content="x", usage=usage), model="openai/gpt-4o")
    unknown = await desk.ask(http.message(content="x", usage=usage))

    assert plain.usage.cost_usd == pytest.approx(1000 * 2.5e-6 + 100 * 10e-6)
    assert 0 < cached.usage.cost_usd < plain.usage.cost_usd
    assert cached.usage.cached_tokens == 800
    assert unknown.usage.cost_usd == 0
    assert await desk.gateway("openai/gpt-4o").check("coder", priced=True)
    with pytest.raises(ModelError, match="nobody knows what openai/loopback costs"):
        await desk.gateway().check("coder", priced=True)


CUT_OFF = (
    *a_request().messages,
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "read", "arguments": '{"pa'}}
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "[failed]"},
)
"""A conversation in which the model was once cut off: some providers take arguments apart."""


async def test_anthropic_gets_its_own_form_with_cache_marks(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "ant-0123456789")
    content = [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "Let me look."},
        {"type": "tool_use", "id": "t", "name": "read", "input": {"path": "x"}},
    ]
    usage = {"input_tokens": 10, "cache_read_input_tokens": 90, "output_tokens": 5}
    desk.server.will(
        http.document(
            {
                "id": "m",
                "type": "message",
                "role": "assistant",
                "model": "claude",
                "content": content,
                "stop_reason": "tool_use",
                "usage": {**usage, "cache_creation_input_tokens": 0},
            }
        )
    )
    base = desk.server.url.removesuffix("/v1")
    gateway = desk.gateway("anthropic/claude-sonnet-4-5", api_base=base)

    reply = await gateway.complete(a_request(messages=CUT_OFF))

    assert (reply.text, reply.tool_calls[0].arguments) == ("Let me look.", '{"path": "x"}')
    assert (reply.usage.input_tokens, reply.usage.cached_tokens) == (100, 90)
    assert reply.usage.cost_usd == pytest.approx(10 * 3e-6 + 90 * 0.3e-6 + 5 * 15e-6)
    sent = desk.server.asked[0]
    assert sent["system"][-1]["cache_control"] == {"type": "ephemeral"}
    assert sent["messages"][-1]["content"][-1]["cache_control"] == {"type": "ephemeral"}
    assert sent["messages"][1]["content"][-1]["input"] == {"unreadable_arguments": '{"pa'}


async def test_ollama_is_asked_for_a_whole_context_and_nothing_else(desk: Desk):
    call = {"function": {"name": "read", "arguments": {"path": "x"}}}
    desk.server.will(
        http.document(
            {
                "model": "qwen",
                "created_at": "2026-01-01T00:00:00Z",
                "message": {"role": "assistant", "content": "", "tool_calls": [call]},
                "done": True,
                "done_reason": "stop",
                "prompt_eval_count": 11,
                "eval_count": 4,
            }
        )
    )
    gateway = desk.gateway("ollama/unheard-of", api_base=desk.server.url.removesuffix("/v1"))

    reply = await gateway.complete(a_request(messages=CUT_OFF))

    assert [(c.name, c.arguments) for c in reply.tool_calls] == [("read", '{"path": "x"}')]
    assert reply.tool_calls[0].id
    assert (reply.usage.input_tokens, reply.usage.cost_usd) == (11, 0)
    assert desk.server.paths == ["/api/chat"]
    assert desk.server.asked[0]["options"]["num_ctx"] == 32_768
    assert await gateway.check("coder", priced=True)


async def test_the_usual_variable_names_an_openai_compatible_server(
    monkeypatch: pytest.MonkeyPatch, desk: Desk
):
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setenv("OPENAI_API_BASE", desk.server.url)

    assert (await desk.ask(http.message(content="ok"), api_base=None)).text == "ok"


async def test_a_route_s_own_key_is_sent(monkeypatch: pytest.MonkeyPatch, desk: Desk):
    monkeypatch.setenv("MY_KEY", "mine-12345")

    await desk.ask(http.message(content="ok"), key_env="MY_KEY")

    assert desk.server.keys == ["Bearer mine-12345"]
