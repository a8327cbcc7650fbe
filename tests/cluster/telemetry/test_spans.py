"""Spans as another system receives them, over real HTTP."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

from actors.models.gateway import ModelReply, ModelRequest, ToolCall
from actors.models.scripted import FunctionGateway
from actors.tools.tool import ToolDefinition, ToolResult
from cluster.telemetry.spans import SpanTracer
from cluster.telemetry.tracing import Tracing, Untraced
from orchestration.clock import ManualClock
from orchestration.errors import ModelError
from orchestration.ids import RunId, StepGrant, StepKey
from orchestration.messages import Usage
from orchestration.workflow.builder import Workflow
from orchestration.workflow.engine import Engine
from orchestration.workflow.in_memory import InMemoryJournal
from orchestration.workflow.step import Suspend, Suspension
from tests.cluster.telemetry.receiver import Receiver, receiving
from tests.contracts.gateway import a_request

RUN = RunId("add-a-greeting-1a2b3c")
GRANT = StepGrant(run_id=RUN, step_key=StepKey("build[greet]/write_code"), epoch=1, attempt=2)
REPLY = ModelReply(
    text="I will look.",
    tool_calls=(ToolCall("c1", "read", '{"path": "a.py"}'),),
    finish="tool_calls",
    model="anthropic/claude-x",
    usage=Usage(calls=1, input_tokens=120, cached_tokens=100, output_tokens=8, cost_usd=0.02),
)
SECRET = "ghp_" + "a1B2" * 9


class Tools:
    """One tool that reads, and one that fails."""

    async def definitions(self) -> list[ToolDefinition]:
        return []

    async def call(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        return ToolResult(f"the token is {SECRET}", ok=name == "read")

    async def close(self) -> None: ...


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture(autouse=True)
def fresh(receiver: Receiver) -> None:
    receiver.requests.clear()


def tracer(receiver: Receiver, *, content: bool = False) -> SpanTracer:
    return SpanTracer(OTLPSpanExporter(f"{receiver.url}/v1/traces"), content=content)


async def work(spans: SpanTracer) -> None:
    """One agent, one turn, two calls."""
    gateway, tools = spans.gateway(FunctionGateway(lambda _: REPLY)), spans.toolset(Tools())
    with spans.agent("coder-1", "coder", "build[greet]/write_code#1", GRANT):
        await gateway.complete(a_request("r/s/1", task=f"use {SECRET}"))
        await tools.call("read", {"path": "a.py", "password": "hunter2hunter2"})
        await tools.call("guess\x1b[31m", {})


async def sent(spans: SpanTracer) -> None:
    assert await asyncio.to_thread(spans.flush)


async def test_an_agent_its_turns_and_its_calls_are_one_tree(receiver: Receiver) -> None:
    spans = tracer(receiver)
    await work(spans)
    await sent(spans)
    (agent,) = receiver.named("invoke_agent coder")
    (chat,) = receiver.named("chat claude-x")
    calls = [span for span in receiver.spans if span["name"].startswith("execute_tool")]
    assert {chat["parent"], *(call["parent"] for call in calls)} == {agent["id"]}
    assert {span["trace"] for span in receiver.spans} == {agent["trace"]}
    assert agent["parent"] != ""
    assert {span["service"] for span in receiver.spans} == {"manta"}


async def test_attributes_are_those_of_the_conventions(receiver: Receiver) -> None:
    spans = tracer(receiver)
    await work(spans)
    await sent(spans)
    (agent,) = receiver.named("invoke_agent coder")
    (chat,) = receiver.named("chat claude-x")
    (read,) = receiver.named("execute_tool read")
    assert agent.items() >= {
        "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "coder",
        "gen_ai.agent.id": "coder-1", "gen_ai.conversation.id": "build[greet]/write_code#1",
        "manta.run": RUN, "manta.attempt": 2, "kind": 1,
    }.items()  # fmt: skip
    assert chat.items() >= {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-x", "gen_ai.response.model": "claude-x",
        "gen_ai.usage.input_tokens": 120, "gen_ai.usage.output_tokens": 8,
        "gen_ai.usage.cache_read.input_tokens": 100, "manta.cost_usd": 0.02, "kind": 3,
    }.items()  # fmt: skip
    assert chat["gen_ai.response.finish_reasons"] == ["tool_calls"]
    assert read.items() >= {
        "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "read",
        "gen_ai.tool.type": "function", "failed": False,
    }.items()  # fmt: skip


async def test_a_failed_call_is_marked_and_a_made_up_name_is_harmless(receiver: Receiver) -> None:
    spans = tracer(receiver)
    await work(spans)
    await sent(spans)
    (guess,) = [span for span in receiver.spans if span["name"].startswith("execute_tool guess")]
    assert guess["failed"]
    assert guess["error.type"] == "tool_failed"
    assert "\x1b" not in guess["name"] + guess["gen_ai.tool.name"]


async def test_nothing_that_was_read_or_written_leaves_unless_asked_for(receiver: Receiver) -> None:
    spans = tracer(receiver)
    await work(spans)
    await sent(spans)
    told = json.dumps(receiver.spans)
    assert "I will look" not in told
    assert "a.py" not in told
    assert SECRET not in told


async def test_content_that_is_asked_for_comes_without_secrets(receiver: Receiver) -> None:
    spans = tracer(receiver, content=True)
    await work(spans)
    await sent(spans)
    (chat,) = receiver.named("chat claude-x")
    (read,) = receiver.named("execute_tool read")
    asked, said = (json.loads(chat[f"gen_ai.{way}.messages"]) for way in ("input", "output"))
    assert asked[0] == {"role": "system", "parts": [{"type": "text", "content": "You code."}]}
    assert said[0]["finish_reason"] == "tool_calls"
    assert [part["type"] for part in said[0]["parts"]] == ["text", "tool_call"]
    assert read["gen_ai.tool.call.result"] == "the token is [redacted]"
    told = json.dumps(receiver.spans)
    assert SECRET not in told
    assert "hunter2" not in told


async def test_an_error_is_told_by_its_class_and_waiting_is_none(receiver: Receiver) -> None:
    async def broken(_: ModelRequest) -> ModelReply:
        raise ModelError("the key sk-very-secret-key is refused", "use another")

    spans = tracer(receiver)
    with pytest.raises(ModelError), spans.agent("coder-1", "coder", "c", GRANT):
        await spans.gateway(Broken(broken)).complete(a_request())
    with pytest.raises(Suspend), spans.agent("coder-2", "coder", "c", GRANT):
        raise Suspend(Suspension(label="plan", payload="{}"))
    await sent(spans)
    (chat,) = receiver.named("chat")
    first, second = receiver.named("invoke_agent coder")
    assert (chat["error.type"], first["error.type"]) == ("ModelError", "ModelError")
    assert (second["failed"], second["manta.waits"]) == (False, True)
    assert "very-secret" not in json.dumps(receiver.spans)
    assert {span["events"] for span in receiver.spans} == {0}


class Broken(FunctionGateway):
    """Answers with an error."""

    def __init__(self, answer: Any) -> None:
        super().__init__(lambda _: REPLY)
        self._broken = answer

    async def complete(self, request: ModelRequest) -> ModelReply:
        return await self._broken(request)


async def keep(text: str) -> str:
    return text


async def test_a_run_that_ended_is_the_root_of_what_its_agents_did(receiver: Receiver) -> None:
    spans, clock = tracer(receiver), ManualClock()
    journal = InMemoryJournal(clock)
    flow = Workflow("delivery", str).then(keep).commit()
    await work(spans)
    engine = Engine(journal, owner="me", clock=clock)
    async with spans.witness(journal, RUN, False):
        await engine.start(flow, "x", run_id=RUN, steps=0)
    assert receiver.named("invoke_workflow delivery") == []
    async with spans.witness(journal, RUN, False):
        await engine.resume(flow, RUN)
    (root,) = receiver.named("invoke_workflow delivery")
    (agent,) = receiver.named("invoke_agent coder")
    assert (root["trace"], root["id"], root["parent"]) == (agent["trace"], agent["parent"], "")
    assert (root["manta.status"], root["failed"]) == ("done", False)
    assert root["start"] <= root["end"]


async def test_another_process_agrees_on_the_number_of_a_runs_trace(receiver: Receiver) -> None:
    for spans in (tracer(receiver), tracer(receiver)):
        with spans.agent("coder-1", "coder", "c", GRANT):
            pass
        await sent(spans)
    assert len({(span["trace"], span["parent"]) for span in receiver.spans}) == 1
    assert len({span["id"] for span in receiver.spans}) == 2


async def test_spans_are_off_unless_asked_for_and_nothing_is_loaded() -> None:
    assert isinstance(await Tracing().open(), Untraced)


async def test_a_receiver_that_is_away_disturbs_nobody() -> None:
    spans = SpanTracer(OTLPSpanExporter("http://127.0.0.1:9/v1/traces", timeout=0.2))
    await work(spans)
    await asyncio.to_thread(spans.flush)


async def test_where_spans_go_is_read_from_the_variables_of_opentelemetry(
    receiver: Receiver, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    kept = tmp_path / "traces.json"
    kept.write_text(json.dumps({"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}))
    opened = await Tracing("on", str(kept)).open()
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT")
    assert isinstance(opened, SpanTracer)
    await work(opened)
    await sent(opened)
    assert receiver.paths[-1] == "/v1/traces"
    assert receiver.named("invoke_agent coder")
