"""A few places per machine, taken by whichever process comes first."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path


class Slots:
    """At most `count` holders at once among all processes that name the same folder.

    A place is a locked file, so that the kernel gives back what a killed process held.
    """

    def __init__(self, folder: Path, count: int) -> None:
        self._folder, self._count = folder, count

    def take(self) -> "Slot | None":
        """A place, or None while all are taken."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number in range(self._count):
            fd = os.open(self._folder / f"{number}.lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(fd)
            else:
                return Slot(fd)
        return None


class Slot:
    """A place that is held until `release`."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def release(self) -> None:
        """Give it back; twice is fine."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with suppress(OSError):
                os.close(fd)
