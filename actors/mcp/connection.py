"""One conversation with one server, kept in a task of its own."""

import asyncio
import json
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import httpx2
from mcp import Client, MCPError
from mcp_types import (
    CONNECTION_CLOSED,
    INVALID_REQUEST,
    CallToolResult,
    Implementation,
    ServerNotification,
    Tool,
    ToolListChangedNotification,
)

from actors.mcp.config import ServerConfig, secrets
from actors.mcp.pipes import OpenPipe
from actors.mcp.protocol import RemoteAnswer, RemoteTool
from actors.mcp.transport import Ending, over_http, over_pipe

MOST_TOOLS, MOST_PAGES = 200, 20
_ENDS_WITHIN_S = 10.0
_HIDDEN = "(hidden)"


class ServerFailedError(Exception):
    """The server is not there, or not any more: says why."""


class Connection:
    """Talks with a server until it is closed or the server ends.

    The `mcp` package wants a conversation begun and ended by one task: that is `_run`.
    """

    def __init__(self, config: ServerConfig, open_pipe: OpenPipe) -> None:
        self.config = config
        self._open_pipe = open_pipe
        self._secrets = secrets(config)
        self._ending = Ending()
        self._closing = asyncio.Event()
        self._ready: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._running: asyncio.Task[None] | None = None
        self.has_news = False
        """Whether the server says that its tools have changed."""

    @property
    def is_alive(self) -> bool:
        return self._running is not None and not self._running.done() and not self._ending.trouble

    async def start(self) -> None:
        """Begin the conversation.

        Raises:
            ServerFailedError: it could not be begun in time.
        """
        self._running = asyncio.create_task(self._run())
        limit = self.config.start_timeout_s
        try:
            async with asyncio.timeout(limit):
                await asyncio.shield(self._ready)
        except TimeoutError:
            await self.close()
            raise ServerFailedError(self._why(f"it did not start within {limit:g} s")) from None
        except asyncio.CancelledError:
            await self.close()
            raise
        except Exception as error:  # noqa: BLE001 - a stranger's server may break in any way
            await self.close()
            raise ServerFailedError(self._why(_cause(error))) from None

    async def tools(self) -> list[RemoteTool]:
        """What the server offers now.

        Raises:
            ServerFailedError: it does not say.
        """
        self.has_news = False
        try:
            async with asyncio.timeout(self.config.start_timeout_s):
                return await self._listed(await self._ready)
        except TimeoutError:
            raise ServerFailedError("it does not list its tools in time") from None
        except Exception as error:  # noqa: BLE001 - a stranger's server may break in any way
            raise ServerFailedError(self._why(_cause(error))) from None

    async def _listed(self, client: Client) -> list[RemoteTool]:
        found: list[RemoteTool] = []
        cursor: str | None = None
        for _ in range(MOST_PAGES):
            page = await client.list_tools(cursor=cursor, cache_mode="bypass")
            found += [self._tool(tool) for tool in page.tools]
            cursor = page.next_cursor
            if not cursor or len(found) > MOST_TOOLS:
                break
        return found[:MOST_TOOLS]

    def _tool(self, tool: Tool) -> RemoteTool:
        said = self._hide(tool.description or tool.title or "")
        return RemoteTool(self.config.name, tool.name, said, tool.input_schema)

    async def call(self, tool: str, arguments: dict[str, Any]) -> RemoteAnswer:
        """Call a tool. A server that hangs is told that nobody waits any more.

        Raises:
            ServerFailedError: the server has ended.
        """
        client = await self._ready
        limit = self.config.call_timeout_s
        try:
            async with asyncio.timeout(limit):
                result = await client.call_tool(tool, arguments)
        except TimeoutError:
            return RemoteAnswer(f"{tool} did not answer within {limit:g} s.", ok=False)
        except Exception as error:  # noqa: BLE001 - a stranger's server may break in any way
            if not self.is_alive or _lost(error):
                await self.close()  # its last words come with its end
                raise ServerFailedError(self._why(_cause(error))) from None
            return RemoteAnswer(self._hide(_cause(error)), ok=False)
        return RemoteAnswer(self._hide(_text(result)), ok=not result.is_error)

    async def close(self) -> None:
        """End the conversation, and the server's process with it."""
        self._closing.set()
        if self._running is None:
            return
        if not self._ready.done():
            self._running.cancel()  # in the middle of a greeting that nobody answers
        done, _ = await asyncio.wait({self._running}, timeout=_ENDS_WITHIN_S)
        if not done:
            self._running.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await self._running
        if self._ready.done() and not self._ready.cancelled():
            self._ready.exception()  # seen: `start` has told of it

    async def _run(self) -> None:
        try:
            transport = (
                over_http(self.config)
                if self.config.url
                else over_pipe(self.config, self._open_pipe, self._ending)
            )
            me = Implementation(name="manta", version="0")
            async with Client(transport, message_handler=self._heard, client_info=me) as client:
                self._ready.set_result(client)
                await self._closing.wait()
        except Exception as error:  # noqa: BLE001 - a stranger's server may break in any way
            self._ending.trouble = self._ending.trouble or _cause(error)
            if not self._ready.done():
                self._ready.set_exception(error)

    async def _heard(self, message: ServerNotification | Exception) -> None:
        if isinstance(message, ToolListChangedNotification):
            self.has_news = True

    def _why(self, cause: str) -> str:
        return self._hide(str(self._ending) or cause)

    def _hide(self, text: str) -> str:
        """Without the secrets that the server was told, should it repeat them."""
        for secret in self._secrets:
            text = text.replace(secret, _HIDDEN)
        return text


def _lost(error: Exception) -> bool:
    """Whether the way to the server is gone, and not only this call."""
    if isinstance(error, MCPError):
        return error.code in {CONNECTION_CLOSED, INVALID_REQUEST}
    return isinstance(error, httpx2.TransportError | OSError)


def _cause(error: BaseException) -> str:
    """The innermost reason, in a line."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    said = " ".join(str(error).split())
    return (said or type(error).__name__)[:300]


def _text(result: CallToolResult) -> str:
    """All that can be read of a result; pictures and the like are named."""
    parts = list(_parts(result.content))
    if not any(parts) and result.structured_content is not None:
        return json.dumps(result.structured_content, ensure_ascii=False, indent=1)
    return "\n".join(parts)


def _parts(content: Iterable[Any]) -> Iterable[str]:
    for each in content:
        match each.type:
            case "text":
                yield each.text
            case "resource" if hasattr(each.resource, "text"):
                yield f"[{each.resource.uri}]\n{each.resource.text}"
            case "resource_link":
                yield f"[{each.name}: {each.uri}]"
            case kind:
                yield f"[{kind}: not text, left out]"
