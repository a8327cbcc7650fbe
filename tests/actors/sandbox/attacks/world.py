"""What an attack is after: secrets, services and processes of a host, planted for the test."""

import os
import secrets
import socket
import subprocess
import threading
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass
class World:
    """Variables for the scripts, and what reached the host's services."""

    variables: dict[str, str]
    canary: Path
    received: list[bytes]

    @property
    def token(self) -> str:
        return self.variables["TOKEN"]

    def untouched(self) -> bool:
        """No file was written and no service heard from the sandbox."""
        return not list(self.canary.iterdir()) and not self.received


def _listening(family: int, address: tuple[str, int] | str) -> socket.socket:
    listener = socket.socket(family)
    listener.bind(address)
    listener.listen()
    return listener


def _serve(listener: socket.socket, received: list[bytes]) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(2)
                received.append(connection.recv(100))


def _own_address() -> str:
    """An address of this machine that is not loopback, or loopback where there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])
    return "127.0.0.1"


@contextmanager
def planted(directory: Path, other: Path) -> Generator[World]:
    """Plant everything; `other` is another sandbox's workspace on the host."""
    token = f"token{secrets.token_hex(8)}"
    received: list[bytes] = []
    canary = directory / "canary"
    canary.mkdir()
    shared, shm = Path("/tmp", token), Path("/dev/shm", token)
    home = directory / "host-home"
    home.mkdir()
    for path in (directory / "secret", shared, shm, other / "secret", home / ".profile"):
        path.write_text(token)
    with ExitStack() as stack:
        for path in (shared, shm):
            stack.callback(path.unlink)
        addresses: list[tuple[int, tuple[str, int] | str]] = [
            (socket.AF_INET, ("127.0.0.1", 0)),
            (socket.AF_INET, ("0.0.0.0", 0)),
            (socket.AF_INET6, ("::1", 0)),
            (socket.AF_UNIX, f"/tmp/{token}.sock"),
            (socket.AF_UNIX, f"\0{token}"),
        ]
        listeners = [_listening(*address) for address in addresses]
        stack.callback(Path(f"/tmp/{token}.sock").unlink)
        for listener in listeners:
            thread = threading.Thread(target=_serve, args=(listener, received))
            thread.start()
            stack.callback(thread.join)
            stack.callback(listener.close)
            stack.callback(listener.shutdown, socket.SHUT_RDWR)
        host = subprocess.Popen(["sleep", "600"], env={"KEY": f"key-{token}", "PATH": os.defpath})
        stack.callback(host.wait)
        stack.callback(host.kill)
        variables = {
            "TOKEN": token,
            "SECRET": str(directory / "secret"),
            "CANARY": str(canary),
            "OTHER": str(other),
            "SHARED": str(shared),
            "SHM": str(shm),
            "HOST_HOME": str(home),
            "HOST_PID": str(host.pid),
            "HOST_IP": _own_address(),
            "LOOPBACK": str(listeners[0].getsockname()[1]),
            "WIDE": str(listeners[1].getsockname()[1]),
            "SIX": str(listeners[2].getsockname()[1]),
            "SOCKET": f"/tmp/{token}.sock",
            "ABSTRACT": token,
        }
        yield World(variables, canary, received)
