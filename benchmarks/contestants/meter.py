"""What every Python contestant shares: its job, its payloads, and how it is measured.

Standard library only, as peers run in environments of their own. A contestant reads its job from
the command line, warms up on a few steps, and prints one line of JSON with its figures.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

WARM_UP = 20
BEGINS, ENDS = "/benchmark-begins", "/benchmark-ends"
"""Directories that are not there: asking to remove one leaves a mark in a trace of system calls."""


@dataclass(frozen=True)
class Job:
    """What to do: `work` is chain, fan, loop, suspend or resume."""

    work: str
    steps: int
    size: int
    """Bytes of one payload."""
    directory: str
    store: str = ""
    """Address of a database server, where one is used."""
    poll_s: float = 1.0
    """How often those who poll for an answer do."""
    name: str = "job"

    def warm_up(self) -> "Job":
        """A few steps, with other payloads: what is stored by its content is not there yet."""
        return replace(self, steps=min(WARM_UP, self.steps), size=self.size - 1, name="warm")


def read_job() -> Job:
    return Job(**json.loads(sys.argv[1]))


def payload(number: int, size: int) -> str:
    """Text of so many bytes, another one for each number."""
    return f"{number:08d}" + "x" * (size - 8)


def number_of(text: str) -> int:
    return int(text[:8])


class Meter:
    """Measures from `begin` to `end`; bytes are counted to `report`, so that closing is in them."""

    def begin(self) -> None:
        _mark(BEGINS)
        self._written, self._cpu, self._start = _written(), time.process_time(), time.perf_counter()

    def end(self) -> None:
        self._seconds = time.perf_counter() - self._start
        self._used = time.process_time() - self._cpu
        _mark(ENDS)

    def figures(self) -> dict[str, float]:
        return {
            "seconds": self._seconds,
            "cpu_s": self._used,
            "written": _written() - self._written,
            "peak_mb": _peak_kb() / 1024,
        }

    def report(self, **more: float) -> None:
        print(json.dumps(self.figures() | more))


class Resumed:
    """When a suspended job went on: from the call that resumes to the next step's first line."""

    def __init__(self) -> None:
        self._parts: dict[str, float] = {}
        self._last = time.monotonic() - _age_s()

    def part(self, name: str) -> None:
        """Milliseconds since the part before, the first since the process was started."""
        now = time.monotonic()
        self._parts[name] = (now - self._last) * 1000
        self._last = now

    def call(self) -> None:
        self._last = time.monotonic()
        _mark(BEGINS)
        self._called = time.perf_counter()

    def reached(self) -> None:
        """Call this first in the step behind the gate."""
        self._seconds = time.perf_counter() - self._called
        self._at = time.time()
        _mark(ENDS)

    def report(self) -> None:
        print(json.dumps({"resume_ms": self._seconds * 1000, "at": self._at} | self._parts))


def measured(play: Callable[[Job], None], close: Callable[[], None], job: Job) -> None:
    """Warm up, measure one play, close, report."""
    play(job.warm_up())
    meter = Meter()
    meter.begin()
    play(job)
    meter.end()
    close()
    meter.report()


def _mark(name: str) -> None:
    with suppress(OSError):
        os.rmdir(name)  # noqa: PTH106 - the bare system call


def _age_s() -> float:
    """How long ago this process was started."""
    started = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    ticks = os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(started) / ticks


def _written() -> int:
    return _number(Path("/proc/self/io"), "wchar")


def _peak_kb() -> int:
    return _number(Path("/proc/self/status"), "VmHWM")


def _number(file: Path, name: str) -> int:
    lines = file.read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))
