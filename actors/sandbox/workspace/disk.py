"""The disk limit of a workspace that is a plain directory: watched, not walled.

A directory has no quota of its own. While commands run, the file system's free space is looked at
ten times a second, which costs microseconds; only when it has shrunk enough to matter is the
workspace measured. Whoever writes fast can overshoot by what a tenth of a second holds, never
into the host's reserve for long.
"""

import asyncio
import contextlib
import errno
import os
import subprocess
from collections.abc import Callable, Generator
from pathlib import Path

from actors.sandbox.protocol import SandboxError, SandboxUnavailableError

_EVERY_S = 0.1
_RESERVE = 512 * 1024**2
_LEAST = 4 * 1024**2
"""With less than this left for anybody no command is started."""
_SHARE = 8
"""The workspace is measured each time free space has shrunk by an eighth of the limit."""


def used(path: Path) -> int:
    """Bytes on disk below a directory that hostile code may be changing."""
    done = subprocess.run(
        ["du", "-sxk", "--", str(path)],
        capture_output=True,
        check=False,
        env={"PATH": os.defpath, "LC_ALL": "C"},
    )
    first = done.stdout.split(b"\t", 1)[0]
    return int(first) * 1024 if first.isdigit() else 0


def free(path: Path) -> int:
    """Bytes that the file system has left for anybody."""
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


def host_full() -> SandboxUnavailableError:
    """The disk that holds the sandboxes has no room: nobody inside can mend that."""
    return SandboxUnavailableError(
        "the disk that holds the sandboxes is full",
        "free space in the state directory (`manta doctor --sweep` ends orphans), then resume",
    )


@contextlib.contextmanager
def kept() -> Generator[None]:
    """What we keep of a sandbox beside it is written, or the disk is to blame.

    Raises:
        SandboxUnavailableError: it cannot be written.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, SandboxError) or error.errno == errno.ENOENT:
            raise
        if error.errno == errno.ENOSPC:
            raise host_full() from None
        raise SandboxUnavailableError(
            f"a sandbox's papers cannot be written: {error}", "check the state directory's disk"
        ) from None


class DiskWatch:
    """Calls `full` while commands run and the workspace grows over `limit` bytes, or the host's
    disk is at its reserve; `at_reserve` tells which."""

    def __init__(self, workspace: Path, limit: int, full: Callable[[], None]) -> None:
        self._workspace = workspace
        self._limit = limit
        self._full = full
        self.at_reserve = False
        self._known = 0
        self._users = 0
        self._task: asyncio.Task[None] | None = None

    def hold(self) -> None:
        """One more command runs.

        Raises:
            SandboxUnavailableError: the host's disk is full.
        """
        with contextlib.suppress(FileNotFoundError):
            if free(self._workspace) < _LEAST:
                raise host_full()
        self._users += 1
        if self._task is None:
            self._task = asyncio.create_task(self._watch_until_gone())

    def release(self) -> None:
        """One command fewer runs."""
        self._users -= 1
        if not self._users and self._task:
            self._task.cancel()
            self._task = None

    async def _watch_until_gone(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            await self._watch()

    async def _watch(self) -> None:
        measured_at = free(self._workspace)
        reserve = min(_RESERVE, measured_at // 2)
        while True:
            await asyncio.sleep(_EVERY_S)
            left = free(self._workspace)
            self.at_reserve = left < reserve
            if self.at_reserve:
                self._full()
            elif measured_at - left > max(0, self._limit - self._known) // _SHARE:
                before, self._known = self._known, await asyncio.to_thread(used, self._workspace)
                measured_at = left
                if self._known > max(self._limit, before):
                    self._full()
