"""Model tests reach nothing but this machine, and see no keys but their own."""

import socket
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest

from tests.actors.models import endpoint as http
from tests.actors.models.endpoint import SECRET, Endpoint


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Refuse and remember every attempt to reach anything but this machine."""
    reached: list[str] = []
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1"):
            reached.append(str(address))
            raise ConnectionRefusedError(f"tests reach nothing but loopback, not {address}")
        connect(self, address)

    def guarded_look_up(host: Any, *rest: Any, **more: Any) -> Any:
        if host not in ("127.0.0.1", "::1", "localhost", None):
            reached.append(str(host))
            raise socket.gaierror(f"tests look up nothing, not {host}")
        return look_up(host, *rest, **more)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_look_up)
    yield reached
    assert reached == []


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE", "ANTHROPIC_API_KEY", "GROQ_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)


@pytest.fixture
async def server() -> AsyncGenerator[Endpoint]:
    async with http.running() as endpoint:
        yield endpoint
