"""Questions and replies in the form that the conventions for generative AI give messages."""

from collections.abc import Iterable, Mapping
from typing import Any

from actors.models.gateway import ModelReply, WireMessage

RECORDING = "recording:"
_PROVIDERS: Mapping[str, str] = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertex_ai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
"""litellm's names of providers where the conventions have others."""


def provider_and_model(model: str) -> tuple[str, str]:
    """`anthropic/claude-x` as the conventions name the two."""
    provider, slash, name = model.removeprefix(RECORDING).partition("/")
    return (_PROVIDERS.get(provider, provider), name) if slash else ("_OTHER", provider)


def inputs(messages: Iterable[WireMessage]) -> list[dict[str, Any]]:
    """What was asked."""
    return [{"role": message["role"], "parts": _parts(message)} for message in messages]


def output(reply: ModelReply) -> list[dict[str, Any]]:
    """What was answered."""
    parts: list[dict[str, Any]] = [_text(reply.text)] if reply.text else []
    parts += [_call(call.id, call.name, call.arguments) for call in reply.tool_calls]
    return [{"role": "assistant", "parts": parts, "finish_reason": reply.finish}]


def _parts(message: WireMessage) -> list[dict[str, Any]]:
    content = message.get("content") or ""
    if message["role"] == "tool":
        answered = str(message.get("tool_call_id", ""))
        return [{"type": "tool_call_response", "id": answered, "response": content}]
    said = [_text(content)] if content else []
    calls = message.get("tool_calls") or ()
    return said + [_call(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in calls]


def _text(content: str) -> dict[str, Any]:
    return {"type": "text", "content": content}


def _call(number: str, name: str, arguments: str) -> dict[str, Any]:
    return {"type": "tool_call", "id": number, "name": name, "arguments": arguments}
