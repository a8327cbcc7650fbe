"""Tools for models that have no means of their own to call them: written out, and read back.

Every such model was trained on some form of its own, and models that do have the means sometimes
fall back into one, so all common forms are read. Pure: same messages, same result.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from actors.models.gateway import WireMessage

Written = dict[str, Any]
"""A call in the OpenAI form."""
_HOW = """

# Tools

To call a tool, end your reply with one or more blocks of exactly this form:

<tool_call>
{"name": "TOOL", "arguments": {...}}
</tool_call>

The arguments are JSON that fits the tool's schema. The answers come back as <tool_result> blocks;
never write these yourself. The tools:
"""
_OPENINGS = re.compile(r"<tool_call>|<\|tool_call\|>|<\|python_tag\|>|\[TOOL_CALLS\]|<function=")
_BLOCK = re.compile(r"(?:<tool_call>|<\|tool_call\|>|<\|python_tag\|>)\s*")
_FENCED = re.compile(r"\A\s*```(?:json|tool_call)?\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL)
_FUNCTION = re.compile(r"<function=([\w.-]+)>(.*?)(?:</function>|\Z)", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=([\w.-]+)>\n?(.*?)\n?(?:</parameter>|\Z)", re.DOTALL)
_MARKS = re.compile(r"<(?=/?tool_(?:call|result)\b)")
"""Where an answer, which anybody may have written, would end itself or begin another."""
_NAME = re.compile(r'"name"\s*:\s*"([\w.-]+)"')
_CUT_ARGUMENTS = re.compile(r'"(?:arguments|parameters)"\s*:\s*(\{.*)\Z', re.DOTALL)
_ARGS = re.compile(r"\s*([\w.-]+)\s*\[ARGS\]\s*")


def names_of(tools: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """The names of tool definitions in the OpenAI form."""
    return frozenset(str(tool["function"]["name"]) for tool in tools)


# --- written out ---------------------------------------------------------------------------------


def written_out(
    messages: Sequence[WireMessage], tools: Sequence[Mapping[str, Any]]
) -> list[WireMessage]:
    """The conversation with its tools, calls and answers as plain text.

    Answers become the user's words, and what the user says in a row becomes one message: chat
    templates refuse two.
    """
    plain: list[WireMessage] = []
    names = {call["id"]: call["function"]["name"] for m in messages for call in _calls(m)}
    for message in messages:
        role, text = str(message["role"]), _shown(message, names)
        role = "user" if role == "tool" else role
        if role == "user" and plain and plain[-1]["role"] == "user":
            plain[-1] = {"role": role, "content": f"{plain[-1]['content']}\n\n{text}"}
        else:
            plain.append({"role": role, "content": text})
    return _explained(plain, tools)


def _explained(
    messages: list[WireMessage], tools: Sequence[Mapping[str, Any]]
) -> list[WireMessage]:
    if not tools:
        return messages
    listed = "\n".join(json.dumps(tool["function"], ensure_ascii=False) for tool in tools)
    how = f"{_HOW}\n{listed}"
    if messages and messages[0]["role"] == "system":
        return [{"role": "system", "content": messages[0]["content"] + how}, *messages[1:]]
    return [{"role": "system", "content": how.lstrip()}, *messages]


def _calls(message: WireMessage) -> Sequence[Mapping[str, Any]]:
    return message.get("tool_calls") or ()


def _shown(message: WireMessage, names: Mapping[str, str]) -> str:
    text = str(message.get("content") or "")
    if message["role"] == "tool":
        name = names.get(str(message.get("tool_call_id")), "")
        return f'<tool_result name="{name}">\n{_MARKS.sub("&lt;", text)}\n</tool_result>'
    blocks = [
        f'<tool_call>\n{{"name": {json.dumps(call["function"]["name"])}, '
        f'"arguments": {call["function"]["arguments"]}}}\n</tool_call>'
        for call in _calls(message)
    ]
    return "\n".join([*([text] if text else []), *blocks])


# --- read back -----------------------------------------------------------------------------------


def read_calls(text: str, known: Collection[str]) -> tuple[str, list[Written]]:
    """What the model said, and the calls of known tools that it wrote below it as text.

    Calls are read only where nothing but calls follows: a model that quotes one calls nothing.
    Arguments that were cut off stay as they were written, so that the model can be told.
    """
    if not known:
        return text, []
    whole = _FENCED.sub(r"\1", text) if _FENCED.match(text) else text
    if calls := _known(_objects(whole.strip()), known):
        return "", calls
    opening = _OPENINGS.search(text)
    if opening is None:
        return text, []
    words, below = text[: opening.start()].rstrip(), text[opening.start() :]
    calls = _known(_read(below), known)
    return (words, calls) if calls else (text, [])


def _read(text: str) -> list[Written] | None:
    """The calls in a text that holds nothing else; None where it holds more."""
    if text.startswith("[TOOL_CALLS]"):
        return _mistral(text.removeprefix("[TOOL_CALLS]"))
    calls: list[Written] = []
    while text := text.lstrip():
        if function := _FUNCTION.match(text):
            calls.append(_call(function[1], _parameters(function[2])))
            text = text[function.end() :]
        elif block := _BLOCK.match(text):
            text = text[block.end() :]
            if _FUNCTION.match(text):
                continue
            found, text = _first_object(text)
            if not found:
                return None
            calls += found
        elif text.startswith(("</tool_call>", "<|/tool_call|>")):
            text = text.partition(">")[2]
        else:
            return None
    return calls


def _mistral(text: str) -> list[Written] | None:
    if named := _ARGS.match(text):
        return [_call(named[1], text[named.end() :].strip())]
    return _objects(text.strip())


def _first_object(text: str) -> tuple[list[Written], str]:
    """The calls of the JSON at the beginning, and the rest of the text."""
    try:
        value, end = json.JSONDecoder(strict=False).raw_decode(text)
    except (ValueError, RecursionError):
        return _cut_off(text), ""
    return _of(value), text[end:]


def _objects(text: str) -> list[Written]:
    """The calls of a text that is JSON from end to end."""
    if text[:1] not in {"{", "["}:
        return []
    try:
        return _of(json.loads(text, strict=False))
    except (ValueError, RecursionError):
        return []


def _of(value: object) -> list[Written]:
    items = value if isinstance(value, list) else [value]
    calls: list[Written] = []
    for item in items:
        call = item.get("function", item) if isinstance(item, Mapping) else {}
        if not isinstance(call, Mapping) or not isinstance(call.get("name"), str):
            return []
        given = call.get("arguments", call.get("parameters"))
        if given is None:
            return []
        calls.append(_call(call["name"], given))
    return calls


def _cut_off(text: str) -> list[Written]:
    """A call whose JSON breaks off within its arguments."""
    name, arguments = _NAME.search(text), _CUT_ARGUMENTS.search(text)
    if name is None:
        return []
    rest = arguments[1].partition("</tool_call>")[0].rstrip() if arguments else "{"
    return [_call(name[1], rest)]


def _parameters(text: str) -> object:
    """Arguments as JSON, or each in a tag of its own."""
    if tagged := _PARAMETER.findall(text):
        return {name: _value(value) for name, value in tagged}
    return text.strip() or "{}"


def _value(text: str) -> object:
    """A tagged value: JSON where it looks like more than a word."""
    if text[:1] in {"{", "["} or text in {"true", "false", "null"} or text.isdigit():
        try:
            return json.loads(text)
        except ValueError:
            pass
    return text


def _call(name: str, arguments: object) -> Written:
    return {"function": {"name": name, "arguments": arguments}}


def _known(calls: list[Written] | None, known: Collection[str]) -> list[Written]:
    """The calls if every one is of a known tool: else it was no call but an example."""
    found = calls or []
    return found if all(call["function"]["name"] in known for call in found) else []
