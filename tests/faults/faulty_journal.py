"""A wrapper round any journal that lets go wrong what a life's plan says."""

import asyncio
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from orchestration.clock import SystemClock
from orchestration.errors import StoreError
from orchestration.workflow.journal import Journal, NewRecord, RecordKind
from tests.faults.plan import Fault, Life

WRITES = {"create_run", "claim", "append", "append_under", "put_blob", "decide", "release"}
READS = {"renew", "read", "info", "get_blob", "wait"}
"""Not counted. (A renewal comes by the clock, so counting it would make no point twice.)"""


class Faults:
    """Counts to the moments of a life at which something happens."""

    def __init__(self, life: Life, home: Path, store: str) -> None:
        self._life = life
        self._store = store
        self._home = home
        self._dice: dict[str, random.Random] = {}
        self._seen: dict[str, int] = {}
        self._away_until = 0.0
        self.clock = SkewedClock(life.skew_s)
        self.writes: list[str] = []
        """What was written in this life: the call, and the kinds of its records."""

    def next(self, on: str) -> int:
        number = self._seen.get(on, 0)
        self._seen[on] = number + 1
        return number

    async def strike(self, on: str, number: int, when: str) -> None:
        for fault in self._life.faults:
            if (fault.on, fault.at, fault.when) == (on, number, when):
                await self._do(fault)

    def repeats(self, number: int) -> bool:
        """Whether this write is to be delivered twice."""
        return any((f.do, f.on, f.at) == ("twice", "write", number) for f in self._life.faults)

    async def act(self, when: str) -> None:
        """Struck around every act in the world."""
        await self.strike("act", self.next("act") if when == "before" else self._last, when)

    @property
    def _last(self) -> int:
        return self._seen["act"] - 1

    def perhaps_lose(self, call: str) -> None:
        """Fail while the store is away, or by bad luck: each kind of call has dice of its own."""
        dice = self._dice.setdefault(call, random.Random(f"{call} {self._life.seed}"))
        if time.monotonic() < self._away_until or dice.random() < self._life.loses:
            raise StoreError("the store does not answer", "wait for it")

    async def _do(self, fault: Fault) -> None:
        match fault.do:
            case "kill" | "stop" | "wake":
                self._signal(fault.do)
            case "lose":
                raise StoreError("the store did not answer", "ask again")
            case "away":
                self._away_until = time.monotonic() + fault.seconds
                self.perhaps_lose("any")
            case "slow":
                await asyncio.sleep(fault.seconds)
            case "block":
                time.sleep(fault.seconds)  # noqa: ASYNC251 - that is the fault
            case "jump":
                self.clock.ahead += fault.seconds
            case "twice":
                pass  # see `repeats`
            case "run":
                work = partial(subprocess.run, fault.argv, check=True, cwd=self._home)
                await asyncio.to_thread(work)
            case "lock":
                await asyncio.to_thread(self._lock, fault.seconds)

    def _signal(self, what: str) -> None:
        stopped = self._home / "stopped"
        if what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif what == "stop":
            with stopped.open("a") as file:
                file.write(f"{os.getpid()}\n")
            os.kill(os.getpid(), signal.SIGSTOP)
        else:
            for pid in stopped.read_text().split():
                os.kill(int(pid), signal.SIGCONT)

    def _lock(self, seconds: float) -> None:
        """Be a foreign client that holds the run's row and lets go of it later."""
        client = psycopg.connect(self._store)
        client.execute("SELECT * FROM runs FOR UPDATE")
        threading.Timer(seconds, client.close).start()


class FaultyJournal:
    """Passes everything on; faults strike before and after each write."""

    def __init__(self, journal: Journal, faults: Faults) -> None:
        self._journal = journal
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._journal, name)
        if name in WRITES:
            return self._write(method)
        return self._read(method) if name in READS else method

    def _write(self, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def write(*args: Any, **options: Any) -> Any:
            number = self._faults.next("write")
            self._faults.writes.append(spoken(method.__name__, args))
            self._faults.perhaps_lose(method.__name__)
            await self._faults.strike("write", number, "before")
            await self._strike(method.__name__, {})
            result = await method(*args, **options)
            if self._faults.repeats(number):
                result = await method(*args, **options)
            await self._faults.strike("write", number, "after")
            self._faults.perhaps_lose(method.__name__)
            return result

        return write

    def _read(self, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def read(*args: Any, **options: Any) -> Any:
            self._faults.perhaps_lose(method.__name__)
            await self._strike(method.__name__, options)
            return await method(*args, **options)

        return read

    async def _strike(self, name: str, options: dict[str, Any]) -> None:
        """Give this call's own faults their chance, by its name."""
        kinds: list[RecordKind] = options.get("kinds") or []
        name = f"{name} {'+'.join(kinds)}".strip()
        await self._faults.strike(name, self._faults.next(name), "before")


def spoken(name: str, args: tuple[Any, ...]) -> str:
    """A write in words, such as `append done+started`."""
    batch: list[NewRecord] = args[1] if name.startswith("append") else []
    return f"{name} {'+'.join(r.kind.value for r in batch)}".strip()


class SkewedClock(SystemClock):
    """Wrong by so many seconds."""

    def __init__(self, ahead: float) -> None:
        self.ahead = ahead

    def now(self) -> float:
        return time.time() + self.ahead
