"""The tools as an MCP server on stdin and stdout, for any client."""

import asyncio
import os
import sys
import threading
from contextlib import suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from actors.lsp.definitions import definitions
from actors.lsp.rpc import INVALID_PARAMS, MCP, METHOD_NOT_FOUND, GoneError, Json, Peer, RpcError
from actors.lsp.tools import LanguageTools

VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""Revisions of MCP in which what we say is the same. Clients of a newer one ask for these."""
_CHUNK = 65_536
_LOOKS_EVERY_S = 15.0
_INSTRUCTIONS = (
    "Questions about code, answered by language servers: definitions, references, types, "
    "diagnostics, renaming across files. Name symbols; files are only needed where names are "
    "ambiguous. Files may be changed by other means at any time."
)


class Door:
    """One client's conversation, from its first word to the end of its input."""

    def __init__(self, tools: LanguageTools, *, idle_s: float) -> None:
        self._tools, self._idle_s = tools, idle_s
        self._peer = Peer(MCP, self._send, self._handle)
        self._turn = asyncio.Lock()

    async def serve(self) -> None:
        """Answer until stdin ends; then all language servers are ended."""
        inbox: asyncio.Queue[bytes] = asyncio.Queue()
        # A thread, for stdin may be a file or nothing; one that nobody waits for at the end.
        listening = partial(_read_all, asyncio.get_running_loop(), inbox)
        threading.Thread(target=listening, daemon=True).start()
        watch = asyncio.create_task(self._stop_idle())
        try:
            while data := await inbox.get():
                self._peer.feed(data)
        except GoneError as error:
            sys.stderr.write(f"manta lsp: the client is not understood: {error}\n")
        finally:
            self._peer.end("the client has gone")
            watch.cancel()
            await self._tools.close()

    async def _send(self, data: bytes) -> None:
        async with self._turn:
            await asyncio.to_thread(_write_all, data)

    async def _stop_idle(self) -> None:
        while True:
            await asyncio.sleep(min(_LOOKS_EVERY_S, self._idle_s))
            await self._tools.stop_idle(self._idle_s)

    async def _handle(self, method: str, params: Json) -> Json:
        match method:
            case "initialize":
                return _greeting(params)
            case "ping":
                return {}
            case "tools/list":
                return {"tools": list(definitions())}
            case "tools/call":
                return await self._call(params)
            case _ if method.startswith("notifications/"):
                return None
            case _:
                raise RpcError(METHOD_NOT_FOUND, f"there is no method {method}")

    async def _call(self, params: Json) -> dict[str, Any]:
        if not isinstance(params, dict) or not isinstance(params.get("name"), str):
            raise RpcError(INVALID_PARAMS, "a call names its tool")
        answer = await self._tools.call(params["name"], params.get("arguments") or {})
        result: dict[str, Any] = {
            "content": [{"type": "text", "text": answer.text}],
            "isError": not answer.ok,
        }
        if answer.written:
            result["structuredContent"] = {"written": list(answer.written)}
        return result


def _greeting(params: Json) -> dict[str, Any]:
    wanted = params.get("protocolVersion") if isinstance(params, dict) else None
    return {
        "protocolVersion": wanted if wanted in VERSIONS else VERSIONS[-1],
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "manta-lsp", "version": _version()},
        "instructions": _INSTRUCTIONS,
    }


def _version() -> str:
    with suppress(PackageNotFoundError):
        return version("manta-team")
    return "0"


def _read_all(loop: asyncio.AbstractEventLoop, inbox: "asyncio.Queue[bytes]") -> None:
    """From stdin to its end, which is told as empty bytes."""
    data = b"begin"
    while data:
        try:
            data = os.read(0, _CHUNK)
        except OSError:
            data = b""
        with suppress(RuntimeError):  # the loop has ended before stdin did
            loop.call_soon_threadsafe(inbox.put_nowait, data)


def _write_all(data: bytes) -> None:
    """To stdout, which may be a pipe that is full."""
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]
