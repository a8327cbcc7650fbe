"""Wire messages in the OpenAI form, each made once."""

import hashlib
import json
from dataclasses import replace
from typing import Any

from actors.context.entry import CallFacts, Entry, Kind
from actors.models.gateway import ModelReply, ToolCall, WireMessage
from actors.tools.archive import KeptResult
from actors.tools.schema import parse_object
from actors.tools.text import cap, neutralise, one_line
from actors.tools.tool import ToolDefinition

SHOWN = 8_000
"""Characters of a tool's answer that are shown. All of it stays in the journal."""
SHOWN_FILE = 20_000
"""The same for answers that name the files they read: these come in pages of whole lines."""
_BRIEF = 100


def tool_form(definition: ToolDefinition) -> dict[str, Any]:
    """A tool as the provider is told of it."""
    return {
        "type": "function",
        "function": {
            "name": definition.name,
            "description": definition.description,
            "parameters": definition.parameters,
        },
    }


def system_entry(text: str) -> Entry:
    """Who the model is."""
    return Entry({"role": "system", "content": text}, Kind.SYSTEM)


def task_entry(text: str) -> Entry:
    """What it is to do."""
    return Entry(user_message(text), Kind.TASK)


def notice_entry(text: str, turn: int) -> Entry:
    """Something that the loop says."""
    return Entry(user_message(text), Kind.NOTICE, turn)


def user_message(text: str) -> WireMessage:
    """Something said to the model."""
    return {"role": "user", "content": text}


def storable(reply: ModelReply) -> ModelReply:
    """The reply without half characters, which models write when cut off and nothing can store."""
    calls = tuple(
        ToolCall(*(_whole(part) for part in (call.id, call.name, call.arguments)))
        for call in reply.tool_calls
    )
    return replace(reply, text=_whole(reply.text), tool_calls=calls)


def _whole(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def reply_entry(reply: ModelReply, turn: int) -> Entry:
    """A reply as it is shown to the model in later turns."""
    message: WireMessage = {"role": "assistant", "content": reply.text or None}
    if reply.tool_calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": _valid(call)},
            }
            for call in reply.tool_calls
        ]
    elif not reply.text:
        message["content"] = "(an empty reply)"  # some providers refuse empty messages
    return Entry(message, Kind.REPLY, turn)


def result_entry(call: ToolCall, result: KeptResult, turn: int) -> Entry:
    """A tool's answer: its status on the first line, then as much of its text as is shown."""
    facts = facts_of(call, result)
    limit = SHOWN_FILE if result.paths_read else SHOWN
    text = cap(result.text, limit, f"recall call={result.call} shows them") or "(no output)"
    content = f"[{facts.ending}]\n{text}"
    message = {"role": "tool", "tool_call_id": call.id, "content": content}
    return Entry(message, Kind.RESULT, turn, facts)


def facts_of(call: ToolCall, result: KeptResult) -> CallFacts:
    """What is known of a call once it has been answered."""
    return CallFacts(
        call=result.call,
        name=result.name,
        brief=_brief(call.arguments),
        same=digest(f"{call.name} {call.arguments}"),
        ok=result.ok,
        exit_code=result.exit_code,
        seconds=result.seconds,
        size=result.size,
        digest=result.digest,
        reads=result.paths_read,
        writes=result.paths_written,
    )


def digest(text: str) -> str:
    """Equal for equal texts."""
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()


def is_readable(call: ToolCall) -> bool:
    """Whether the call's arguments are a JSON object."""
    try:
        parse_object(call.arguments)
    except ValueError:
        return False
    return True


def _valid(call: ToolCall) -> str:
    """The arguments, or JSON that says they were none: providers refuse history with bad JSON."""
    if not is_readable(call):
        return json.dumps({"invalid_arguments": call.arguments[:200]})
    return call.arguments or "{}"


def _brief(arguments: str) -> str:
    try:
        values = parse_object(arguments).values()
    except ValueError:
        return ""
    plain = [str(value) for value in values if isinstance(value, str | int | float)]
    return one_line(neutralise(", ".join(plain)), _BRIEF)
