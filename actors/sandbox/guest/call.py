"""One call to a remote sandbox, as it arrives there: `python3 -ISc PROGRAM REQUEST`.

REQUEST is a packed message, or @file that holds one; the answer is the one line of stdout that
begins with `manta:NONCE:`. As root the keepers and their sockets are out of the commands' reach;
otherwise a command could lie about itself, which is why proof is taken in fresh sandboxes only.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from actors.sandbox.guest.files import VERBS, file_verb
from actors.sandbox.guest.keeper import Keeper, received, send
from actors.sandbox.guest.wire import ROOT, RefusedError, folder, pack, refusal, unpack

if TYPE_CHECKING:
    from actors.sandbox.guest.wire import Answer, Head

BORN_WITHIN_S, DEAD_WITHIN_S = 5.0, 0.2
"""How long a keeper may need to open its door, and how long one that is shut counts as opening."""
CANCELLED = {"ended": "cancelled", "code": None, "signal": None, "seconds": 0.0}


def prepare(head: Head, blob: bytes) -> Answer:
    """Make the workspace, note what was asked for, and tell which programs are missing."""
    del blob
    if not Path(ROOT).is_dir():
        user = os.geteuid() or _anybody()
        script = f"mkdir -p {ROOT} && chown {user}:{user} {ROOT} && chmod 755 {ROOT}"
        sudo = ["sudo", "-n"] if os.geteuid() else []
        try:
            done = subprocess.run([*sudo, "sh", "-c", script], capture_output=True, check=False)
            said = done.stderr.decode(errors="replace").strip()[-200:] if done.returncode else ""
        except OSError as error:
            said = str(error)
        if said:
            raise RefusedError("broken", f"{ROOT} cannot be made: {said}")
    (folder() / "spec.json").write_text(json.dumps(head["spec"]))
    return {"missing": [name for name in head["programs"] if not shutil.which(str(name))]}, b""


def _anybody() -> int:
    """The first ordinary user of the image."""
    lines = Path("/etc/passwd").read_text(errors="replace").splitlines()
    users = [int(line.split(":")[2]) for line in lines if line.count(":") == 6]
    return min((user for user in users if 1000 <= user < 60_000), default=1000)


def start(head: Head, blob: bytes) -> Answer:
    """Start a command under a keeper, and attend to it. A second time only attends."""
    place = folder() / head["id"]
    try:
        place.mkdir()
    except FileExistsError:
        return attend({**head, "op": "attend"}, b"")
    door = socket.socket(socket.AF_UNIX)
    door.bind(str(place / "door"))
    door.listen(64)
    first = os.fork()
    if first == 0:
        try:
            os.setsid()
            if os.fork() == 0:
                _alone(door)
                Keeper(head, blob, door).run()
                shutil.rmtree(place, ignore_errors=True)
        finally:
            os._exit(0)
    os.waitpid(first, 0)
    door.close()
    return attend({**head, "op": "attend"}, b"")


def _alone(door: socket.socket) -> None:
    """Let go of the call that made us: it would wait for its pipes to close."""
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    os.closerange(3, door.fileno())
    os.closerange(door.fileno() + 1, 1024)


def attend(head: Head, blob: bytes) -> Answer:
    """Ask a command's keeper something."""
    place = folder() / head["id"]
    patience = time.monotonic() + BORN_WITHIN_S
    while True:
        if Path(place, "never").exists():
            return {"end": {**CANCELLED, "totals": [0, 0], "sizes": [0, 0]}}, b""
        peer = socket.socket(socket.AF_UNIX)
        try:
            peer.connect(str(place / "door"))
            peer.settimeout(head.get("wait", 0.0) + 30.0)
            send(peer, pack({name: head[name] for name in ASKED if name in head}, blob))
            return unpack(received(peer))
        except (FileNotFoundError, ConnectionError) as error:
            peer.close()
            if isinstance(error, ConnectionError):
                patience = min(patience, time.monotonic() + DEAD_WITHIN_S)
            if not place.is_dir() or time.monotonic() > patience:
                raise RefusedError("gone", "this command is not known here any more") from None
            time.sleep(0.01)


ASKED = ("op", "heard", "wait", "at", "eof")


def kill(head: Head, blob: bytes) -> Answer:
    """End a command with all it started, or keep it from ever starting."""
    place = folder() / head["id"]
    with contextlib.suppress(FileExistsError):
        place.mkdir()
        (place / "never").touch()
    try:
        return attend(head, blob)
    except RefusedError:
        return {}, b""


def forget(head: Head, blob: bytes) -> Answer:
    """Let keepers of commands that are done with go."""
    for name in head["ids"]:
        with contextlib.suppress(RefusedError):
            attend({"op": "forget", "id": name}, b"")
    return {}, b""


CALLS = {
    "prepare": prepare, "start": start, "attend": attend, "piece": attend, "feed": attend,
    "kill": kill, "forget": forget, **dict.fromkeys(VERBS, file_verb),
}  # fmt: skip


def main() -> None:
    """Answer one call."""
    request = sys.argv[1]
    if request.startswith("@"):
        path = Path(request[1:])
        request = path.read_text()
        path.unlink()
    head, blob = unpack(request.encode())
    try:
        if head.get("forget"):
            forget({"ids": head["forget"]}, b"")
        answer = CALLS[head["op"]](head, blob)
    except RefusedError as error:
        answer = {"refused": error.args[0], "said": error.args[1]}, b""
    except OSError as error:
        told = refusal(error)
        answer = {"refused": told.args[0], "said": told.args[1]}, b""
    sys.stdout.write(f"\nmanta:{head['nonce']}:{pack(*answer).decode()}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
