"""Pictures on a terminal, one over the other: without flicker, and whole after a resize.

A line is written over the one before it, so nothing is blank in between. When the terminal changes
its size nobody knows where the old lines are now: the screen is cleared and painted anew.
"""

import contextlib
import os
import shutil
import sys
import termios
from collections.abc import Generator, Iterable, Sequence
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

_TOGETHER, _SHOWN = "\x1b[?2026h", "\x1b[?2026l"
"""Around a picture: terminals that know it show it at once."""
_HIDE, _SHOW = "\x1b[?25l", "\x1b[?25h"
_CLEAR = "\x1b[2J\x1b[H"


class Painter:
    """Paints over what it painted before. `out` is a terminal."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._console = Console(file=out, highlight=False, force_terminal=True)
        self._painted: list[str] = []
        self._size = self._now()

    def _now(self) -> os.terminal_size:
        """The terminal's size at this moment, whatever the environment says."""
        try:
            return os.get_terminal_size(self._out.fileno())
        except OSError:
            return shutil.get_terminal_size()

    @property
    def room(self) -> tuple[int, int]:
        """Cells and lines that a picture may have."""
        width, height = self._now()
        # The last column stays free: some terminals wrap there, and others forget its cell.
        return max(1, width - 1), max(1, height - 1)

    @property
    def is_ascii(self) -> bool:
        """Whether the terminal knows no more than ASCII."""
        return not (self._out.encoding or "").lower().startswith("utf")

    def paint(self, lines: Sequence[Text]) -> None:
        """A picture in the place of the last one. The same picture again costs nothing."""
        size, rendered = self._now(), self._rendered(lines)
        if rendered == self._painted and size == self._size:
            return
        back = self._back() if size == self._size else _CLEAR
        text = "\n".join(f"{line}\x1b[K" for line in rendered)
        self._write(f"{_TOGETHER}{_HIDE}{back}{text}\x1b[J{_SHOWN}")
        self._painted, self._size = rendered, size

    def leave(self, lines: Sequence[Text]) -> None:
        """The last picture, which may be longer than the screen; what is written next follows."""
        text = "\n".join(f"{line}\x1b[K" for line in self._rendered(lines))
        back = self._back() if self._now() == self._size else _CLEAR
        self._write(f"{_TOGETHER}{back}\x1b[J{text}\n{_SHOW}{_SHOWN}")
        self._painted = []

    def _back(self) -> str:
        """To the first cell of the last picture."""
        up = len(self._painted) - 1
        return f"\r\x1b[{up}A" if up > 0 else "\r"

    def _rendered(self, lines: Sequence[Text]) -> list[str]:
        with self._console.capture() as caught:
            for line in lines:
                self._console.print(line, no_wrap=True, crop=False, overflow="ignore")
        return caught.get().split("\n")[:-1]

    def _write(self, text: str) -> None:
        encoding = self._out.encoding or "utf-8"
        self._out.write(text.encode(encoding, "replace").decode(encoding))
        self._out.flush()


@contextlib.contextmanager
def without_echo(out: TextIO) -> Generator[None]:
    """Keys that people press meanwhile do not tear the picture. Ctrl-C works as ever."""
    before = _own_modes(out)
    if before is None:
        yield
        return
    quiet = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    termios.tcsetattr(out, termios.TCSADRAIN, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(out, termios.TCSADRAIN, before)


def in_colour(lines: Iterable[Text], out: TextIO | None = None) -> str:
    """Lines as text, in colour where `out` (stdout) is a terminal that wants it."""
    console = Console(file=out or sys.stdout, highlight=False)
    with console.capture() as caught:
        for line in lines:
            console.print(line, soft_wrap=True)
    return caught.get().removesuffix("\n")


def _own_modes(out: TextIO) -> list[Any] | None:
    """How the terminal is set; None for one that is not ours, as in the background."""
    try:
        is_ours = os.tcgetpgrp(out.fileno()) == os.getpgrp()
        return termios.tcgetattr(out) if is_ours else None
    except (termios.error, OSError):
        return None
