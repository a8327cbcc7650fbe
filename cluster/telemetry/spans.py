"""Spans of agents through OpenTelemetry, by its conventions for generative AI. Off by default.

The only file that imports OpenTelemetry. Where spans go is told by its own variables, such as
OTEL_EXPORTER_OTLP_ENDPOINT. A run is one trace: its number follows from the run's id, so that all
processes agree on it without a word, and its root is written when the run ends.
"""

import asyncio
import hashlib
import json
import logging
import os
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Span, SpanContext, SpanKind, StatusCode, TraceFlags

from actors.models.gateway import ModelGateway, ModelReply, ModelRequest, Role
from actors.tools.text import neutralise, one_line
from actors.tools.tool import ToolDefinition, ToolResult, Toolset
from cluster.telemetry.messages import RECORDING, inputs, output, provider_and_model
from cluster.telemetry.secrets import without_secrets
from orchestration.ids import RunId, StepGrant
from orchestration.messages import Difficulty
from orchestration.workflow.journal import Journal, RunInfo, RunStatus
from orchestration.workflow.step import Suspend

SOON_MS = 500
"""After which finished spans are sent: players do not outlive their run by much."""
FLUSH_MS = 2_000
NANO = 1_000_000_000
_NAME = 80
_log = logging.getLogger(__name__)
Facts = Mapping[str, str | int | float | bool | tuple[str, ...]]


async def open_tracer(content: bool) -> "SpanTracer":
    """A tracer that sends to where OpenTelemetry's variables say."""
    return SpanTracer(OTLPSpanExporter(), content=content)


class SpanTracer:
    """Follows agents by spans. With `content`, also what they read, wrote and did."""

    def __init__(self, exporter: SpanExporter, *, content: bool = False) -> None:
        self.content = content
        self._ids = _Ids()
        named = {} if os.environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: "manta"}
        self._provider = TracerProvider(resource=Resource.create(named), id_generator=self._ids)
        soon = BatchSpanProcessor(exporter, schedule_delay_millis=SOON_MS)
        self._provider.add_span_processor(soon)
        self._tracer = self._provider.get_tracer("manta")

    def agent(
        self, name: str, role: str, conversation: str, grant: StepGrant
    ) -> AbstractContextManager[None]:
        facts = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": role,
            "gen_ai.agent.id": name,
            "gen_ai.conversation.id": conversation,
            "manta.run": grant.run_id,
            "manta.step": grant.step_key,
            "manta.attempt": grant.attempt,
        }
        return self._agent(f"invoke_agent {role}", facts, _root_of(grant.run_id))

    @contextmanager
    def _agent(self, name: str, facts: Facts, parent: Context) -> Generator[None]:
        with self.span(name, SpanKind.INTERNAL, facts, parent):
            yield

    def gateway(self, inner: ModelGateway) -> ModelGateway:
        return TracedGateway(inner, self)

    def toolset(self, inner: Toolset) -> Toolset:
        return TracedToolset(inner, self)

    @contextmanager
    def span(
        self, name: str, kind: SpanKind, facts: Facts, parent: Context | None = None
    ) -> Generator[Span]:
        """A span of this block. An error is told by its class alone: its words may be anything."""
        with self._tracer.start_as_current_span(
            name,
            parent,
            kind,
            dict(facts),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except Suspend:
                span.set_attribute("manta.waits", True)
                raise
            except BaseException as error:
                failed(span, type(error).__name__)
                raise

    def tell(self, span: Span, facts: Callable[[], Facts]) -> None:
        """Add facts to a span; what goes wrong with them is logged."""
        try:
            span.set_attributes(dict(facts()))
        except Exception as error:  # noqa: BLE001 - a door: spans never fail the work
            _log.warning("a span is incomplete: %r", error)

    @asynccontextmanager
    async def witness(
        self, journal: Journal, run_id: RunId, _restarted: bool
    ) -> AsyncGenerator[None]:
        """Write a run's root span when it has ended, and send what is left."""
        try:
            yield
        finally:
            try:
                info = await asyncio.wait_for(journal.info(run_id), FLUSH_MS / 1000)
                if info.status.ended:
                    self._end_run(info)
                await asyncio.to_thread(self.flush)
            except Exception as error:  # noqa: BLE001 - a door: spans never fail the work
                _log.warning("the span of run %s is missing: %r", run_id, error)

    def flush(self) -> bool:
        """Send what is there; False if that took too long. Blocking."""
        return self._provider.force_flush(FLUSH_MS)

    def _end_run(self, info: RunInfo) -> None:
        facts = {
            "gen_ai.operation.name": "invoke_workflow",
            "gen_ai.workflow.name": info.workflow,
            "manta.run": info.run_id,
            "manta.status": info.status.value,
        }
        self._ids.told = _numbers(info.run_id)
        began, ended = int(info.created_at * NANO), int(info.updated_at * NANO)
        span = self._tracer.start_span(
            f"invoke_workflow {info.workflow}", Context(), attributes=facts, start_time=began
        )
        if info.status is not RunStatus.DONE:
            failed(span, info.status.value)
        span.end(ended)


def failed(span: Span, kind: str) -> None:
    """Mark a span as ended in an error of this kind."""
    span.set_attribute("error.type", kind)
    span.set_status(StatusCode.ERROR)


class TracedGateway:
    """Wraps a gateway: every question is a `chat` span."""

    def __init__(self, inner: ModelGateway, spans: SpanTracer) -> None:
        self._inner, self._spans = inner, spans

    async def complete(self, request: ModelRequest) -> ModelReply:
        facts: dict[str, str | int] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.conversation.id": request.conversation,
            "manta.turn": request.turn,
            "manta.role": request.role,
        }
        if request.max_output_tokens:
            facts["gen_ai.request.max_tokens"] = request.max_output_tokens
        with self._spans.span("chat", SpanKind.CLIENT, facts) as span:
            reply = await self._inner.complete(request)
            self._spans.tell(span, lambda: _facts_of(reply))
            span.update_name(f"chat {provider_and_model(reply.model)[1]}")
            if self._spans.content:
                self._spans.tell(span, lambda: _content_of(request, reply))
        return reply

    async def acknowledge(self, key: str) -> None:
        await self._inner.acknowledge(key)

    async def check(self, role: Role, *, priced: bool = False) -> str:
        return await self._inner.check(role, priced=priced)

    async def context_tokens(self, role: Role, difficulty: Difficulty = "normal") -> int:
        return await self._inner.context_tokens(role, difficulty)


def _facts_of(reply: ModelReply) -> Facts:
    provider, model = provider_and_model(reply.model)
    usage = reply.usage
    return {
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": model,
        "gen_ai.response.model": model,
        "gen_ai.response.finish_reasons": (reply.finish,),
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
        "manta.cost_usd": usage.cost_usd,
        "manta.recorded": reply.model.startswith(RECORDING),
    }


def _content_of(request: ModelRequest, reply: ModelReply) -> Facts:
    return {
        "gen_ai.input.messages": _plain(inputs(request.messages)),
        "gen_ai.output.messages": _plain(output(reply)),
    }


def _plain(value: Any) -> str:
    return without_secrets(json.dumps(value, ensure_ascii=False))


class TracedToolset:
    """Wraps tools: every call is an `execute_tool` span."""

    def __init__(self, inner: Toolset, spans: SpanTracer) -> None:
        self._inner, self._spans = inner, spans

    async def definitions(self) -> list[ToolDefinition]:
        return await self._inner.definitions()

    async def call(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        shown = one_line(neutralise(name), _NAME)
        facts = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": shown,
            "gen_ai.tool.type": "function",
        }
        with self._spans.span(f"execute_tool {shown}", SpanKind.INTERNAL, facts) as span:
            result = await self._inner.call(name, arguments)
            if not result.ok:
                failed(span, "tool_failed")
            if self._spans.content:
                self._spans.tell(span, lambda: _call_of(arguments, result))
        return result

    async def close(self) -> None:
        await self._inner.close()


def _call_of(arguments: dict[str, Any], result: ToolResult) -> Facts:
    return {
        "gen_ai.tool.call.arguments": _plain(arguments),
        "gen_ai.tool.call.result": without_secrets(result.text),
    }


class _Ids(RandomIdGenerator):
    """Random numbers, but for a span whose numbers are told."""

    def __init__(self) -> None:
        self.told: tuple[int, int] | None = None

    def generate_trace_id(self) -> int:
        return self.told[0] if self.told else super().generate_trace_id()

    def generate_span_id(self) -> int:
        told, self.told = self.told, None
        return told[1] if told else super().generate_span_id()


def _numbers(run_id: RunId) -> tuple[int, int]:
    """Of a run's trace, and of its root span."""
    digest = hashlib.sha256(run_id.encode()).digest()
    return int.from_bytes(digest[:16]), int.from_bytes(digest[16:24])


def _root_of(run_id: RunId) -> Context:
    """As if the run's root span were known here."""
    trace_id, span_id = _numbers(run_id)
    root = SpanContext(
        trace_id, span_id, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(root), Context())
