"""Counting tokens, offline. The only door to tiktoken."""

import importlib.util
import os
from functools import cache
from pathlib import Path

import tiktoken

from actors.models.gateway import WireMessage

_ENCODING = "cl100k_base"
_PER_MESSAGE = 8
"""More than any provider adds around one message or tool call."""


def upper_bound(message: WireMessage) -> int:
    """At least as many as `count` gives: no token is shorter than a byte. Costs next to nothing."""
    return sum(len(part.encode("utf-8", "replace")) + _PER_MESSAGE for part in _parts(message))


def count(message: WireMessage) -> int:
    """Tokens of one message."""
    encode = _encoding().encode_ordinary
    return sum(len(encode(part)) + _PER_MESSAGE for part in _parts(message))


def _parts(message: WireMessage) -> list[str]:
    functions = [call["function"] for call in message.get("tool_calls") or ()]
    calls = [f"{function['name']}{function['arguments']}" for function in functions]
    return [message.get("content") or "", *calls]


@cache
def _encoding() -> tiktoken.Encoding:
    """Takes 40 MB and 0.2 s, so it waits for the first context that may be too long.

    litellm ships the tables; it is found but not imported, which would take far more.
    """
    litellm = importlib.util.find_spec("litellm")
    for place in (litellm and litellm.submodule_search_locations) or ():
        tables = Path(place) / "litellm_core_utils" / "tokenizers"
        os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(tables))
    return tiktoken.get_encoding(_ENCODING)
