"""A real terminal for tests: a pty, what stands on its screen, and a program in front of it."""

import asyncio
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from dataclasses import dataclass

PATIENCE_S = 60.0
_CONTROL = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)")


@dataclass(frozen=True)
class Ran:
    """How a program ended, and all it said."""

    code: int
    said: str


class Screen:
    """What a terminal shows of what was written to it; as much of it as we use."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.lines: list[str] = [""]
        self.row = self.column = 0
        self.blanked = 0
        """Times that something was erased without being written over."""

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines)

    def write(self, data: str) -> None:
        for numbers, letter, control, text in _CONTROL.findall(data):
            if letter:
                self._obey(numbers, letter)
            elif control == "\r":
                self.column = 0
            elif control == "\n":
                self.row += 1
            else:
                self._put(text)
            self.lines += [""] * (self.row + 1 - len(self.lines))

    def _put(self, text: str) -> None:
        for glyph in text:
            if self.column >= self.width:
                self.row, self.column = self.row + 1, 0
            self.lines += [""] * (self.row + 1 - len(self.lines))
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + glyph + line[self.column + 1 :]
            self.column += 1

    def _obey(self, numbers: str, letter: str) -> None:
        if letter == "A":
            self.row = max(0, self.row - int(numbers or 1))
        elif letter == "K":
            self.lines[self.row] = self.lines[self.row][: self.column]
        elif letter == "H":
            self.row = self.column = 0
        elif letter == "J":
            first = 0 if numbers == "2" else self.row + 1
            self.blanked += any(line.strip() for line in self.lines[first:])
            self.lines[first:] = [""] * len(self.lines[first:])


class Pty:
    """A pty and what was said on it; `keys` and `screen` are the program's ends."""

    def __init__(self, width: int = 100, height: int = 40) -> None:
        self.said = ""
        self.master, slave = pty.openpty()
        self.keys = os.fdopen(os.dup(slave), "r", encoding="utf-8")
        self.screen = os.fdopen(slave, "w", encoding="utf-8")
        self._told = 0
        self.resize(width, height)

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    async def until(self, text: str) -> str:
        """Wait until something is said; returns what was said since the last wait."""
        async with asyncio.timeout(PATIENCE_S):
            while text not in self.said[self._told :]:
                self.hear()
                await asyncio.sleep(0)
        start, self._told = self._told, len(self.said)
        return self.said[start:]

    def hear(self) -> str:
        """Whatever was written by now, all in all."""
        while select.select([self.master], [], [], 0)[0]:
            self.said += os.read(self.master, 65_536).decode("utf-8", "replace")
        return self.said

    def close(self) -> None:
        self.keys.close()
        self.screen.close()
        os.close(self.master)


def ran_on_a_terminal(command: Sequence[str], answers: Sequence[tuple[str, str]]) -> Ran:
    """A program on a terminal of its own: wait for each text, then type what answers it."""
    seat = Pty()
    known = {"TERM": "xterm-256color", "PAGER": "cat", "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        command,
        stdin=seat.keys, stdout=seat.screen, stderr=seat.screen,
        env={**os.environ, **known},
        preexec_fn=_take_terminal,  # noqa: PLW1509 - sets the controlling terminal, no more
        start_new_session=True,
    )  # fmt: skip
    waiting, deadline, told = list(answers), time.monotonic() + PATIENCE_S, 0
    while process.poll() is None and time.monotonic() < deadline:
        select.select([seat.master], [], [], 0.1)
        if waiting and waiting[0][0] in seat.hear()[told:]:
            told = len(seat.said)
            seat.type(waiting.pop(0)[1])
    process.kill()
    code = process.wait()
    said = seat.hear()
    seat.close()
    return Ran(code, said)


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
