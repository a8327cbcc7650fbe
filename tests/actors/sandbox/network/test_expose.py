"""A port inside is reached from outside only through its endpoint, by token, for its time."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from actors.sandbox.local.provider import LocalProvider
from actors.sandbox.protocol import Endpoint, Sandbox, SandboxSpec
from orchestration.clock import ManualClock
from orchestration.errors import UsageError

pytestmark = pytest.mark.slow

_SERVER = """
import http.server

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = str(self.headers).encode()
        self.send_response(200); self.send_header('Content-Length', str(len(body)))
        self.end_headers(); self.wfile.write(body)
    def log_message(self, *args): pass
server = http.server.HTTPServer(('0.0.0.0', 0), Answer)
print(server.server_port, flush=True)
server.serve_forever()
"""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def provider(tmp_path: Path, clock: ManualClock) -> AsyncGenerator[LocalProvider]:
    provider = LocalProvider(tmp_path / "sandboxes", clock=clock)
    yield provider
    await provider.sweep({})
    await provider.close()


@pytest.fixture
async def sandbox(provider: LocalProvider) -> Sandbox:
    return await provider.create(SandboxSpec())


@pytest.fixture
async def port(sandbox: Sandbox) -> int:
    server = await sandbox.spawn(["/usr/bin/python3", "-S", "-c", _SERVER])
    return int(await server.read(timeout_s=20))


async def asked(endpoint: Endpoint, headers: Mapping[str, str]) -> str:
    address = urlsplit(endpoint.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    writer.write(f"GET / HTTP/1.0\r\n{''.join(lines)}\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    return answer


async def test_the_holder_of_the_token_is_served_and_the_server_does_not_see_it(
    sandbox: Sandbox, port: int
) -> None:
    endpoint = await sandbox.expose(port)
    answer = await asked(endpoint, {**endpoint.headers, "X-Mine": "yes"})
    assert answer.startswith("HTTP/1.0 200")
    assert "X-Mine: yes" in answer
    assert next(iter(endpoint.headers.values())) not in answer


async def test_without_the_token_or_after_its_time_the_door_is_shut(
    sandbox: Sandbox, port: int, clock: ManualClock
) -> None:
    endpoint = await sandbox.expose(port, ttl_s=60)
    for headers in ({}, {"X-Manta-Token": "guess"}, {"X-Manta-Token": ""}):
        assert "403" in await asked(endpoint, headers)
    await clock.advance(61)
    assert "expired" in await asked(endpoint, endpoint.headers)


async def test_the_port_itself_is_not_on_this_machine(sandbox: Sandbox, port: int) -> None:
    await sandbox.expose(port)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_port_where_nobody_listens_is_told(sandbox: Sandbox) -> None:
    endpoint = await sandbox.expose(4)
    assert "cannot connect at port 4" in await asked(endpoint, endpoint.headers)
    with pytest.raises(UsageError):
        await sandbox.expose(0)


async def test_the_door_is_gone_with_the_sandbox(sandbox: Sandbox, port: int) -> None:
    endpoint = await sandbox.expose(port)
    await sandbox.terminate()
    with pytest.raises(ConnectionRefusedError):
        await asked(endpoint, endpoint.headers)
