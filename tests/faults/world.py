"""The world outside: files that say what ran, what was asked of it, and what it applied.

It honours idempotency keys, as a careful service does: a key is applied once, however often it is
asked. So what it tells apart is whether the engine gives the same work the same key; how often the
engine asked is judged by the other files.
"""

import fcntl
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from orchestration.ids import StepGrant

Strike = Callable[[str], Awaitable[None]]
Line = tuple[str, int, int]
"""Key, epoch, attempt."""


async def peace(_: str) -> None:
    """No fault."""


class World:
    """One run's world, shared by all processes that ever drive it."""

    def __init__(self, home: Path, strike: Strike = peace) -> None:
        self._home = home
        self._strike = strike

    def ran(self, grant: StepGrant) -> None:
        """An attempt of a step began."""
        self._write("ran", grant)

    async def act(self, grant: StepGrant) -> int:
        """A side effect: applied once for each key."""
        await self._strike("before")
        self._write("asked", grant)
        with (self._home / "applied").open("a+") as applied:
            fcntl.flock(applied, fcntl.LOCK_EX)
            applied.seek(0)
            if grant.idempotency_key not in applied.read().splitlines():
                applied.write(grant.idempotency_key + "\n")
        await self._strike("after")
        return 1

    def lines(self, name: str) -> list[Line]:
        return [(k, int(e), int(a)) for k, e, a in map(str.split, self._read(name))]

    def applied(self) -> list[str]:
        return self._read("applied")

    def _read(self, name: str) -> list[str]:
        file = self._home / name
        return file.read_text().splitlines() if file.exists() else []

    def _write(self, name: str, grant: StepGrant) -> None:
        line = f"{grant.step_key} {grant.epoch} {grant.attempt}\n"
        file = os.open(self._home / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(file, line.encode())  # one write: whole lines, whoever dies
        os.close(file)
