"""A server's stdin and stdout, wherever its process runs."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from actors.mcp.config import ServerConfig

_INHERITED = ("HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "USER")
_CHUNK = 65_536
_WORDS = 2_000
_LEAVES_WITHIN_S, _DIES_WITHIN_S = 1.0, 5.0


class Pipe(Protocol):
    """A running server's ends."""

    async def read(self) -> bytes:
        """The next bytes of its stdout; empty once it has ended."""
        ...

    async def write(self, data: bytes) -> None: ...

    async def close(self) -> str:
        """End it with all its children; returns its last words."""
        ...


OpenPipe = Callable[[ServerConfig], Awaitable[Pipe]]
"""Starts a server. Raises OSError if it cannot be."""


class LocalPipe:
    """A process of this machine, outside of any sandbox: for servers that a person configured."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._words = b""
        self._listening = asyncio.create_task(self._overhear())

    @classmethod
    async def open(cls, config: ServerConfig) -> "LocalPipe":
        """Start the server with its own variables and few of ours."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *config.command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True,
            env={**inherited(os.environ), **config.env},
            cwd=_folder(config.cwd),
        )  # fmt: skip
        return cls(process)

    async def read(self) -> bytes:
        assert self._process.stdout
        return await self._process.stdout.read(_CHUNK)

    async def write(self, data: bytes) -> None:
        assert self._process.stdin
        self._process.stdin.write(data)
        await self._process.stdin.drain()

    async def close(self) -> str:
        process = self._process
        assert process.stdin
        with suppress(OSError):
            process.stdin.close()
        # A full pipe would keep it from ending, and us from hearing that it did.
        ending = asyncio.create_task(self._to_the_end())
        await asyncio.wait({ending}, timeout=_LEAVES_WITHIN_S)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # what it left behind ends too
        await asyncio.wait({ending}, timeout=_DIES_WITHIN_S)
        ending.cancel()
        return self._words.decode("utf-8", "replace").strip()

    async def _to_the_end(self) -> None:
        while await self.read():
            pass
        await self._listening
        await self._process.wait()

    async def _overhear(self) -> None:
        assert self._process.stderr
        while data := await self._process.stderr.read(_CHUNK):
            self._words = (self._words + data)[-_WORDS:]


def _folder(given: str) -> Path:
    """Where it runs: never wherever the person happens to stand."""
    return Path(given or "~").expanduser()


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """What a server gets of our environment: nothing secret."""
    return {name: environ[name] for name in _INHERITED if name in environ}
