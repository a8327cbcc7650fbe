"""Sockets inside a sandbox's network, handed to this process: it never enters itself.

A helper joins the network namespace, opens the socket there and passes the descriptor back. A
socket stays in the network it was opened in, whoever uses it.
"""

import socket
import subprocess
import sys

from actors.sandbox.local.bubblewrap import Namespaces, Tools
from actors.sandbox.protocol import SandboxUnavailableError

_WITHIN_S = 20.0
_OPEN = """
import socket, sys
back = socket.socket(fileno=int(sys.argv[1]))
made = socket.socket()
made.settimeout(10)
if sys.argv[2] == "listen":
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", int(sys.argv[3])))
    made.listen(64)
else:
    made.connect(("127.0.0.1", int(sys.argv[3])))
socket.send_fds(back, [b"x"], [made.fileno()])
"""


def open_inside(tools: Tools, namespaces: Namespaces, what: str, port: int) -> socket.socket:
    """`listen` on or `connect` to a port of the sandbox's loopback; blocking, about 20 ms.

    Raises:
        SandboxUnavailableError: the port is taken, or nobody listens there.
    """
    ours, theirs = socket.socketpair()
    user = [f"--user={namespaces.user}", "--preserve-credentials"] if namespaces.user else []
    with ours:
        with theirs:
            helper = subprocess.Popen(
                [
                    *(tools.nsenter, f"--net={namespaces.network}", *user),
                    *(sys.executable, "-I", "-S", "-c", _OPEN),
                    *(str(theirs.fileno()), what, str(port)),
                ],
                env={},
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
        with helper:
            ours.settimeout(_WITHIN_S)
            _, descriptors, _, _ = socket.recv_fds(ours, 16, 1)
            words = helper.stderr.read().decode(errors="replace") if helper.stderr else ""
    if not descriptors:
        line = words.strip().rpartition("\n")[2]
        raise SandboxUnavailableError(
            f"cannot {what} at port {port} inside the sandbox: {line}", "check that it is free"
        )
    return socket.socket(fileno=descriptors[0])
