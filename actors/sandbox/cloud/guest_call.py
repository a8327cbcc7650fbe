"""Calls from here to the guest in a remote sandbox: packed, sent as one shell line, tried again.

A call may be repeated without harm, so a lost answer, a dropped connection or a vendor's hiccup
costs time and nothing else.
"""

import asyncio
import base64
import json
import secrets
import zlib
from functools import cache
from pathlib import Path

from actors.sandbox.cloud.vendor import Machine, patient
from actors.sandbox.guest.wire import Answer, Head, pack, unpack
from actors.sandbox.protocol import (
    FileMissingError,
    NoSpaceError,
    PathRefusedError,
    QuotaExceededError,
    RateLimitedError,
    SandboxError,
    SandboxLostError,
    SandboxUnavailableError,
)
from orchestration.clock import Clock

CALL_S = 60.0
"""One call, apart from what it waits for on purpose."""
_DELAYS_S = (0.2, 1.0, 3.0)
_LONGEST_DELAY_S = 60.0
_INLINE = 90_000
"""A program's argument may have 128 KiB."""
_LARGE = 1_000_000
_ANSWER_LIMIT = 64_000_000
_MODULES = ("shepherd", "wire", "files", "keeper", "call")
"""Of the guest, each after those that it imports; the last is called."""
_BOOT = (
    "import base64,json,sys,types,zlib\n"
    'for n,t in json.loads(zlib.decompress(base64.b64decode("{}"))):\n'
    " m=sys.modules[n]=types.ModuleType(n)\n"
    " exec(compile(t,n,'exec'),m.__dict__)\n"
    "m.main()"
)


class CommandGoneError(SandboxError):
    """The sandbox does not know a command any more."""


@cache
def program() -> str:
    """The shell words that run the guest, but for its request."""
    home = Path(__file__).parents[1] / "guest"
    named = [(f"actors.sandbox.guest.{name}", home / f"{name}.py") for name in _MODULES]
    sources = [(name, path.read_text()) for name, path in named]
    packed = base64.b64encode(zlib.compress(json.dumps(sources).encode(), 9)).decode()
    boot = _BOOT.format(packed).replace("'exec'", '"exec"')
    return f"exec python3 -I -S -c '{boot}'"


class Guest:
    """The guest of one sandbox."""

    def __init__(self, machine: Machine, clock: Clock) -> None:
        self._machine = machine
        self._clock = clock
        self._done: list[str] = []

    def forget(self, command: str) -> None:
        """End it if it still runs, and let its keeper go: told with the next call."""
        self._done.append(command)

    async def ask(
        self, op: str, blob: bytes = b"", *, within_s: float = CALL_S, **head: object
    ) -> Answer:
        """Call until it answers.

        Raises:
            SandboxUnavailableError: it did not, several times.
            CommandGoneError, FileMissingError, PathRefusedError, NoSpaceError: its answer.
        """
        delays = list(_DELAYS_S)
        while True:
            try:
                return await self._once({"op": op, **head}, blob, within_s)
            except SandboxUnavailableError as error:
                if not delays or isinstance(error, QuotaExceededError):
                    raise
                await self._clock.sleep(max(delays.pop(0), waiting(error)))

    async def _once(self, head: Head, blob: bytes, within_s: float) -> Answer:
        nonce, done = secrets.token_hex(8), self._done
        self._done = []
        message = {**head, "nonce": nonce, "forget": done}
        try:
            request = await _packed(message, blob)
            sending = self._send(request, nonce, within_s)
            said = await patient(sending, within_s, self._machine.id)
        except BaseException:
            self._done += done
            raise
        return await self._understood(head, said, nonce)

    async def _send(self, request: str, nonce: str, within_s: float) -> str:
        if len(request) > _INLINE:
            path = f"/tmp/.manta-{nonce}"  # noqa: S108 - in the sandbox; the name is secret
            await self._machine.upload(path, request.encode())
            request = f"@{path}"
        return await self._machine.run(f"{program()} {request} 2>&1", within_s)

    async def _understood(self, head: Head, said: str, nonce: str) -> Answer:
        _, found, rest = said.partition(f"\nmanta:{nonce}:")
        line = rest.partition("\n")[0].strip().encode()
        try:
            if not found:
                raise ValueError(said.strip()[-300:] or "nothing")
            answer, blob = await _unpacked(line)
        except ValueError as error:
            raise _speechless(self._machine.id, str(error)) from None
        if "refused" in answer:
            raise _refused(self._machine.id, head, answer)
        return answer, blob


def waiting(error: SandboxUnavailableError) -> float:
    """Seconds that a provider wants to be left alone."""
    asked = error.details[0] if isinstance(error, RateLimitedError) and error.details else 0.0
    return min(asked, _LONGEST_DELAY_S) if isinstance(asked, int | float) else 0.0


def _speechless(name: str, said: str) -> SandboxError:
    if "python3" in said and ("not found" in said or "No such file" in said):
        return SandboxError(
            f"the image of sandbox {name} has no python3",
            "choose an image with python3 (3.9 or newer), bash and git",
        )
    return SandboxUnavailableError(
        f"sandbox {name} answers what is no answer: {said}", "try again, or use a fresh sandbox"
    )


def _refused(name: str, head: Head, answer: Head) -> SandboxError:
    kind, said, path = answer["refused"], str(answer["said"])[:300], str(head.get("path"))[:200]
    match kind:
        case "missing":
            return FileMissingError(f"there is no file {path!r}", "list the directory")
        case "outside":
            return PathRefusedError(
                f"{path!r} is not inside the workspace",
                "use a path relative to /workspace, and no link that leads out of it",
            )
        case "plain":
            return PathRefusedError(f"{path!r} is refused: {said}", "name a plain file")
        case "space":
            return NoSpaceError(f"no space left for {path!r}: {said}", "remove files")
        case "gone":
            return CommandGoneError(f"sandbox {name}: {said}", "run the command again")
        case "unprepared":
            return SandboxLostError(f"sandbox {name} was reset: {said}", "make a new one")
        case _:
            return SandboxError(f"sandbox {name} does not work: {said}", "use another image")


async def _packed(head: Head, blob: bytes) -> str:
    large = len(blob) > _LARGE
    request = await asyncio.to_thread(pack, head, blob) if large else pack(head, blob)
    return request.decode()


async def _unpacked(line: bytes) -> Answer:
    if len(line) > _LARGE:
        return await asyncio.to_thread(unpack, line, _ANSWER_LIMIT)
    return unpack(line, _ANSWER_LIMIT)
