"""A command in a remote sandbox: ordered from its keeper there, attended to from here.

The keeper owns the deadline and ends the tree. Here is only patience: long questions, asked again
when an answer is lost, and a deadline of our own for the day on which nobody answers at all.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress

from actors.sandbox.cloud.guest_call import CommandGoneError, Guest
from actors.sandbox.commands.command_line import argv_of
from actors.sandbox.commands.process import from_status
from actors.sandbox.guest.wire import Answer, Head
from actors.sandbox.protocol import (
    ExecResult,
    OnOutput,
    SandboxError,
    SandboxLostError,
    SandboxUnavailableError,
)
from orchestration.errors import UsageError

WAIT_S = 20.0
"""One question's patience: short enough for every proxy in between."""
ANSWER_S = 15.0
"""An answer may take that much longer than the question was willing to wait."""
LATE_S = 60.0
"""How long after its deadline we believe that the keeper will still answer."""
SLOW_LINE = 200_000.0
"""Bytes a second."""
UNHEARD_S = 180.0
LINGER_S, LONG_LINGER_S = 120.0, 3600.0
BACKLOG = 16_000_000
"""Output that waits inside for a listener of ours."""
LOST = ExecResult(None, "lost", b"", b"", 0.0)


class RemoteCommand:
    """One command.

    Raises:
        UsageError: it cannot be passed to a program.
    """

    def __init__(
        self, command: str | Sequence[str], cwd: str, env: Mapping[str, str], kept: int
    ) -> None:
        if "\0" in cwd:
            raise UsageError("a directory's name cannot hold NUL", "leave it out")
        self.id = secrets.token_hex(8)
        self.kept = kept
        self._argv, self._cwd, self._env = argv_of(command, env), cwd, dict(env)

    def _order(self, **how: object) -> Head:
        return {
            "id": self.id, "argv": self._argv, "cwd": self._cwd, "env": self._env,
            "kept": self.kept, "heard": None, **how,
        }  # fmt: skip

    async def start(self, guest: Guest) -> None:
        """In the background: it has no deadline, and who listens may come late."""
        order = self._order(
            eof=False, timeout=0, unheard=0, linger=LONG_LINGER_S, listen=self.kept, wait=0
        )
        await guest.ask("start", **order)

    async def run(
        self, guest: Guest, stdin: bytes, timeout_s: float, on_output: OnOutput | None
    ) -> ExecResult:
        """To its end; whatever stops us stops it, and everything it started, first.

        Raises:
            SandboxUnavailableError: no answer, long after its deadline.
        """
        try:
            async with asyncio.timeout(timeout_s + LATE_S + _carrying(stdin)):
                return await self._attended(guest, stdin, timeout_s, on_output)
        except CommandGoneError:
            return LOST
        except SandboxLostError:
            raise
        except BaseException as error:
            await despite_cancel(self._stopped(guest))
            if isinstance(error, TimeoutError):
                raise SandboxUnavailableError(
                    f"nobody answers for a command that should have ended {LATE_S:.0f} s ago",
                    "try again, or use a fresh sandbox",
                ) from None
            raise

    async def _attended(
        self, guest: Guest, stdin: bytes, timeout_s: float, on_output: OnOutput | None
    ) -> ExecResult:
        heard = 0 if on_output else None
        order = self._order(
            eof=True, timeout=timeout_s, unheard=UNHEARD_S, linger=LINGER_S,
            listen=BACKLOG if on_output else 0,
        )  # fmt: skip
        wait = min(WAIT_S, timeout_s + 1.0)
        within = wait + ANSWER_S + _carrying(stdin)
        answer = await guest.ask(
            "start", stdin, **{**order, "wait": wait, "heard": heard}, within_s=within
        )
        while "end" not in answer[0]:
            if on_output:
                tell(answer, on_output)
                heard = answer[0]["heard"]
            answer = await self.attend(guest, heard, WAIT_S)
        result = await self.result(guest, answer)
        guest.forget(self.id)
        return result

    async def attend(self, guest: Guest, heard: int | None, wait_s: float) -> Answer:
        """What is new since byte `heard` of its output, or how it ended; waits for either."""
        return await guest.ask(
            "attend", id=self.id, heard=heard, wait=wait_s, within_s=wait_s + ANSWER_S
        )

    async def result(self, guest: Guest, answer: Answer) -> ExecResult:
        """Its whole result, of which the answer holds the beginning."""
        end, output = answer[0]["end"], bytearray(answer[1])
        out_size, err_size = end["sizes"]
        while len(output) < out_size + err_size:
            _, piece = await guest.ask("piece", id=self.id, at=len(output))
            if not piece:
                raise CommandGoneError("output is missing", "run the command again")
            output += piece
        return _result(end, bytes(output[:out_size]), bytes(output[out_size:]))

    async def _stopped(self, guest: Guest) -> None:
        """Dead, or never to be started. If we cannot get through (it may stand still), our next
        word that does ends it, or else its own deadline."""
        with suppress(SandboxError, TimeoutError):
            async with asyncio.timeout(LATE_S):
                await guest.ask("kill", id=self.id)
        guest.forget(self.id)


def _carrying(data: bytes) -> float:
    """Seconds in which so much can be carried over a slow line."""
    return len(data) / SLOW_LINE


def tell(answer: Answer, on_output: OnOutput) -> None:
    """Pass on what was printed."""
    head, blob = answer
    at = 0
    for number, size in head["parts"]:
        on_output("stderr" if number else "stdout", blob[at : at + size])
        at += size


def _result(end: Head, stdout: bytes, stderr: bytes) -> ExecResult:
    """As on every level, an exit status from 129 to 192 tells a signal."""
    ended, code, number = end["ended"], end["code"], end["signal"]
    if ended == "exited":
        verdict = from_status(code)
        ended, code, number = verdict.ended, verdict.exit_code, verdict.signal
    return ExecResult(ended=ended, exit_code=code, signal=number, stdout=stdout, stderr=stderr,
                      seconds=end["seconds"], stdout_total=end["totals"][0],
                      stderr_total=end["totals"][1])  # fmt: skip


async def despite_cancel(work: Coroutine[None, None, None]) -> None:
    """Finish `work` whatever cancels us meanwhile; who asked re-raises."""
    task = asyncio.ensure_future(work)
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                return


class RemoteProcess:
    """A background process in a remote sandbox."""

    def __init__(self, command: RemoteCommand, alive: Callable[[], Awaitable[Guest]]) -> None:
        self.id = command.id
        self._command = command
        self._alive = alive
        self._heard = self._written = 0
        self._owed = bytearray()
        """Stdin from byte `_written` on, of which nobody knows yet whether it arrived."""
        self._writing = asyncio.Lock()
        self._result: ExecResult | None = None

    async def write(self, data: bytes) -> None:
        await self._write(data, eof=False)

    async def close_stdin(self) -> None:
        await self._write(b"", eof=True)

    async def _write(self, data: bytes, *, eof: bool) -> None:
        """A write that failed or was cancelled may have arrived or not: it is said again before
        the next, at the same place."""
        self._owed += data
        async with self._writing:
            owed = bytes(self._owed)
            if not owed and not eof:
                return  # another write took it along
            guest = await self._alive()
            try:
                await guest.ask("feed", owed, id=self.id, at=self._written, eof=eof)
            except CommandGoneError:
                return
            self._written += len(owed)
            del self._owed[: len(owed)]

    async def read(self, *, timeout_s: float) -> bytes:
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        while True:
            patience = min(WAIT_S, max(0.0, until - loop.time()))
            try:
                answer = await self._command.attend(await self._alive(), self._heard, patience)
            except CommandGoneError:
                return b""
            if "end" in answer[0]:
                return b""
            self._heard = answer[0]["heard"]
            printed: list[bytes] = []
            tell(answer, lambda name, data: printed.append(data) if name == "stdout" else None)  # noqa: B023 - called at once
            if printed or loop.time() >= until:
                return b"".join(printed)

    async def wait(self, *, timeout_s: float) -> ExecResult | None:
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        while self._result is None:
            guest = await self._alive()
            patience = min(WAIT_S, max(0.0, until - loop.time()))
            try:
                answer = await self._command.attend(guest, None, patience)
                if "end" in answer[0]:
                    self._result = await self._command.result(guest, answer)
                elif loop.time() >= until:
                    return None
            except CommandGoneError:
                self._result = LOST
        return self._result

    async def kill(self) -> None:
        guest = await self._alive()
        await guest.ask("kill", id=self.id)
