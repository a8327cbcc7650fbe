"""The only way out of a local sandbox with a network: a proxy on the host's side that reads a list.

It listens inside the sandbox's own network, so nothing else can reach it, and the sandbox has no
other route. Hosts and ports must be named; names are resolved here, and an address that is not
public is refused after resolution, so that neither the metadata service nor a service of this
machine can be reached by any name. What an allowed host does with what is sent to it is not in
our hands: allow few, and the byte caps small.
"""

import asyncio
import contextlib
import ipaddress
import json
import re
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from actors.sandbox.network.relay import Streams, refuse, relay, request_head
from orchestration.errors import UsageError

PORT = 3128
_HEAD_LIMIT = 32_768
_LOG_LIMIT = 10_000_000
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_PATTERN = re.compile(r"(?:\*\.)?([a-z0-9][a-z0-9.-]*\.[a-z0-9-]+|[a-z0-9-]+):([0-9]{1,5})")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_HOP_HEADERS = (b"proxy-", b"connection:", b"keep-alive:")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
Dial = Callable[[str, int], Awaitable[Streams]]


class RefusedError(Exception):
    """This connection is not made; the text is for the log and the client."""


@dataclass(frozen=True, slots=True)
class EgressLimits:
    """Caps for one sandbox. Bytes over its life."""

    connections: int = 64
    sent: int = 64 * 1024**2
    received: int = 4 * 1024**3


@dataclass(frozen=True, slots=True)
class Decision:
    """One line of the log."""

    at: float
    host: str
    port: int
    allowed: bool
    reason: str
    sent: int = 0
    received: int = 0


class AllowList:
    """`host:port` patterns; `*.host:port` allows every name below it.

    Raises:
        UsageError: a pattern that is none, or that would allow everything.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        for pattern in patterns:
            found = _PATTERN.fullmatch(pattern.lower())
            if not found or not 0 < int(found[2]) < 65_536:
                raise UsageError(
                    f"{pattern[:80]!r} does not name what may be reached",
                    "write host:port or *.host:port, such as pypi.org:443",
                )
        self._patterns = tuple(pattern.lower() for pattern in patterns)

    def allows(self, host: str, port: int) -> bool:
        for pattern in self._patterns:
            name, _, number = pattern.rpartition(":")
            if int(number) == port and (
                host == name or (name.startswith("*.") and host.endswith(name[1:]))
            ):
                return True
        return False


def is_public(text: str) -> bool:
    """Whether an address is one of the open internet, also when wrapped in another."""
    address: Address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return address.is_global and not address.is_multicast and not address.is_reserved


async def system_resolve(host: str, port: int) -> list[str]:
    """Ask this machine's resolver."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


def dial_public(resolve: Resolve = system_resolve) -> Dial:
    """Connections to public addresses only, to the very address that was checked."""

    async def dial(host: str, port: int) -> Streams:
        try:
            addresses = await resolve(host, port)
        except OSError as error:
            raise RefusedError(f"{host} is not known: {error}") from None
        if not addresses or not all(is_public(address) for address in addresses):
            raise RefusedError(f"{host} has an address that is not public")
        for address in addresses:
            with contextlib.suppress(OSError):
                return await asyncio.open_connection(address, port)
        raise RefusedError(f"{host} does not answer")

    return dial


def proxy_environment() -> dict[str, str]:
    """What makes common clients use the proxy. Those that ignore it (ssh) get no network."""
    url = f"http://127.0.0.1:{PORT}"
    names = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
    java = " ".join(f"-D{kind}.proxyHost=127.0.0.1 -D{kind}.proxyPort={PORT}" for kind in _KINDS)
    here = "localhost,127.0.0.1,::1"
    return {
        **dict.fromkeys(names, url),
        "NO_PROXY": here,
        "no_proxy": here,
        "NODE_USE_ENV_PROXY": "1",
        "JAVA_TOOL_OPTIONS": java,
    }


_KINDS = ("http", "https")


class Proxy:
    """The proxy of one sandbox. `log` gets one JSON line per decision."""

    def __init__(
        self, patterns: Sequence[str], log: Path, dial: Dial, limits: EgressLimits | None = None
    ) -> None:
        self._allowed = AllowList(patterns)
        self._log = log
        self._dial = dial
        self._limits = limits or EgressLimits()
        self._writers: set[asyncio.StreamWriter] = set()
        self._sent = self._received = 0
        self._server: asyncio.Server | None = None

    async def serve(self, listener: socket.socket) -> None:
        """Answer on a socket that was opened in the sandbox's network."""
        self._server = await asyncio.start_server(self._answer, sock=listener, limit=_HEAD_LIMIT)

    def close(self) -> None:
        """Stop answering and break what is open."""
        for writer in self._writers:
            writer.transport.abort()
        if self._server:
            self._server.close()
            self._server = None

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with contextlib.suppress(OSError):
                await self._handle((reader, writer))
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _handle(self, here: Streams) -> None:
        head = await request_head(here[0])
        if not head:
            return
        started, host, port = time.time(), "", 0
        try:
            host, port, onward = parse(head)
            there = await self._connected(host, port)
        except RefusedError as refusal:
            self._record(Decision(started, host, port, False, str(refusal)))
            await refuse(here[1], f"The sandbox's network policy refuses this: {refusal}")
            return
        before = self._sent, self._received
        if onward:
            there[1].write(onward)
        else:
            here[1].write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            await relay(here, there, up=self._up, down=self._down)
        finally:
            sent, received = self._sent - before[0], self._received - before[1]
            self._record(Decision(started, host, port, True, "", sent, received))

    async def _connected(self, host: str, port: int) -> Streams:
        if not self._allowed.allows(host, port):
            raise RefusedError(f"{host}:{port} is not on the list")
        if len(self._writers) > self._limits.connections:
            raise RefusedError("too many connections at once")
        if self._sent >= self._limits.sent or self._received >= self._limits.received:
            raise RefusedError("this sandbox has used up its bytes")
        return await self._dial(host, port)

    def _up(self, size: int) -> None:
        self._sent += size
        if self._sent > self._limits.sent:
            raise ConnectionAbortedError("too much was sent")

    def _down(self, size: int) -> None:
        self._received += size
        if self._received > self._limits.received:
            raise ConnectionAbortedError("too much was received")

    def _record(self, decision: Decision) -> None:
        with contextlib.suppress(OSError), self._log.open("a") as file:
            if file.tell() < _LOG_LIMIT:
                file.write(json.dumps(asdict(decision)) + "\n")


def parse(head: bytes) -> tuple[str, int, bytes]:
    """Where a request goes, and what to send there first (nothing for a tunnel).

    Raises:
        RefusedError: it is no request for a proxy.
    """
    line, _, rest = head.partition(b"\r\n")
    try:
        method, target, version = line.decode("ascii").split(" ")
        tunnel = method == "CONNECT"
        parts = urlsplit(f"//{target}" if tunnel else target)
        port = parts.port or (0 if tunnel else 80)
    except ValueError:
        raise RefusedError("the request cannot be read") from None
    host = (parts.hostname or "").rstrip(".")
    if not _HOST.fullmatch(host) or not port or not (tunnel or parts.scheme == "http"):
        raise RefusedError(f"{target[:200]!r} is no destination for a proxy")
    if tunnel:
        return host, port, b""
    path = parts.path or "/"
    query = f"?{parts.query}" if parts.query else ""
    kept = [
        header
        for header in rest.rstrip(b"\r\n").split(b"\r\n")
        if header and not header.lower().startswith(_HOP_HEADERS)
    ]
    first = f"{method} {path}{query} {version}".encode()
    return host, port, b"\r\n".join([first, *kept, b"Connection: close", b"", b""])
