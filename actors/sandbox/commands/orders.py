"""Commands in a sandbox that is reached only through a pipe: how to order one from the shepherd
inside, and how to read what comes back. Shared by all levels whose processes are elsewhere.

Run `SHEPHERD` inside with the argument `run` and bytes both ways. What it needs there: Python 3.8.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from actors.sandbox.commands import seccomp
from actors.sandbox.commands.process import Verdict
from actors.sandbox.commands.wire import Stream
from actors.sandbox.protocol import SandboxLimits

_GUEST = Path(__file__).parents[1] / "guest"
SHEPHERD = _GUEST / "shepherd.py"
PORTER = _GUEST / "porter.py"
INTERPRETER = ("python3", "-I", "-S")
_MACHINES = ("x86_64", "aarch64")


@dataclass(frozen=True, slots=True)
class Order:
    """One command. `cwd` is absolute inside; `env` is the whole environment."""

    argv: Sequence[str]
    cwd: str
    env: Mapping[str, str]
    limits: SandboxLimits
    tasks: int = 0
    """Threads that its user may have in all; 0 where control groups count them."""


def walls(largest_file: int, tasks: int) -> dict[str, object]:
    """What holds a command inside, in the shepherd's words and as JSON can hold it."""
    programs = {machine: seccomp.program(machine) or b"" for machine in _MACHINES}
    filters = {machine: body.hex() for machine, body in programs.items()}
    return {"file": largest_file, "tasks": tasks, "filters": filters}


class ShepherdWire:
    """What goes to one shepherd and comes from it; a `Wire`."""

    def __init__(self) -> None:
        self._token = secrets.token_hex(16).encode()
        self._held = b""
        self._said: bytes | None = None
        self.begun = False
        self.preface = b""
        """What was said before the shepherd spoke: the engine's own words, if anybody's."""

    def order(self, order: Order) -> bytes:
        """The first thing to feed."""
        return json.dumps(
            {
                "token": self._token.decode(),
                "argv": list(order.argv),
                "cwd": order.cwd,
                "env": dict(order.env),
                **walls(order.limits.file, order.tasks),
            }
        ).encode()

    def outgoing(self, data: bytes) -> bytes:
        """Framed."""
        return len(data).to_bytes(4, "big") + data if data else b""

    def end(self) -> bytes:
        """No more input; the pipe stays open, for its end would end the command."""
        return bytes(4)

    def incoming(self, stream: Stream, data: bytes) -> bytes:
        """What of it is the command's own: the token stands before it, and again after it."""
        if stream == "stdout":
            return data
        own = b""
        if not self.begun:
            before, data = self._split(data)
            self.preface += before
        if self.begun and self._said is None:
            own, data = self._split(data)
        if self._said is not None:
            self._said += data
        return own

    def _split(self, data: bytes) -> tuple[bytes, bytes]:
        """What comes before the token, and after. What may be the token's beginning waits."""
        before, found, after = (self._held + data).partition(self._token)
        self._held = b""
        if found:
            self._said = b"" if self.begun else None
            self.begun = True
            return before, after
        sizes = range(len(self._token) - 1, 0, -1)
        kept = next((size for size in sizes if before.endswith(self._token[:size])), 0)
        own = len(before) - kept
        self._held = before[own:]
        return before[:own], b""

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
