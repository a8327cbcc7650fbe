"""A background process, as `spawn` returns it."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable

from actors.sandbox.commands.process import Child, Stream
from actors.sandbox.protocol import ExecResult


class Inbox:
    """Output that nobody has read yet; the oldest is dropped past `limit` bytes, so that a
    server whose output nobody reads is never blocked."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self.news = asyncio.Event()

    def take(self, stream: Stream, data: bytes) -> None:
        """An `OnOutput` listener."""
        if stream != "stdout":
            return
        self._chunks.append(data)
        self._size += len(data)
        while self._size > self._limit and len(self._chunks) > 1:
            self._size -= len(self._chunks.popleft())
        self.news.set()

    def empty(self) -> bytes:
        """All that waits, at once."""
        data = b"".join(self._chunks)
        self._chunks.clear()
        self._size = 0
        self.news.clear()
        return data


class BackgroundProcess:
    """A child that outlives the call that made it, not the sandbox."""

    def __init__(self, child: Child, inbox: Inbox, ended: Callable[[Child], None]) -> None:
        self.id = str(child.pid)
        self._child = child
        self._inbox = inbox
        self._result: asyncio.Task[ExecResult] = asyncio.create_task(child.finish(None))
        self._result.add_done_callback(lambda _: inbox.news.set())
        self._result.add_done_callback(lambda _: ended(child))

    async def write(self, data: bytes) -> None:
        self._child.feed(data)
        await self._child.flushed()

    async def close_stdin(self) -> None:
        self._child.end_input()

    async def read(self, *, timeout_s: float) -> bytes:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._inbox.news.wait()
        data = self._inbox.empty()
        if self._result.done():
            self._inbox.news.set()
        return data

    async def wait(self, *, timeout_s: float) -> ExecResult | None:
        done, _ = await asyncio.wait({self._result}, timeout=timeout_s)
        return self._result.result() if done else None

    async def kill(self) -> None:
        await self._child.kill()
        await asyncio.wait({self._result})
