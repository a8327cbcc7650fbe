"""The person at the terminal: pages, prompts and their editor. Keys never block the event loop."""

import asyncio
import os
import shlex
import shutil
import signal
import sys
import tempfile
import termios
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from rich.text import Text

from cluster.terminal.painting import in_colour
from orchestration.errors import UsageError

EDITORS = ("sensible-editor", "nano", "vi")
LESS = "FRX"
"""How git asks it too: end at once where all fits, colours, and leave the text on the screen."""


def is_there() -> bool:
    """Whether somebody can be asked: input and output are a terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()


class Person:
    """Whoever sits at a terminal: this one, unless another is named."""

    def __init__(self, keys: TextIO | None = None, screen: TextIO | None = None) -> None:
        self._keys, self._screen = keys or sys.stdin, screen or sys.stdout

    def say(self, line: Text | str = "") -> None:
        """One line."""
        text = Text(line) if isinstance(line, str) else line
        self._write(in_colour([text], self._screen) + "\n")

    async def read(self, lines: list[Text]) -> None:
        """Show a text: a page at a time where it is longer than the screen."""
        text = in_colour(lines, self._screen) + "\n"
        pager = shlex.split(os.environ.get("PAGER", "")) or ["less"]
        if not shutil.which(pager[0]):
            self._write(text)
            return
        with _left_to_children():
            process = await asyncio.create_subprocess_exec(
                *pager,
                stdin=asyncio.subprocess.PIPE,
                stdout=self._screen,
                env={"LESS": LESS, **os.environ},
            )
            await process.communicate(text.encode())

    async def answer(self, prompt: str) -> str:
        """A line that is typed now: what was typed before the question is not an answer to it.

        Raises:
            EOFError: the person closed the input.
        """
        termios.tcflush(self._keys, termios.TCIFLUSH)
        self._write(prompt)
        return await self.line()

    async def line(self) -> str:
        """The next line.

        Raises:
            EOFError: the person closed the input.
        """
        loop = asyncio.get_running_loop()
        typed: asyncio.Future[bytes] = loop.create_future()
        handle = self._keys.fileno()
        loop.add_reader(handle, lambda: typed.done() or typed.set_result(os.read(handle, 65_536)))
        try:
            data = await typed
        finally:
            loop.remove_reader(handle)
        if not data:
            raise EOFError
        return data.decode("utf-8", "replace").strip()

    async def edit(self, text: str, suffix: str) -> str:
        """The text as the person leaves it in their editor.

        Raises:
            UsageError: there is no editor, or it failed.
        """
        command = _editor()
        with tempfile.TemporaryDirectory(prefix="manta-edit-") as place:
            file = Path(place) / f"edit{suffix}"
            file.write_text(text, encoding="utf-8")
            with _left_to_children():
                process = await asyncio.create_subprocess_exec(
                    *command, str(file), stdin=self._keys, stdout=self._screen
                )
                code = await process.wait()
            if code:
                raise UsageError(f"{command[0]} ended with exit code {code}; nothing is changed")
            return file.read_text("utf-8", errors="replace")

    def _write(self, text: str) -> None:
        encoding = self._screen.encoding or "utf-8"
        self._screen.write(text.encode(encoding, "replace").decode(encoding))
        self._screen.flush()


def _editor() -> list[str]:
    """The person's editor, or one that is here."""
    named = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    command = shlex.split(named) if named else [e for e in EDITORS if shutil.which(e)][:1]
    if not command or not shutil.which(command[0]):
        raise UsageError(
            f"there is no editor {named or 'on this machine'}", "name one: export EDITOR=nano"
        )
    return command


@contextmanager
def _left_to_children() -> Generator[None]:
    """Ctrl-C is meant for the pager or editor, not for us."""
    before = signal.signal(signal.SIGINT, _unheard)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _unheard(_signum: int, _frame: object) -> None:
    """In place of ending us."""
