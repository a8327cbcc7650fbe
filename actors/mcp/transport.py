"""What carries the conversation, in the form that the `mcp` package takes.

The package's own stdio transport holds a line of any length in memory; ours ends a server that
floods.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import httpx2
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client._transport import TransportStreams
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

from actors.mcp.config import ServerConfig
from actors.mcp.pipes import OpenPipe, Pipe

LARGEST = 8_000_000
"""Bytes of one message."""
UNASKED = 32_000_000
"""Bytes that a server may send between two things that we say."""
_CONNECT_S = 10.0
_SILENT_S = 300.0
"""A stream may be silent for so long; calls are timed by whoever makes them."""


class FloodError(Exception):
    """A server sends without measure."""


@dataclass(slots=True)
class Ending:
    """Why a conversation ended, once it has; for people."""

    trouble: str = ""
    last_words: str = ""

    def __str__(self) -> str:
        words = " ".join(self.last_words.split())[-300:]
        return f"{self.trouble}; its last words: {words}" if words else self.trouble


Incoming = SessionMessage | Exception
Streams = tuple[MemoryObjectReceiveStream[Incoming], MemoryObjectSendStream[SessionMessage]]


class _Talk:
    """Carries messages between a server's pipe and two streams."""

    def __init__(self, pipe: Pipe, ending: Ending) -> None:
        self._pipe, self._ending = pipe, ending
        self._unasked = 0
        self._heard, self.incoming = anyio.create_memory_object_stream[Incoming](0)
        self.outgoing, self._said = anyio.create_memory_object_stream[SessionMessage](0)

    async def listen(self) -> None:
        """Until the server ends, or we hang up."""
        async with self._heard:
            try:
                await self._hear()
                self._ending.trouble = "it has ended"
            except FloodError:
                self._ending.trouble = "it sends without measure"
            except (anyio.ClosedResourceError, anyio.BrokenResourceError):
                return

    async def _hear(self) -> None:
        waiting = b""
        while data := await self._pipe.read():
            self._unasked += len(data)
            *lines, waiting = (waiting + data).split(b"\n")
            if len(waiting) > LARGEST or self._unasked > UNASKED:
                raise FloodError
            for line in lines:
                await self._deliver(line)

    async def _deliver(self, line: bytes) -> None:
        """A message; lines that are none, such as banners, are passed over."""
        if not line.lstrip().startswith(b"{"):
            return
        try:
            message = jsonrpc_message_adapter.validate_json(line, by_name=False)
        except ValueError:
            return
        await self._heard.send(SessionMessage(message))

    async def speak(self) -> None:
        """Until we hang up, or the server does."""
        async with self._said:
            async for message in self._said:
                text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                self._unasked = 0
                try:
                    await self._pipe.write(text.encode() + b"\n")
                except OSError:
                    self._ending.trouble = self._ending.trouble or "it takes no more words"
                    await self._heard.aclose()
                    return

    async def close(self) -> None:
        for stream in (self._heard, self.incoming, self.outgoing, self._said):
            await stream.aclose()


@asynccontextmanager
async def over_pipe(
    config: ServerConfig, open_pipe: OpenPipe, ending: Ending
) -> AsyncGenerator[Streams]:
    """Start a server and talk with it; it is dead on exit."""
    pipe = await open_pipe(config)
    talk = _Talk(pipe, ending)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(talk.listen)
            group.start_soon(talk.speak)
            try:
                yield talk.incoming, talk.outgoing
            finally:
                group.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            ending.last_words = await pipe.close()
            await talk.close()


@asynccontextmanager
async def over_http(config: ServerConfig) -> AsyncGenerator[TransportStreams]:
    """Streamable HTTP. It follows no redirect to another place, so headers stay where they
    belong."""
    timeout = httpx2.Timeout(_CONNECT_S, read=max(_SILENT_S, config.call_timeout_s))
    async with (
        httpx2.AsyncClient(headers=dict(config.headers), timeout=timeout) as client,
        streamable_http_client(config.url, http_client=client) as streams,
    ):
        yield streams
