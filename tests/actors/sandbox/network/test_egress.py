"""With an allow-list, a sandbox reaches what is named, and nothing else by any trick."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import pytest

from actors.sandbox.local.provider import LocalProvider
from actors.sandbox.network.egress import (
    AllowList,
    EgressLimits,
    Proxy,
    RefusedError,
    dial_public,
    is_public,
    parse,
)
from actors.sandbox.network.relay import Streams
from actors.sandbox.protocol import Sandbox, SandboxSpec
from orchestration.errors import UsageError

pytestmark = pytest.mark.slow

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


class Upstream:
    """A web server that stands for every public host, and who was dialled."""

    def __init__(self) -> None:
        self.dialled: list[tuple[str, int]] = []
        self.heads: list[bytes] = []
        self.port = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(_ANSWER)
            await reader.read()
        except (OSError, asyncio.IncompleteReadError):
            pass
        writer.close()

    async def dial(self, host: str, port: int) -> Streams:
        self.dialled.append((host, port))
        return await asyncio.open_connection("127.0.0.1", self.port)


@pytest.fixture
async def upstream() -> AsyncGenerator[Upstream]:
    served = Upstream()
    server = await asyncio.start_server(served.answer, "127.0.0.1", 0)
    served.port = server.sockets[0].getsockname()[1]
    yield served
    server.close()


@pytest.fixture
async def provider(tmp_path: Path, upstream: Upstream) -> AsyncGenerator[LocalProvider]:
    provider = LocalProvider(tmp_path / "sandboxes", dial=upstream.dial)
    yield provider
    await provider.sweep({})
    await provider.close()


@pytest.fixture
async def sandbox(provider: LocalProvider) -> Sandbox:
    return await provider.create(SandboxSpec(egress=("pypi.org:443", "*.example.org:80")))


_ASK = """
import sys, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode())
"""


async def asked(sandbox: Sandbox, url: str) -> str:
    result = await sandbox.exec(["/usr/bin/python3", "-S", "-c", _ASK, url], timeout_s=30)
    return (result.stdout + result.stderr).decode()


async def test_what_is_on_the_list_is_reached_and_logged(
    sandbox: Sandbox, upstream: Upstream, tmp_path: Path
) -> None:
    assert await asked(sandbox, "http://files.example.org/a?b=c") == "hello\n"
    assert upstream.dialled == [("files.example.org", 80)]
    assert upstream.heads[0].startswith(b"GET /a?b=c HTTP/1.1\r\n")
    log = tmp_path / "sandboxes" / sandbox.ref.id / "egress.jsonl"
    line = json.loads(log.read_text())
    assert (line["host"], line["port"], line["allowed"]) == ("files.example.org", 80, True)
    assert line["received"] == len(_ANSWER)


@pytest.mark.parametrize(
    "url",
    [
        "http://evil.org/",
        "http://example.org/",
        "http://files.example.org:8080/",
        "http://example.org.evil.net/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/",
        "http://user@evil.org/",
    ],
)
async def test_what_is_not_on_the_list_is_refused_with_the_reason_and_logged(
    sandbox: Sandbox, upstream: Upstream, tmp_path: Path, url: str
) -> None:
    said = await asked(sandbox, url)
    assert said.startswith("403")
    assert "network policy" in said
    assert upstream.dialled == []
    log = tmp_path / "sandboxes" / sandbox.ref.id / "egress.jsonl"
    assert json.loads(log.read_text())["allowed"] is False


async def test_a_tunnel_carries_both_ways(sandbox: Sandbox, upstream: Upstream) -> None:
    script = (
        "exec 3<>/dev/tcp/127.0.0.1/3128; printf 'CONNECT PyPI.org.:443 HTTP/1.1\\r\\n\\r\\n' >&3; "
        "head -n 2 <&3; printf 'GET / HTTP/1.1\\r\\n\\r\\n' >&3; head -c 43 <&3"
    )
    result = await sandbox.exec(script, timeout_s=20)
    assert result.stdout.startswith(b"HTTP/1.1 200 Connection established")
    assert result.stdout.endswith(b"hello")
    assert upstream.dialled == [("pypi.org", 443)]


async def test_there_is_no_way_round_the_proxy(sandbox: Sandbox, upstream: Upstream) -> None:
    direct = await sandbox.exec(f": < /dev/tcp/127.0.0.1/{upstream.port}", timeout_s=10)
    assert not direct.ok
    outside = await sandbox.exec(": < /dev/tcp/192.0.2.1/443", timeout_s=10)
    assert b"unreachable" in outside.stderr


async def test_a_sandbox_without_a_list_has_no_proxy(provider: LocalProvider) -> None:
    closed = await provider.create(SandboxSpec())
    assert not (await closed.exec(": < /dev/tcp/127.0.0.1/3128", timeout_s=10)).ok
    assert b"proxy" not in (await closed.exec("env", timeout_s=10)).stdout.lower()


async def test_each_sandbox_has_a_proxy_of_its_own(
    provider: LocalProvider, sandbox: Sandbox
) -> None:
    other = await provider.create(SandboxSpec(egress=("other.org:80",)))
    assert (await asked(other, "http://files.example.org/")).startswith("403")
    assert await asked(other, "http://other.org/") == "hello\n"
    assert await asked(sandbox, "http://files.example.org/") == "hello\n"


async def test_what_is_sent_has_an_end(tmp_path: Path, upstream: Upstream) -> None:
    limits = EgressLimits(sent=1000)
    proxy = Proxy(("a.org:80",), tmp_path / "log", upstream.dial, limits)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    await proxy.serve(listener)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"CONNECT a.org:80 HTTP/1.1\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"x" * 5000)
    assert await reader.read() == b""
    writer.close()
    again, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"CONNECT a.org:80 HTTP/1.1\r\n\r\n")
    assert b"used up" in await again.read()
    writer.close()
    proxy.close()


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "ff02::1",
    ],
)
async def test_addresses_that_are_not_public_are_refused_after_resolution(address: str) -> None:
    assert not is_public(address)

    async def rebound(host: str, port: int) -> Sequence[str]:
        return ["93.184.215.14", address]

    with pytest.raises(RefusedError, match="not public"):
        await dial_public(rebound)("innocent.org", 443)


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "pattern",
    ["*", "*:443", "pypi.org", "pypi.org:0", "http://a.org:80", "a b:1", "*.*.org:80", ":80"],
)
def test_a_pattern_that_names_nothing_or_everything_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError, match="host:port"):
        AllowList([pattern])


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"CONNECT a.org HTTP/1.1\r\n\r\n",
        b"CONNECT a.org:99999 HTTP/1.1\r\n\r\n",
        b"GET https://a.org/ HTTP/1.1\r\n\r\n",
        b"GET file:///etc/passwd HTTP/1.1\r\n\r\n",
        b"CONNECT a.org\x00.evil:443 HTTP/1.1\r\n\r\n",
        b"\xff\xfe\r\n\r\n",
        b"CONNECT \r\n\r\n",
    ],
)
def test_what_is_no_request_for_a_proxy_is_refused(head: bytes) -> None:
    with pytest.raises(RefusedError):
        parse(head)


def test_proxy_headers_do_not_travel_on() -> None:
    head = (
        b"GET http://A.org/x HTTP/1.1\r\nHost: a.org\r\nProxy-Authorization: secret\r\n"
        b"Connection: keep-alive\r\n\r\n"
    )
    assert parse(head) == (
        "a.org",
        80,
        b"GET /x HTTP/1.1\r\nHost: a.org\r\nConnection: close\r\n\r\n",
    )
