"""The keeper of one command inside a remote sandbox: starts, drains, feeds and ends it.

A process of its own that outlives the call which made it. It adopts whatever the command starts,
so that all of it can be found and ended, and answers later calls at a socket: what was printed
since, the result, more stdin. Every call may be repeated without harm. See `wire`.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import os
import selectors
import shutil
import signal
import socket
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING

from actors.sandbox.guest.shepherd import become_command, end_all
from actors.sandbox.guest.wire import (
    PIECE,
    ROOT,
    Head,
    become,
    home_of,
    owner,
    pack,
    spec,
    unpack,
)

if TYPE_CHECKING:
    from actors.sandbox.guest.wire import Answer

CHUNK = 65_536
GATHER_S = 0.02
DUMPABLE, SUBREAPER = 4, 36
LENGTH = struct.Struct("!I")


class Stream:
    """Head and tail of what was printed, and how much it was in all."""

    def __init__(self, kept: int) -> None:
        self.head, self.tail, self.total = bytearray(), bytearray(), 0
        self.first, self.last = (kept + 1) // 2, kept // 2

    def add(self, data: bytes) -> None:
        self.total += len(data)
        room = self.first - len(self.head)
        self.head += data[:room]
        self.tail += data[room:]
        if len(self.tail) > 2 * self.last + CHUNK:
            del self.tail[: len(self.tail) - self.last]

    def value(self) -> bytes:
        return bytes(self.head + self.tail[max(0, len(self.tail) - self.last) :])


class Keeper:
    """One command from start to end, and then its result for a while.

    Of the request: `timeout` ends the command, `unheard` seconds without a question do too (0:
    never), `linger` seconds without one end the keeper afterwards; `listen` bytes of output wait
    for who listens, the oldest going first so that no writer is ever blocked.
    """

    def __init__(self, head: Head, blob: bytes, door: socket.socket) -> None:
        for option, value in ((SUBREAPER, 1), (DUMPABLE, 0)):
            ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
        self.began = self.asked = time.monotonic()
        self.head, self.door, self.spec = head, door, spec()
        self.input, self.fed, self.input_ends = bytearray(blob), len(blob), bool(head["eof"])
        self.streams = Stream(head["kept"]), Stream(head["kept"])
        self.unheard: collections.deque[tuple[int, int, bytes]] = collections.deque()
        self.told, self.since = 0, 0.0
        self.clients: list[tuple[socket.socket, Head, bytes, float]] = []
        self.end: Head = {}
        self.value, self.ooms = b"", oom_kills()
        self.choose = selectors.DefaultSelector()
        self.choose.register(door, selectors.EVENT_READ, self.accept)
        self.wake, self.woken = socket.socketpair()
        self.wake.setblocking(False)
        self.woken.setblocking(False)
        signal.signal(signal.SIGCHLD, _noticed)
        signal.set_wakeup_fd(self.wake.fileno(), warn_on_full_buffer=False)
        self.choose.register(self.woken, selectors.EVENT_READ, self.child_moved)
        self.pid, self.stdin = self.start()
        self.feed()

    def start(self) -> tuple[int, int]:
        """Start the command; a failure to is an exit code and words, as in a shell."""
        pipes = [os.pipe() for _ in range(3)]
        ours = pipes[0][1], pipes[1][0], pipes[2][0]
        theirs = pipes[0][0], pipes[1][1], pipes[2][1]
        pid = os.fork()
        if pid == 0:
            try:
                for number, fd in enumerate(theirs):
                    os.dup2(fd, number)
                os._exit(run(self.head, self.spec))
            finally:
                os._exit(126)
        for fd in theirs:
            os.close(fd)
        for number, fd in enumerate(ours):
            os.set_blocking(fd, False)
            if number:
                self.choose.register(fd, selectors.EVENT_READ, number - 1)
        return pid, ours[0]

    def run(self) -> None:
        """Until the command has ended and nobody has asked for a while."""
        while not self.end or time.monotonic() < self.asked + self.head["linger"]:
            for key, _ in self.choose.select(self.patience()):
                if not isinstance(key.data, int):
                    key.data()
                elif key.fd in self.choose.get_map():
                    self.drain(key.fd, key.data)
            now = time.monotonic()
            if self.head["timeout"] and now >= self.began + self.head["timeout"]:
                self.stop("timeout")
            if self.head["unheard"] and now >= self.asked + self.head["unheard"]:
                self.stop("cancelled")
            self.clients = [each for each in self.clients if not self.answered(*each)]

    def patience(self) -> float:
        moments = [each[3] for each in self.clients]
        if any(self.news(each[1]) for each in self.clients):
            moments.append(self.since + GATHER_S)
        if self.end:
            moments.append(self.asked + self.head["linger"])
        elif self.head["timeout"]:
            moments.append(self.began + self.head["timeout"])
        if not self.end and self.head["unheard"]:
            moments.append(self.asked + self.head["unheard"])
        return max(0.001, min(moments, default=time.monotonic() + 60.0) - time.monotonic())

    def drain(self, fd: int, number: int) -> bool:
        """Take one chunk; False when there is none now or ever."""
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self.choose.unregister(fd)
            os.close(fd)
            return False
        self.streams[number].add(data)
        if self.head["listen"]:
            self.since = self.since if self.unheard else time.monotonic()
            self.told += len(data)
            self.unheard.append((self.told, number, data))
            while self.told - self.unheard[0][0] > self.head["listen"]:
                self.unheard.popleft()
        if sum(each.total for each in self.streams) > self.spec["limits"]["output"]:
            self.stop("output_limit")
        return True

    def feed(self) -> None:
        """Give the command what waits for its stdin, as far as it takes it."""
        try:
            while self.input and self.stdin >= 0:
                del self.input[: os.write(self.stdin, bytes(self.input[: CHUNK * 16]))]
        except BlockingIOError:
            with contextlib.suppress(KeyError):
                self.choose.register(self.stdin, selectors.EVENT_WRITE, self.feed)
            return
        except OSError:
            self.input_ends = True
        self.input.clear()
        with contextlib.suppress(KeyError, ValueError):
            self.choose.unregister(self.stdin)
        if self.input_ends and self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1

    def child_moved(self) -> None:
        """Some child ended: ours, or one that was left to us."""
        with contextlib.suppress(BlockingIOError):
            self.woken.recv(CHUNK)
        for pid, status in reaped():
            if pid == self.pid and not self.end:
                killed = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
                oom = killed == signal.SIGKILL and oom_kills() > self.ooms
                code = None if killed else os.WEXITSTATUS(status)
                self.finish("oom" if oom else "signaled" if killed else "exited", code, killed)

    def stop(self, reason: str) -> None:
        """Ask for the end; the first reason counts."""
        if not self.end:
            self.finish(reason, None, None)

    def finish(self, ended: str, code: int | None, killed: int | None) -> None:
        """Everything it started is dead; then what that left in the pipes is taken."""
        self.end = {"ended": ended, "code": code, "signal": killed}
        end_all()
        for key in list(self.choose.get_map().values()):
            while isinstance(key.data, int) and self.drain(key.fd, key.data):
                pass
        values = [each.value() for each in self.streams]
        self.value = b"".join(values)
        self.end["seconds"] = time.monotonic() - self.began
        self.end["totals"] = [each.total for each in self.streams]
        self.end["sizes"] = [len(each) for each in values]

    def accept(self) -> None:
        """Somebody asks."""
        client = self.door.accept()[0]
        client.settimeout(5.0)
        self.asked = time.monotonic()
        with contextlib.suppress(OSError, ValueError):
            head, blob = unpack(received(client))
            self.clients.append((client, head, blob, self.asked + head.get("wait", 0.0)))

    def news(self, head: Head) -> bool:
        """Is there output that this caller wants and has not heard?"""
        heard = head.get("heard")
        return heard is not None and bool(self.unheard) and self.unheard[-1][0] > heard

    def answered(self, client: socket.socket, head: Head, blob: bytes, until: float) -> bool:
        """Answer if it is time to."""
        now = time.monotonic()
        gathered = self.news(head) and now >= self.since + GATHER_S
        if now < until and not self.end and not gathered:
            return False
        self.asked = now
        with contextlib.suppress(OSError):
            send(client, pack(*getattr(self, f"on_{head['op']}")(head, blob)))
        client.close()
        if head["op"] == "forget":
            shutil.rmtree(Path(self.door.getsockname()).parent, ignore_errors=True)
            os._exit(0)
        return True

    def on_attend(self, head: Head, blob: bytes) -> Answer:
        """What was printed since `heard`; once all was heard, the result and its first bytes."""
        parts: list[tuple[int, int]] = []
        heard, taken = head.get("heard"), bytearray()
        while self.unheard and heard is not None and self.unheard[0][0] <= heard:
            self.unheard.popleft()
        for at, number, data in self.unheard if heard is not None else ():
            if len(taken) + len(data) > PIECE:
                break
            parts.append((number, len(data)))
            taken += data
            heard = at
        if self.end and not parts:
            return {"end": self.end}, self.value[:PIECE]
        return {"parts": parts, "heard": heard}, bytes(taken)

    def on_piece(self, head: Head, blob: bytes) -> Answer:
        return {}, self.value[head["at"] : head["at"] + PIECE]

    def on_feed(self, head: Head, blob: bytes) -> Answer:
        """More stdin, from byte `at` on: what came before is not taken twice."""
        fresh = blob[max(0, self.fed - head["at"]) :]
        self.fed += len(fresh)
        self.input += fresh
        self.input_ends = self.input_ends or bool(head["eof"])
        self.feed()
        return {}, b""

    def on_kill(self, head: Head, blob: bytes) -> Answer:
        self.stop("cancelled")
        return {}, b""

    on_forget = on_kill


def _noticed(number: int, frame: object) -> None:
    """There must be a handler for a signal to wake us; the descriptor does the rest."""


def run(head: Head, asked: Head) -> int:
    """Become the command. Returns the exit code of one that cannot be run.

    Only a root's guest can count a command's threads: its commands have a user of their own.
    """
    uid, root = owner(), os.geteuid() == 0
    default = {"PATH": os.environ.get("PATH", os.defpath), "HOME": home_of(uid)}
    os.setsid()
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    become(uid)
    return become_command(
        {
            "argv": head["argv"],
            "cwd": str(Path(ROOT, head["cwd"])),
            "env": {**default, "LANG": "C.UTF-8", "TERM": "dumb", **asked["env"], **head["env"]},
            **asked["walls"],
            **({} if root else {"tasks": 0}),
        }
    )


def reaped() -> list[tuple[int, int]]:
    """Take what children that ended have to say."""
    found: list[tuple[int, int]] = []
    with contextlib.suppress(ChildProcessError):
        while not found or found[-1][0]:
            found.append(os.waitpid(-1, os.WNOHANG))
    return [each for each in found if each[0]]


def oom_kills() -> int:
    """How many processes the kernel killed here for want of memory."""
    for place in ("/sys/fs/cgroup/memory.events", "/proc/vmstat"):
        with contextlib.suppress(OSError):
            lines = Path(place).read_text().splitlines()
            counts = [int(line.split()[1]) for line in lines if line.startswith("oom_kill ")]
            return sum(counts)
    return 0


def send(peer: socket.socket, message: bytes) -> None:
    """One message, whole."""
    peer.sendall(LENGTH.pack(len(message)) + message)


def received(peer: socket.socket) -> bytes:
    """One message. Raises OSError if the peer leaves before its end."""
    wanted, data = LENGTH.size, bytearray()
    while len(data) < wanted:
        chunk = peer.recv(max(CHUNK, wanted - len(data)))
        if not chunk:
            raise ConnectionResetError("left in the middle")
        data += chunk
        if len(data) >= LENGTH.size:
            wanted = LENGTH.size + LENGTH.unpack_from(data)[0]
    return bytes(data[LENGTH.size :])
