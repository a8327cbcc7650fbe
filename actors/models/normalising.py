"""Every provider's reply in one shape, and questions that every provider takes.

Pure: completions and messages are plain data.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from actors.models.answers import read_answer
from actors.models.failures import Failure, Trouble
from actors.models.gateway import ModelReply, ModelRequest, ToolCall, WireMessage
from actors.models.text_tools import names_of, read_calls
from orchestration.messages import Usage

_THINKING = re.compile(r"\A\s*<(think|thinking|reasoning)>.*?(?:</\1>\s*|\Z)", re.DOTALL)
_THINKING_UNOPENED = re.compile(r"\A(?:(?!<think>).)*?</think>\s*", re.DOTALL)
_REFUSED = frozenset({"content_filter", "refusal", "safety"})
_CUT = frozenset({"length", "max_tokens"})
_CACHE = {"type": "ephemeral"}
_CHARS_PER_TOKEN = 4
"""For servers that report no usage: rough, but a budget must not be blind."""


def normalise(completion: Mapping[str, Any], request: ModelRequest) -> ModelReply:
    """The first choice of a completion as a reply without cost, time and model.

    Raises:
        Failure: there is no choice with a message in it.
    """
    choices = completion.get("choices") or [{}]
    message = choices[0].get("message")
    if not isinstance(message, Mapping):
        raise Failure(Trouble.GARBLED, "the completion has no message")
    refusal = _refusal(message)
    text = without_thinking(_text(message.get("content")))
    calls = tool_calls(message.get("tool_calls"), request.turn)
    if not calls:
        text, written = read_calls(text, names_of(request.tools))
        calls = tool_calls(written, request.turn)
    if not calls and (answer := read_answer(text, request)):
        text = ""
        calls = tool_calls(
            [{"function": {"name": request.answer, "arguments": answer}}], request.turn
        )
    return ModelReply(
        text=text or refusal,
        tool_calls=calls,
        finish=_finish(str(choices[0].get("finish_reason")), calls, refusal),
        usage=_usage(completion.get("usage"), message, request),
    )


def sendable(messages: Sequence[WireMessage]) -> list[WireMessage]:
    """The messages with tool arguments that parse, whatever the model once wrote.

    Some providers take the arguments apart and refuse a whole conversation because of one call
    that was cut off long ago. Same messages, same result: prompt caches keep hitting. The list
    and its dictionaries are new: whoever sends them may write into them.
    """
    return [_with_sound_calls(m) if m.get("tool_calls") else dict(m) for m in messages]


def with_cache_marks(messages: Sequence[WireMessage]) -> list[WireMessage]:
    """The messages with Anthropic's cache breakpoints: after the instructions and at the end.

    What stands before a mark is billed at a tenth when the next turn repeats it. The last message
    may be notes that are shown this once, so the one before it is marked as well.
    """
    system = [at for at, m in enumerate(messages) if m.get("role") == "system"]
    marked = {*system[-1:], max(0, len(messages) - 2), len(messages) - 1}
    return [_marked(m) if at in marked else m for at, m in enumerate(messages)]


def without_thinking(text: str) -> str:
    """The text without the reasoning that some models write before their answer.

    Some servers swallow the tag that opens it.
    """
    return _THINKING.sub("", _THINKING_UNOPENED.sub("", text))


def tool_calls(raw: Sequence[Mapping[str, Any]] | None, turn: int) -> tuple[ToolCall, ...]:
    """Tool calls with ids that are unique in the reply and arguments as raw text.

    Arguments that are no JSON (cut off, garbled) stay as the model wrote them: the agent tells it.
    """
    calls: list[ToolCall] = []
    for number, item in enumerate(raw or (), start=1):
        function = item.get("function") or {}
        name, given = str(item.get("id") or ""), function.get("arguments")
        if not name or any(call.id == name for call in calls):
            name = f"call-{turn}-{number}"
        arguments = given if isinstance(given, str) else json.dumps(given or {})
        calls.append(ToolCall(name, str(function.get("name") or ""), arguments.strip() or "{}"))
    return tuple(calls)


def _marked(message: WireMessage) -> WireMessage:
    content = message.get("content")
    if message.get("role") == "tool" or not isinstance(content, str) or not content:
        return {**message, "cache_control": _CACHE}
    return {**message, "content": [{"type": "text", "text": content, "cache_control": _CACHE}]}


def _with_sound_calls(message: WireMessage) -> WireMessage:
    calls = [
        {**call, "function": {**call["function"], "arguments": _sound(call["function"])}}
        for call in message["tool_calls"]
    ]
    return {**message, "tool_calls": calls}


def _sound(function: Mapping[str, Any]) -> str:
    text = str(function.get("arguments") or "{}")
    try:
        if isinstance(json.loads(text), dict):
            return text
    except ValueError:
        pass
    return json.dumps({"unreadable_arguments": text})


def _text(content: object) -> str:
    """Content as text: providers send a string, nothing, or a list of parts."""
    if isinstance(content, list):
        parts = [part for part in content if isinstance(part, Mapping)]
        return "".join(str(p.get("text") or "") for p in parts if p.get("type") == "text")
    return content if isinstance(content, str) else ""


def _refusal(message: Mapping[str, Any]) -> str:
    more = message.get("provider_specific_fields") or {}
    return str(message.get("refusal") or more.get("refusal") or "")


def _finish(
    reason: str, calls: tuple[ToolCall, ...], refusal: str
) -> Literal["stop", "tool_calls", "length", "refusal"]:
    """Why the model stopped. What it did counts for more than what the provider calls it."""
    if refusal or (reason in _REFUSED and not calls):
        return "refusal"
    if reason in _CUT:
        return "length"
    return "tool_calls" if calls else "stop"


def _usage(raw: object, message: object, request: ModelRequest) -> Usage:
    said: Mapping[str, Any] = raw if isinstance(raw, Mapping) else {}
    details = said.get("prompt_tokens_details") or {}
    sent = int(said.get("prompt_tokens") or 0) or _estimate([*request.messages, *request.tools])
    got = int(said.get("completion_tokens") or 0) or _estimate(message)
    cached = int(details.get("cached_tokens") or said.get("cache_read_input_tokens") or 0)
    return Usage(calls=1, input_tokens=sent, cached_tokens=min(cached, sent), output_tokens=got)


def _estimate(data: object) -> int:
    return len(json.dumps(data, default=str)) // _CHARS_PER_TOKEN
