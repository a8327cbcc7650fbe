"""One machine of a stand-in cloud: a local sandbox that keeps running, and its daemon."""

import asyncio
import base64
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from actors.sandbox.protocol import (
    Process,
    Sandbox,
    SandboxError,
    SandboxLimits,
    SandboxProvider,
    SandboxSpec,
)

AGENT = Path(__file__).with_name("agent.py").read_text(encoding="utf-8")
ROOMY = SandboxLimits(processes=2000, output=1 << 50, memory=6 << 30, tmp=2 << 30)
Fact = dict[str, Any]  # Any: JSON of our own


class Machine:
    """Runs shell lines side by side in one place that outlives them all."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Queue[Fact | None]] = {}
        self._process: Process | None = None
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    async def make(cls, provider: SandboxProvider) -> "Machine":
        machine = cls(await provider.create(SandboxSpec(limits=ROOMY, env={"PYTHONUTF8": "1"})))
        await machine.boot()
        return machine

    async def boot(self) -> None:
        """Start the daemon: nothing that ran before runs any more."""
        argv = ["/usr/bin/python3", "-S", "-c", AGENT]
        self._process = await self.sandbox.spawn(argv, max_output=1 << 40)
        self._reading = asyncio.create_task(self._read(self._process))

    async def _read(self, process: Process) -> None:
        held = b""
        while True:
            data = await process.read(timeout_s=3600)
            if not data:
                break
            *lines, held = (held + data).split(b"\n")
            for line in lines:
                fact = json.loads(line)
                if queue := self._waiting.get(fact["n"]):
                    queue.put_nowait(fact)
        for queue in self._waiting.values():
            queue.put_nowait(None)

    async def _ask(self, **what: object) -> AsyncIterator[Fact]:
        """What is said to one question, until its exit; ends early if the machine does."""
        number = next(self._numbers)
        queue = self._waiting[number] = asyncio.Queue()
        try:
            assert self._process
            await self._process.write(json.dumps({"n": number, **what}).encode() + b"\n")
            while (fact := await queue.get()) is not None:
                yield fact
                if "exit" in fact:
                    return
        finally:
            del self._waiting[number]

    def run(self, *argv: str) -> AsyncIterator[Fact]:
        return self._ask(argv=argv)

    async def put(self, path: str, data: bytes) -> None:
        async for _ in self._ask(path=path, data=base64.b64encode(data).decode()):
            pass

    async def halt(self) -> None:
        """End all that runs, keep the disk."""
        if self._process and self._reading:
            await self._process.kill()
            await self._reading

    async def destroy(self) -> None:
        if self._reading:
            self._reading.cancel()
            with suppress(asyncio.CancelledError):
                await self._reading
        with suppress(SandboxError):
            await self.sandbox.terminate()
