"""Bytes carried both ways between two connections."""

import asyncio
from collections.abc import Callable

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Count = Callable[[int], None]
"""Told of bytes as they pass; raises OSError to end the connection."""
_IDLE_S = 300.0
_CHUNK = 65_536


async def _carry(source: asyncio.StreamReader, target: asyncio.StreamWriter, count: Count) -> None:
    while True:
        async with asyncio.timeout(_IDLE_S):
            data = await source.read(_CHUNK)
            if not data:
                target.write_eof()
                return
            count(len(data))
            target.write(data)
            await target.drain()


async def relay(here: Streams, there: Streams, *, up: Count, down: Count) -> None:
    """Carry until both sides have ended, or one breaks or idles; closes `there`."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_carry(here[0], there[1], up))
            group.create_task(_carry(there[0], here[1], down))
    except* (OSError, TimeoutError):
        pass
    finally:
        there[1].close()


async def request_head(reader: asyncio.StreamReader, within_s: float = 15.0) -> bytes:
    """The first lines of an HTTP request, to the empty one; nothing if there is no such thing."""
    try:
        async with asyncio.timeout(within_s):
            return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, OSError):
        return b""


async def refuse(writer: asyncio.StreamWriter, why: str) -> None:
    """Answer 403 with a sentence."""
    body = f"{why}\n".encode()
    writer.write(
        b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nConnection: close\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    )
    await writer.drain()
