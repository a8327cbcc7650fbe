"""A long-lived process that houses one object, such as the checkpoint store or a model gateway.

The object is named by an entry point (`package.module:function`), so that only the process that
houses it imports what it needs: a supervisor never loads a model library, a coder no database.
"""

import asyncio
import importlib
from collections.abc import Awaitable, Callable
from typing import Any

from orchestration.errors import InfrastructureError

OPEN_ATTEMPTS = 6
"""A predecessor's lock may take a moment to vanish after it was killed."""


class Resident:
    """Houses what `entry(*arguments)` opens. Constructing one does nothing and cannot fail."""

    def __init__(self, name: str, entry: str, arguments: tuple[object, ...]) -> None:
        self._name, self._entry, self._arguments = name, entry, arguments
        self._housed: Any = None
        self._opening = asyncio.Lock()

    def __repr__(self) -> str:
        return self._name.rpartition("-")[0] or self._name

    async def ready(self) -> str:
        """Open it if it is not open; the name, as a sign of life."""
        async with self._opening:
            if self._housed is None:
                self._housed = await self._open()
        return self._name

    async def _open(self) -> Any:
        for attempt in range(1, OPEN_ATTEMPTS):
            try:
                return await entry_point(self._entry)(*self._arguments)
            except InfrastructureError:
                await asyncio.sleep(0.25 * attempt)
        return await entry_point(self._entry)(*self._arguments)

    async def call(self, verb: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Call a method of the housed object."""
        if self._housed is None:
            await self.ready()
        if verb.startswith("_"):
            raise InfrastructureError(f"{self._name} has no verb {verb!r}")
        return await getattr(self._housed, verb)(*arguments, **named)


def entry_point(name: str) -> Callable[..., Awaitable[Any]]:
    """The function behind `package.module:function`. Trusted configuration only."""
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)
