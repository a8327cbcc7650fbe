"""What runs inside a sandbox that is reached through a pipe. It starts one command and herds all
that comes of it, so that nothing outlives its end; ordinary user, no capability needed.

Standalone: Python 3.8 or later runs this file where nothing else of ours is known.

    python3 -I -S shepherd.py run      one command: frames on stdin say which, and feed it
    python3 -I -S shepherd.py purge    end all else inside but process 1

A frame is four bytes of length, then so many bytes; an empty one ends the command's input, and
the end of stdin itself ends the command: whoever held it is gone, or wants no more. The order's
secret token is said on stderr before the command begins and again when it has ended, followed by
how. No one can forge that: all of its processes are dead then, and nobody inside can read the
memory of this one.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import select
import signal
import sys
import time
from contextlib import suppress

TYPE_CHECKING = False
"""As in `typing`, which takes longer to load than a short command to run."""
if TYPE_CHECKING:
    from typing import Any

_CHUNK = 65_536
_DUMPABLE, _SECCOMP, _SUBREAPER, _NO_NEW_PRIVILEGES = 4, 22, 36, 38
_LIBC = ctypes.CDLL(None, use_errno=True)


class _Filter(ctypes.Structure):
    _fields_ = (("count", ctypes.c_ushort), ("program", ctypes.c_char_p))


def _control(option: int, *arguments: Any) -> None:  # Any: whatever prctl takes
    if _LIBC.prctl(option, *arguments, *(0,) * (4 - len(arguments))):
        raise OSError(ctypes.get_errno(), "the kernel refuses to confine a command")


class Frames:
    """Frames as they come in on a descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._bytes = bytearray()
        self.ended = False

    def read(self) -> None:
        """Take what there is; waits for it."""
        data = os.read(self._descriptor, _CHUNK * 16)
        self._bytes += data
        self.ended = not data

    def take(self) -> bytes | None:
        """The next whole frame, if it is here."""
        if len(self._bytes) < 4:
            return None
        end = 4 + int.from_bytes(self._bytes[:4], "big")
        if len(self._bytes) < end:
            return None
        frame = bytes(self._bytes[4:end])
        del self._bytes[:end]
        return frame


class Feed:
    """The command's stdin: queued here, so that the end of ours is seen whatever it reads."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self._queue = bytearray()
        self._ends = False

    @property
    def waits(self) -> bool:
        return bool(self._queue)

    def add(self, frame: bytes) -> None:
        if self.descriptor < 0:
            return
        self._queue += frame
        self._ends = self._ends or not frame
        self.flush()

    def flush(self) -> None:
        try:
            while self._queue:
                del self._queue[: os.write(self.descriptor, self._queue[: _CHUNK * 16])]
        except BlockingIOError:
            return
        except OSError:
            self._ends = True
            self._queue.clear()
        if self._ends and self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def _confine(order: dict[str, Any]) -> None:
    """Limits and filter of the process that becomes the command."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for kind, value in ((resource.RLIMIT_FSIZE, "file"), (resource.RLIMIT_NPROC, "tasks")):
        if order[value]:
            resource.setrlimit(kind, (order[value], order[value]))
    _control(_NO_NEW_PRIVILEGES, 1)
    program = bytes.fromhex(order["filters"].get(os.uname().machine, ""))
    if program:
        _control(_SECCOMP, 2, ctypes.byref(_Filter(len(program) // 8, program)))


def become_command(order: dict[str, Any]) -> int:
    """Be the command. Returns the exit status, said as a shell would, if that cannot be."""
    argv: list[str] = order["argv"]
    try:
        os.chdir(order["cwd"])
    except OSError as error:
        return _excuse(f"Can't chdir to {order['cwd']}: {error.strerror}", 126)
    try:
        _confine(order)
        os.execvpe(argv[0], argv, order["env"])  # noqa: S606 - the very purpose
    except OSError as error:
        if error.errno == errno.E2BIG:
            return _excuse("the command line is too long", 126)
        missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
        return _excuse(f"{argv[0]}: {error.strerror}", 127 if missing else 126)
    return 126


def _excuse(words: str, code: int) -> int:
    os.write(2, os.fsencode(words + "\n"))
    return code


def _start(order: dict[str, Any]) -> tuple[int, int]:
    """The pid, and the writing end of its stdin."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(reading)
        return pid, writing
    code = 126
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        os.dup2(reading, 0)
        code = become_command(order)
    finally:
        os._exit(code)


def _noticed(number: int, frame: object) -> None:
    """A handler must be there for a signal to wake us; the descriptor does the rest."""


def _tend(frames: Frames, pid: int, feed: Feed) -> int | None:
    """Feed the command to its end: its wait status, or None if nobody wants it any more."""
    waking, alarm = os.pipe()
    for descriptor in (waking, alarm):
        os.set_blocking(descriptor, False)
    signal.set_wakeup_fd(alarm)
    signal.signal(signal.SIGCHLD, _noticed)
    while not frames.ended:
        status = _reap(pid)
        if status is not None:
            return status
        writers = [feed.descriptor] if feed.waits else []
        readable, writable, _ = select.select([0, waking], writers, [], 1.0)
        if waking in readable:
            os.read(waking, _CHUNK)
        if writable:
            feed.flush()
        if 0 in readable:
            frames.read()
            _pass_on(frames, feed)
    return None


def _pass_on(frames: Frames, feed: Feed) -> None:
    frame = frames.take()
    while frame is not None:
        feed.add(frame)
        frame = frames.take()


def _reap(wanted: int) -> int | None:
    """Bury the dead; the wait status of the one that counts, once it is among them."""
    found = None
    try:
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == wanted:
                found = status
            if not pid:
                return found
    except ChildProcessError:
        return found


def _childless() -> bool:
    """Bury the dead; whether nobody is left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    return False


def _descendants() -> set[int]:
    """All below this process: whoever loses its parent becomes our child."""
    below: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib takes long to load
        if name.isdigit():
            below.setdefault(_parent(name), []).append(int(name))
    found: set[int] = set()
    waiting = [os.getpid()]
    while waiting:
        children = below.get(waiting.pop(), [])
        found.update(children)
        waiting += children
    return found


def _parent(name: str) -> int:
    try:
        with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123 - as above
            return int(file.read().rpartition(b")")[2].split()[1])
    except OSError:
        return 0


def _signal(pids: set[int], number: int) -> None:
    for pid in pids:
        with suppress(OSError):
            os.kill(pid, number)


def end_all() -> None:
    """Every descendant is dead and buried on return. All are stopped before the first is killed:
    what forks faster than we can count fills the limit with processes that stand still."""
    while not _childless():
        stopped: set[int] = set()
        fresh = _descendants()
        while fresh:
            _signal(fresh, signal.SIGSTOP)
            stopped |= fresh
            fresh = _descendants() - stopped
        _signal(stopped, signal.SIGKILL)
        time.sleep(0.0005)


def _told(status: int | None) -> dict[str, int]:
    if status is None:
        return {}
    if os.WIFSIGNALED(status):
        return {"signal": os.WTERMSIG(status)}
    return {"code": os.WEXITSTATUS(status)}


def run() -> None:
    """One command, to its end."""
    _control(_SUBREAPER, 1)
    frames = Frames(0)
    first = None
    while first is None and not frames.ended:
        frames.read()
        first = frames.take()
    if first is None:
        return
    order = json.loads(first)
    token: str = order["token"]
    os.write(2, token.encode())
    pid, writing = _start(order)
    feed = Feed(writing)
    _pass_on(frames, feed)
    status = _tend(frames, pid, feed)
    end_all()
    os.set_blocking(2, True)
    os.write(2, (token + json.dumps(_told(status))).encode())


def purge() -> None:
    """End everything inside but process 1, at one blow that no fork escapes."""
    with suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)


def main() -> None:
    """Hidden from all others inside, do what the arguments say."""
    _control(_DUMPABLE, 0)
    if sys.argv[1] == "run":
        run()
    elif sys.argv[1] == "purge":
        purge()


if __name__ == "__main__":
    main()
