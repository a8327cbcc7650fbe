"""JSON-RPC 2.0 with one other process, as language servers and MCP servers speak it.

A `Peer` does no I/O of its own: whoever owns the pipe feeds it bytes and gives it a way to send.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

Json: TypeAlias = Any
"""What the other side said; checked where it is used."""
LARGEST = 64_000_000
"""Bytes of one message, and of what may wait unparsed."""
METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL_ERROR = -32601, -32602, -32603


class RpcError(Exception):
    """The other side answered with an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code, self.message = code, message

    def __str__(self) -> str:
        return self.message


class GoneError(Exception):
    """The other side has ended, or speaks no JSON-RPC; nothing more will come."""


class Framing(Protocol):
    """Where one message ends and the next begins."""

    def pack(self, message: bytes) -> bytes: ...

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The messages that are complete now.

        Raises:
            GoneError: what comes is no message, or has no end.
        """
        ...


class Headers:
    """`Content-Length`, an empty line, the message: language servers."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def pack(self, message: bytes) -> bytes:
        return b"Content-Length: %d\r\n\r\n%b" % (len(message), message)

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._waiting += data
        while (end := self._waiting.find(b"\r\n\r\n")) >= 0:
            length = _length(bytes(self._waiting[:end]))
            if len(self._waiting) < (whole := end + 4 + length):
                return
            message = bytes(self._waiting[end + 4 : whole])
            del self._waiting[:whole]
            yield message
        if len(self._waiting) > 8192:
            raise GoneError("it sent something that is no message")


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit():
            if (length := int(value)) > LARGEST:
                raise GoneError(f"it sent a message of {length:,} bytes")
            return length
    raise GoneError("it sent a message without its length")


class Lines:
    """One message a line: MCP over stdio. Lines that are no JSON are passed over."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def pack(self, message: bytes) -> bytes:
        return message + b"\n"

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._waiting += data
        *whole, rest = self._waiting.split(b"\n")
        self._waiting = rest
        if len(rest) > LARGEST:
            raise GoneError("it sent a line without an end")
        yield from (bytes(line) for line in whole if line.lstrip().startswith(b"{"))


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between the two protocols that are built on JSON-RPC."""

    framing: Callable[[], Framing]
    cancel: str
    """The notification that withdraws a request."""
    cancelled_id: str
    """Its parameter."""


LSP = Dialect(Headers, "$/cancelRequest", "id")
MCP = Dialect(Lines, "notifications/cancelled", "requestId")

Handler = Callable[[str, Json], Awaitable[Json]]
"""Answers a request, given its method and parameters, or raises `RpcError`.

It is told of notifications too; what it returns for them is dropped.
"""


async def refuse(method: str, params: Json) -> Json:
    """A handler that offers nothing."""
    del params
    raise RpcError(METHOD_NOT_FOUND, f"there is no method {method}")


class Peer:
    """Requests and answers in both directions, any number at a time."""

    def __init__(
        self, dialect: Dialect, send: Callable[[bytes], Awaitable[None]], handler: Handler = refuse
    ) -> None:
        self._dialect, self._send, self._handler = dialect, send, handler
        self._framing = dialect.framing()
        self._count = self._told = 0
        self._asked: dict[int, asyncio.Future[Json]] = {}
        self._answering: dict[str, asyncio.Task[None]] = {}
        self._ended = ""

    async def request(self, method: str, params: Json, *, timeout_s: float) -> Json:
        """Ask, and wait for the answer. A request given up is withdrawn.

        Raises:
            RpcError: the answer is an error.
            GoneError: the other side has ended.
            TimeoutError: no answer in time.
        """
        if self._ended:
            raise GoneError(self._ended)
        self._count += 1
        number, answer = self._count, asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            async with asyncio.timeout(timeout_s):
                await self._say(id=number, method=method, params=params)
                return await answer
        except (TimeoutError, asyncio.CancelledError):
            if method != "initialize":
                await self._withdraw(number)
            raise
        finally:
            del self._asked[number]

    async def notify(self, method: str, params: Json) -> None:
        """Say something that needs no answer."""
        await self._say(method=method, params=params)

    def feed(self, data: bytes) -> None:
        """Bytes that the other side sent.

        Raises:
            GoneError: they make no sense.
        """
        for message in self._framing.feed(data):
            try:
                value = json.loads(message)
            except (ValueError, RecursionError):
                raise GoneError("it sent something that is no JSON") from None
            if isinstance(value, dict):
                self._take(value)

    def end(self, why: str) -> None:
        """Nothing more will come: whoever waits is told why."""
        self._ended = self._ended or why
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(GoneError(self._ended))
        for task in self._answering.values():
            task.cancel()

    def _take(self, message: dict[str, Json]) -> None:
        method, number = message.get("method"), message.get("id")
        if isinstance(method, str):
            self._called(method, message.get("params"), number)
            return
        answer = self._asked.get(number) if isinstance(number, int) else None
        if answer is None or answer.done():
            return
        if isinstance(error := message.get("error"), dict):
            code, said = error.get("code"), str(error.get("message", "no reason given"))
            answer.set_exception(RpcError(code if isinstance(code, int) else 0, said))
        else:
            answer.set_result(message.get("result"))

    def _called(self, method: str, params: Json, number: Json) -> None:
        if method == self._dialect.cancel:
            withdrawn = params.get(self._dialect.cancelled_id) if isinstance(params, dict) else None
            if task := self._answering.get(json.dumps(withdrawn)):
                task.cancel()
            return
        self._told += 1
        key = json.dumps(number) if number is not None else f"notification {self._told}"
        task = asyncio.ensure_future(self._answer(method, params, number))
        self._answering[key] = task
        task.add_done_callback(lambda _: self._answering.pop(key, None))

    async def _answer(self, method: str, params: Json, number: Json) -> None:
        try:
            result = await self._handler(method, params)
        except RpcError as error:
            said: dict[str, Json] = {"error": {"code": error.code, "message": error.message}}
        except Exception as error:  # noqa: BLE001 - a door: what breaks here is told to the other side
            text = f"{type(error).__name__}: {error}"
            said = {"error": {"code": INTERNAL_ERROR, "message": text}}
        else:
            said = {"result": result}
        if number is not None:
            await self._quietly(id=number, **said)

    async def _withdraw(self, number: int) -> None:
        """Nobody waits for this, so it must not wait for long itself."""
        params = {self._dialect.cancelled_id: number}
        await asyncio.shield(
            asyncio.ensure_future(self._quietly(method=self._dialect.cancel, params=params))
        )

    async def _quietly(self, **message: Json) -> None:
        try:
            async with asyncio.timeout(1.0):
                await self._say(**message)
        except Exception:  # noqa: BLE001 - every kind of pipe breaks in its own way
            return  # its end shows by itself

    async def _say(self, **message: Json) -> None:
        if self._ended:
            raise GoneError(self._ended)
        data = json.dumps({"jsonrpc": "2.0", **message}, ensure_ascii=False)
        try:
            await self._send(self._framing.pack(data.encode("utf-8", "replace")))
        except OSError as error:
            raise GoneError(f"it takes no more words: {error}") from None
