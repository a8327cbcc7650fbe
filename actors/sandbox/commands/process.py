"""One child process on the event loop: drained at flat memory, fed, timed, and ended as a tree.

Asyncio's own subprocess support keeps a thread per child on Python 3.11 and reads without a cap;
a pidfd and readers on the pipes do the same work in half the time.
"""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from actors.sandbox.commands.exits import when_dead
from actors.sandbox.commands.wire import Stream, Wire
from actors.sandbox.protocol import Ended, ExecResult, OnOutput

CHUNK = 65_536
_DRAINS = 64
_BEGINS_WITHIN_S = 120.0
"""For whoever is asked to start a command, on a machine that has much else to do."""


class Capture:
    """Head and tail of a stream, each half of `limit` bytes, and how much went by in all."""

    __slots__ = ("_head", "_head_limit", "_tail", "_tail_limit", "total")

    def __init__(self, limit: int) -> None:
        self._head_limit = (limit + 1) // 2
        self._tail_limit = limit // 2
        self._head = bytearray()
        self._tail = bytearray()
        self.total = 0

    def add(self, data: bytes) -> None:
        self.total += len(data)
        room = self._head_limit - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data
        if len(self._tail) > 2 * self._tail_limit + CHUNK:
            del self._tail[: len(self._tail) - self._tail_limit]

    def value(self) -> bytes:
        start = max(0, len(self._tail) - self._tail_limit)
        return bytes(self._head) + bytes(self._tail[start:])


@dataclass(frozen=True, slots=True)
class Launch:
    """What to start. `fds` are handed to the child and closed here once it runs."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str | None = None
    fds: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Caps:
    """Bytes kept per stream, and bytes printed in all before the end."""

    kept: int
    total: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a child ended, as the kernel and its tree tell it."""

    ended: Ended
    exit_code: int | None = None
    signal: int | None = None
    said: bytes = b""
    """Replaces stderr where the child never became the command asked for."""


class Tree(Protocol):
    """Everything a child started."""

    async def end(self, child: "Child") -> None:
        """Every process is dead on return."""
        ...

    def verdict(self, child: "Child") -> Verdict:
        """Read once all are dead, when nobody here stopped them."""
        ...


def from_status(code: int) -> Verdict:
    """A wait status. From 129 to 192 (128 + the last signal) it tells one, as in every shell."""
    if code < 0:
        return Verdict("signaled", None, -code)
    if 128 < code <= 192:
        return Verdict("signaled", None, code - 128)
    return Verdict("exited", code)


class Child:
    """A started process.

    Raises:
        OSError: it could not be started.
    """

    def __init__(
        self,
        launch: Launch,
        tree: Tree,
        caps: Caps,
        on_output: OnOutput | None = None,
        wire: Wire | None = None,
    ) -> None:
        self._wire = wire
        self._timer: asyncio.TimerHandle | None = None
        self._patience: float | None = None
        self._loop = asyncio.get_running_loop()
        self._started = time.monotonic()
        self._caps = caps
        self._on_output = on_output
        self._tree = tree
        self._streams: dict[int, tuple[Stream, Capture]] = {}
        self._input = bytearray()
        self._input_ends = False
        self._flushed: asyncio.Future[None] | None = None
        self._failure: BaseException | None = None
        self._ending: asyncio.Task[None] | None = None
        self.reason: Verdict | None = None
        self.stopped: asyncio.Future[None] = self._loop.create_future()
        self.exited: asyncio.Future[int] = self._loop.create_future()
        self._popen = _popen(launch)
        self.pid = self._popen.pid
        self.stdout, self.stderr = Capture(caps.kept), Capture(caps.kept)
        self._listen()

    def _listen(self) -> None:
        popen = self._popen
        assert popen.stdin
        assert popen.stdout
        assert popen.stderr
        self._stdin = popen.stdin.fileno()
        os.set_blocking(self._stdin, False)
        pipes: tuple[tuple[int, Stream, Capture], ...] = (
            (popen.stdout.fileno(), "stdout", self.stdout),
            (popen.stderr.fileno(), "stderr", self.stderr),
        )
        for fd, name, capture in pipes:
            os.set_blocking(fd, False)
            self._streams[fd] = (name, capture)
            self._loop.add_reader(fd, self._readable, fd)
        when_dead(popen, self._reap)

    def _reap(self) -> None:
        self.exited.set_result(self._popen.wait())
        self._wake()

    def _wake(self) -> None:
        if not self.stopped.done():
            self.stopped.set_result(None)

    def stop(self, reason: Ended, number: int | None = None) -> None:
        """Ask for the end; the first reason (and signal number to report) counts."""
        if self.reason is None and not self.exited.done():
            self.reason = Verdict(reason, None, number)
        self._wake()

    def go_on(self) -> None:
        """Wake it if somebody stopped it: it has its own end to attend to."""
        if not self.exited.done():
            self._popen.send_signal(signal.SIGCONT)

    def send_kill(self) -> None:
        """Kill this one process only."""
        if not self.exited.done():
            self._popen.kill()

    def _readable(self, fd: int) -> bool:
        """Take one chunk; False when there is none now or ever."""
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self._loop.remove_reader(fd)
            del self._streams[fd]
            return False
        name, capture = self._streams[fd]
        if self._wire:
            begun = self._wire.begun
            data = self._wire.incoming(name, data)
            if self._wire.begun != begun:
                self._started = time.monotonic()
                self._set_deadline()
        capture.add(data)
        if self._on_output and data:
            self._tell(self._on_output, name, data)
        if self.stdout.total + self.stderr.total > self._caps.total:
            self.stop("output_limit")
        return True

    def _tell(self, on_output: OnOutput, name: Stream, data: bytes) -> None:
        try:
            on_output(name, data)
        except Exception as error:  # noqa: BLE001 - a door: the listener's bug is raised by `finish`
            self._failure = self._failure or error
            self._on_output = None
            self.stop("cancelled")

    def feed(self, data: bytes) -> None:
        """Queue bytes for stdin; lost without a sound once the child has closed it."""
        if self._stdin < 0 or self._input_ends:
            return
        self._queue(self._wire.outgoing(data) if self._wire else data)

    def _queue(self, data: bytes) -> None:
        waiting = bool(self._input)
        self._input += data
        if not waiting:
            self._writable()

    def end_input(self) -> None:
        """End of stdin, after what is queued."""
        if self._wire and not self._input_ends and self._stdin >= 0:
            self._queue(self._wire.end())
        self._input_ends = True
        if not self._input and not self._wire:
            self._close_stdin()

    def hang_up(self) -> None:
        """Close its stdin now, whatever is queued."""
        self._close_stdin()

    def drain(self) -> None:
        """Take what is still in its pipes, once it is dead."""
        for fd in list(self._streams):
            for _ in range(_DRAINS):
                if not self._readable(fd):
                    break

    async def flushed(self) -> None:
        """Wait until everything fed was taken, or never will be."""
        while self._input and self._stdin >= 0:
            if self._flushed is None:
                self._flushed = self._loop.create_future()
            await asyncio.shield(self._flushed)

    def _writable(self) -> None:
        try:
            written = os.write(self._stdin, memoryview(self._input)[: CHUNK * 16].tobytes())
            del self._input[:written]
        except BlockingIOError:
            pass
        except OSError:
            self._close_stdin()
        if self._input:
            self._loop.add_writer(self._stdin, self._writable)
            return
        if self._stdin >= 0:
            self._loop.remove_writer(self._stdin)
            self._release()
            if self._input_ends and not self._wire:
                self._close_stdin()

    def _close_stdin(self) -> None:
        if self._stdin >= 0 and self._popen.stdin:
            self._loop.remove_writer(self._stdin)
            self._stdin = -1
            self._input.clear()
            self._popen.stdin.close()
        self._release()

    def _release(self) -> None:
        if self._flushed:
            self._flushed.set_result(None)
            self._flushed = None

    async def finish(self, timeout_s: float | None) -> ExecResult:
        """Wait for the end, or bring it at the deadline; the whole tree is dead on return.

        Raises:
            asyncio.CancelledError: after the tree is dead.
        """
        self._patience = timeout_s
        self._set_deadline()
        try:
            await asyncio.shield(self.stopped)
        except asyncio.CancelledError:
            self.stop("cancelled")
            raise
        finally:
            if self._timer:
                self._timer.cancel()
            await self._end()
            self._close()
        if self._failure:
            raise self._failure
        return self._result()

    def _set_deadline(self) -> None:
        """It counts from when the command begins, not from when somebody is asked to start it."""
        if self._timer:
            self._timer.cancel()
        if self._patience:
            waits = self._wire is not None and not self._wire.begun
            seconds = self._patience + _BEGINS_WITHIN_S * waits
            self._timer = self._loop.call_later(seconds, self.stop, "timeout")

    async def kill(self) -> None:
        """End the whole tree; `finish` then reports it."""
        self.stop("cancelled")
        await self._end()

    async def _end(self) -> None:
        """End the tree once, whoever asks, whatever cancels us meanwhile."""
        if self._ending is None:
            self._ending = self._loop.create_task(self._tree.end(self))
        await _despite_cancel(self._ending)

    def _close(self) -> None:
        self.drain()
        for fd in self._streams:
            self._loop.remove_reader(fd)
        self._close_stdin()
        for pipe in (self._popen.stdout, self._popen.stderr):
            if pipe:
                pipe.close()

    def _result(self) -> ExecResult:
        verdict = self.reason or self._tree.verdict(self)
        stderr = verdict.said or self.stderr.value()
        return ExecResult(
            exit_code=verdict.exit_code,
            ended=verdict.ended,
            stdout=self.stdout.value(),
            stderr=stderr,
            seconds=time.monotonic() - self._started,
            signal=verdict.signal,
            stdout_total=self.stdout.total,
            stderr_total=len(stderr) if verdict.said else self.stderr.total,
        )


def _popen(launch: Launch) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            launch.argv,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=launch.env,
            cwd=launch.cwd,
            pass_fds=launch.fds,
            start_new_session=True,
        )
    finally:
        for fd in launch.fds:
            os.close(fd)


async def _despite_cancel(task: asyncio.Task[None]) -> None:
    """Wait for `task` whatever cancels us meanwhile, then let the cancellation through."""
    cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = not task.cancelled()
    task.result()
    if cancelled:
        raise asyncio.CancelledError


async def readable(fd: int, timeout_s: float) -> bool:
    """Wait until a descriptor can be read (a pidfd: until its process is dead)."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(fd, lambda: ready.done() or ready.set_result(None))
    try:
        await asyncio.wait_for(ready, timeout_s)
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(fd)
    return True
