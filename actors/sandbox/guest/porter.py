"""Process 1 of a container, and doors into and out of it. Standalone, as its sibling `shepherd`.

python3 -I -S porter.py first PORT SOCKET    process 1: buries, and relays PORT to SOCKET
python3 -I -S porter.py dial PORT            stdin and stdout become a connection to that port
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

_CHUNK = 65_536
_IDLE_S = 300.0
_DUMPABLE = 4


def _copy(source: int, target: int, done: Callable[[], None]) -> None:
    try:
        while select.select([source], [], [], _IDLE_S)[0]:
            data = os.read(source, _CHUNK)
            if not data:
                break
            while data:
                data = data[os.write(target, data) :]
    except OSError:
        pass
    finally:
        done()


def _half_close(connection: socket.socket) -> Callable[[], None]:
    def close() -> None:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_WR)

    return close


def dial(port: int) -> None:
    """A connection to a port of this sandbox; one byte says that it stands."""
    with socket.create_connection(("127.0.0.1", port), 10) as there:
        there.setblocking(True)
        there.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        os.write(1, b"+")
        upward = threading.Thread(
            target=_copy, args=(0, there.fileno(), _half_close(there)), daemon=True
        )
        upward.start()
        _copy(there.fileno(), 1, lambda: None)


def _answer(here: socket.socket, path: str) -> None:
    with here, socket.socket(socket.AF_UNIX) as there:
        try:
            there.connect(path)
        except OSError:
            return
        upward = threading.Thread(
            target=_copy, args=(here.fileno(), there.fileno(), _half_close(there)), daemon=True
        )
        upward.start()
        _copy(there.fileno(), here.fileno(), _half_close(here))
        upward.join()


def _relay(port: int, path: str) -> None:
    listener = socket.create_server(("127.0.0.1", port), backlog=64)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while True:
        here, _ = listener.accept()
        threading.Thread(target=_answer, args=(here, path), daemon=True).start()


def _bury() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def first(port: int, path: str) -> None:
    """Process 1: lives as long as the sandbox, and buries whom nobody else does."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    if port:
        threading.Thread(target=_relay, args=(port, path), daemon=True).start()
    while True:
        signal.sigtimedwait({signal.SIGCHLD}, 60)
        _bury()


def main() -> None:
    """Hidden from all others inside, do what the arguments say."""
    ctypes.CDLL(None).prctl(_DUMPABLE, 0, 0, 0, 0)
    verb, rest = sys.argv[1], sys.argv[2:]
    if verb == "first":
        first(int(rest[0]), rest[1])
    elif verb == "dial":
        dial(int(rest[0]))


if __name__ == "__main__":
    main()
