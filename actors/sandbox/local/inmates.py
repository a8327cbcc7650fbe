"""The processes inside one local sandbox, whoever started them: found, stopped, ended."""

import os
import signal
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path

from actors.sandbox.local import cgroups
from actors.sandbox.protocol import WORKSPACE, SandboxUnavailableError

_STOPPED_WITHIN_S = 10.0
_AT_REST = ("T", "t", "Z", "X")
"""States of a process that cannot start another: stopped, traced, dead."""


class Inmates:
    """Those who see the sandbox's workspace in their own mount namespace.

    Control groups list them at once where there are any; else all processes are looked at.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._sign = f"/{name}/workspace {WORKSPACE} ".encode()

    def _candidates(self) -> Iterable[int]:
        groups = cgroups.existing(self._name)
        if groups.paths:
            return groups.pids()
        return (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())

    def _inside(self, pid: int) -> bool:
        with suppress(OSError):
            return self._sign in Path(f"/proc/{pid}/mountinfo").read_bytes()
        return False

    def _signal(self, number: signal.Signals, *, unless: tuple[str, ...] = ()) -> int:
        """How many were told, of those in another state than `unless`."""
        return sum(self._told(pid, number, unless) for pid in self._candidates())

    def _told(self, pid: int, number: signal.Signals, unless: tuple[str, ...]) -> bool:
        """The number of one that ended meanwhile may be somebody else's: a descriptor is held
        while it is looked at."""
        with suppress(OSError), _held(pid) as handle:
            if self._inside(pid) and _state(pid) not in unless:
                signal.pidfd_send_signal(handle, number)
                return True
        return False

    def stop(self) -> None:
        """Nobody inside runs on return; blocking, a few milliseconds.

        Raises:
            SandboxUnavailableError: some would not stand still.
        """
        deadline = time.monotonic() + _STOPPED_WITHIN_S
        while self._signal(signal.SIGSTOP, unless=_AT_REST):
            if time.monotonic() > deadline:
                self.go_on()
                raise SandboxUnavailableError(
                    f"sandbox {self._name} cannot be paused: its processes do not stop",
                    "end them, or terminate the sandbox",
                )
            time.sleep(0.001)

    def go_on(self) -> None:
        """Undo `stop`."""
        self._signal(signal.SIGCONT)

    def end(self) -> None:
        """Kill whoever is left; those that no control group holds are in nobody's tree."""
        self._signal(signal.SIGKILL)


@contextmanager
def _held(pid: int) -> Generator[int]:
    handle = os.pidfd_open(pid)
    try:
        yield handle
    finally:
        os.close(handle)


def _state(pid: int) -> str:
    """One letter, as in `ps`."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
