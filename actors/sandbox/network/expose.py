"""One port of a sandbox, opened on this machine's loopback to a token's holder, for a while."""

import asyncio
import hmac
import re
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress

from actors.sandbox.network.relay import Streams, refuse, relay, request_head
from actors.sandbox.protocol import Endpoint, SandboxError
from orchestration.clock import Clock

HEADER = "X-Manta-Token"
_TOKEN_LINE = re.compile(rb"\r\n" + HEADER.encode() + rb":[ \t]*([^\r\n]*)", re.IGNORECASE)
DialInside = Callable[[], Awaitable[Streams]]


class Exposed:
    """A door to one port. HTTP only: the token travels in a header, which goes no further."""

    def __init__(self, dial: DialInside, clock: Clock, ttl_s: float) -> None:
        self._dial = dial
        self._clock = clock
        self._expires = clock.now() + ttl_s
        self._token = secrets.token_urlsafe(24)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> Endpoint:
        """Start listening on a free port."""
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        return Endpoint(f"http://127.0.0.1:{port}", {HEADER: self._token}, self._expires)

    def close(self) -> None:
        """Shut the door and break what is open."""
        for writer in self._writers:
            writer.transport.abort()
        if self._server:
            self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with suppress(OSError):
                await self._handle((reader, writer))
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _handle(self, here: Streams) -> None:
        head = await request_head(here[0])
        shown = _TOKEN_LINE.search(head)
        if not shown or not hmac.compare_digest(shown[1].strip(), self._token.encode()):
            await refuse(here[1], f"send the header {HEADER}")
            return
        if self._clock.now() >= self._expires:
            await refuse(here[1], "this endpoint has expired")
            return
        try:
            there = await self._dial()
        except SandboxError as error:
            await refuse(here[1], error.what)
            return
        there[1].write(_TOKEN_LINE.sub(b"", head))
        await relay(here, there, up=_ignore, down=_ignore)


def _ignore(size: int) -> None:
    del size
