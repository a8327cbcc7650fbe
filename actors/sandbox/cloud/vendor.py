"""What a cloud vendor's plug provides: little, so that each plug is only that vendor's words.

Every method translates the vendor's errors into ours, and none tries again: `remote` does.
"""

import asyncio
import os
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from actors.sandbox.protocol import (
    Capabilities,
    Check,
    Endpoint,
    Level,
    SandboxSpec,
    SandboxUnavailableError,
)

T = TypeVar("T")

IDLE_S = 1800
"""A sandbox that nobody uses for so long ends by itself: an orphan costs no more than that."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A sandbox as its vendor lists it."""

    id: str
    labels: Mapping[str, str]


class Machine(Protocol):
    """One sandbox at its vendor.

    Raises, from any method:
        SandboxLostError, SandboxUnavailableError (and its kinds), SandboxAuthError.
    """

    id: str

    @property
    def labels(self) -> Mapping[str, str]: ...

    async def run(self, line: str, timeout_s: float) -> str:
        """What a shell line printed, whatever its exit code. The line ends by itself."""
        ...

    async def upload(self, path: str, data: bytes) -> None:
        """Write a file."""
        ...

    async def keep(self) -> None:
        """It is in use: it has `IDLE_S` more."""
        ...

    async def set_ttl(self, seconds: float | None) -> None: ...

    async def pause(self) -> None: ...

    async def resume(self) -> None: ...

    async def expose(self, port: int, ttl_s: float) -> Endpoint: ...


class Vendor(Protocol):
    """An account at a vendor."""

    level: Level
    capabilities: Capabilities

    async def doctor(self) -> list[Check]:
        """Is it reachable, and is the key good? Makes no sandbox: that costs money."""
        ...

    async def create(self, spec: SandboxSpec, labels: Mapping[str, str], key: str) -> Machine:
        """A running sandbox. `key` is lower-case hexadecimal: equal keys, one sandbox."""
        ...

    async def connect(self, name: str) -> Machine:
        """A running one by its id; one that is paused is resumed."""
        ...

    async def find(self, labels: Mapping[str, str]) -> list[Listed]:
        """Those that carry all these labels, paused ones too."""
        ...

    async def end(self, name: str) -> None:
        """End one by its id; fine if it is gone already."""
        ...

    async def close(self) -> None: ...


async def patient(work: Coroutine[None, None, T], within_s: float, name: str) -> T:
    """A vendor's call with our own deadline, and our own cancellation: neither of which the SDKs
    can be trusted with, so that whatever they do after it is done behind our back.

    Raises:
        SandboxUnavailableError: no answer in time.
    """
    task = asyncio.ensure_future(work)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
        done, _ = await asyncio.wait({task}, timeout=within_s)
    finally:
        task.cancel()
    if not done:
        raise SandboxUnavailableError(
            f"sandbox {name}: no answer within {within_s:.0f} s",
            "look at the provider's status page and your network",
        )
    return task.result()


def said_by(error: Exception, variable: str) -> str:
    """An error's words, without the key of that environment variable and at a bearable length."""
    text = str(error)[:500]
    key = os.environ.get(variable)
    return text.replace(key, "***") if key else text
