"""Commands in a sandbox that is reached only through a pipe: how to order one from the shepherd
inside, and how to read what comes back. Shared by all levels whose processes are elsewhere.

Run `SHEPHERD` inside with the argument `run` and bytes both ways. What it needs there: Python 3.8.
"""

import base64
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from actors.sandbox import seccomp
from actors.sandbox.process import Stream, Verdict
from actors.sandbox.protocol import SandboxLimits

SHEPHERD = Path(__file__).with_name("shepherd.py")
INTERPRETER = ("python3", "-I", "-S")
_MACHINES = ("x86_64", "aarch64")


@dataclass(frozen=True, slots=True)
class Order:
    """One command. `cwd` is absolute inside; `env` is the whole environment."""

    argv: Sequence[str]
    cwd: str
    env: Mapping[str, str]
    limits: SandboxLimits
    own_user: bool = False
    """Its user has no other processes: then the kernel can count them for us."""


class ShepherdWire:
    """What goes to one shepherd and comes from it; a `process.Wire`."""

    def __init__(self) -> None:
        self._token = secrets.token_hex(16).encode()
        self._held = b""
        self._said: bytes | None = None

    def order(self, order: Order) -> bytes:
        """The first thing to feed."""
        filters = {machine: seccomp.program(machine) or b"" for machine in _MACHINES}
        return json.dumps(
            {
                "token": self._token.decode(),
                "argv": list(order.argv),
                "cwd": order.cwd,
                "env": dict(order.env),
                "file": order.limits.file,
                "processes": order.limits.processes if order.own_user else 0,
                "filters": {
                    name: base64.b64encode(body).decode() for name, body in filters.items()
                },
            }
        ).encode()

    def outgoing(self, data: bytes) -> bytes:
        """Framed."""
        return len(data).to_bytes(4, "big") + data if data else b""

    def end(self) -> bytes:
        """No more input; the pipe stays open, for its end would end the command."""
        return bytes(4)

    def incoming(self, stream: Stream, data: bytes) -> bytes:
        """What of it is the command's own."""
        if stream == "stdout":
            return data
        if self._said is not None:
            self._said += data
            return b""
        data = self._held + data
        own, found, said = data.partition(self._token)
        if found:
            self._held, self._said = b"", said
            return own
        kept = next(
            (
                size
                for size in range(len(self._token) - 1, 0, -1)
                if data.endswith(self._token[:size])
            ),
            0,
        )
        self._held = data[len(data) - kept :]
        return data[: len(data) - kept]

    def verdict(self) -> Verdict | None:
        """How it ended by the shepherd's last words; None if it did not live to say them."""
        try:
            status: dict[str, int] = json.loads(self._said or b"")
        except ValueError:
            return None
        if "signal" in status:
            return Verdict("signaled", None, status["signal"])
        if "code" in status:
            return Verdict("exited", status["code"])
        return Verdict("cancelled")
