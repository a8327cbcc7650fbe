"""Runs inside a stand-in's machine, as the vendors' daemons do in theirs: shell lines and uploads,
as JSON lines on stdin and stdout. Standard library only."""

import base64
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

_SAYING = threading.Lock()


def say(**fact: object) -> None:
    with _SAYING:
        sys.stdout.write(json.dumps(fact) + "\n")
        sys.stdout.flush()


def pump(number: int, name: str, stream: IO[bytes]) -> None:
    while data := os.read(stream.fileno(), 1 << 20):
        say(n=number, name=name, data=base64.b64encode(data).decode())


def run(number: int, argv: list[str]) -> None:
    try:
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/"
        )
    except OSError as error:
        say(n=number, exit=126, error=str(error))
        return
    assert child.stdout
    assert child.stderr
    say(n=number, pid=child.pid)
    other = threading.Thread(target=pump, args=(number, "stderr", child.stderr))
    other.start()
    pump(number, "stdout", child.stdout)
    other.join()
    say(n=number, exit=child.wait())


def put(number: int, path: str, data: str) -> None:
    Path(path).write_bytes(base64.b64decode(data))
    say(n=number, exit=0)


for line in sys.stdin:
    asked = json.loads(line)
    if "argv" in asked:
        threading.Thread(target=run, args=(asked["n"], asked["argv"]), daemon=True).start()
    else:
        put(asked["n"], asked["path"], asked["data"])
