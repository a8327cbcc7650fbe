"""Messages between us and the program that we run inside a remote sandbox, and who it is there.

A message is a JSON head, a newline and raw bytes, deflated and in base64: any shell, terminal or
JSON API carries it unharmed. This module and its siblings `guest_*` are shipped as text and run
by the image's own `python3`: standard library and Python 3.9 only, and only each other's imports.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import errno
import json
import os
import pwd
import stat
import zlib
from pathlib import Path
from typing import Any

ROOT = "/workspace"
PIECE = 4_000_000
"""Bytes in one answer."""
NO_NEW_PRIVILEGES = 38
Head = dict[str, Any]  # Any: a JSON object
Answer = tuple[Head, bytes]


class RefusedError(Exception):
    """A call that cannot be done: one of the words below, and what to say.

    missing, outside, plain, space, unprepared, gone, broken
    """


def refusal(error: OSError) -> RefusedError:
    """What the kernel said, as an answer."""
    words = {
        errno.ENOENT: "missing",
        errno.ENOTDIR: "missing",
        errno.ELOOP: "outside",
        errno.EXDEV: "outside",
        errno.ENOSPC: "space",
        errno.EDQUOT: "space",
        errno.EFBIG: "space",
    }
    return RefusedError(words.get(error.errno or 0, "plain"), os.strerror(error.errno or 0))


def pack(head: Head, blob: bytes = b"") -> bytes:
    """One message, as ASCII without blanks."""
    return base64.b64encode(zlib.compress(json.dumps(head).encode() + b"\n" + blob, 1))


def unpack(text: bytes, limit: int = 1 << 30) -> Answer:
    """The head and the bytes of a message.

    Raises:
        ValueError: it is none, or larger than `limit` bytes.
    """
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(base64.b64decode(text, validate=True), limit)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    head, newline, blob = data.partition(b"\n")
    if not inflater.eof or not newline:
        raise ValueError("the message is torn, or too large")
    return json.loads(head), blob


def owner() -> int:
    """The uid of commands and file verbs: the workspace's owner where we are root."""
    return Path(ROOT).stat().st_uid if os.geteuid() == 0 else os.geteuid()


def home_of(uid: int) -> str:
    """Its home directory, or /tmp where it has none."""
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(uid).pw_dir
    return "/tmp"  # noqa: S108 - the sandbox's own


def become(uid: int) -> None:
    """Give up root for good, and every way to gain anything."""
    ctypes.CDLL(None).prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    if os.geteuid() == 0 != uid:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)


def folder() -> Path:
    """A directory that is ours alone: what was asked for, and the keepers' sockets."""
    place = Path(f"/tmp/.manta-{os.geteuid()}")  # noqa: S108 - its ownership is checked
    with contextlib.suppress(FileExistsError):
        place.mkdir(0o700)
    status = place.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise RefusedError("broken", f"{place} belongs to somebody else")
    return place


def spec() -> Head:
    """What was asked for when this sandbox was made: `env` and `limits`."""
    try:
        return json.loads((folder() / "spec.json").read_text())
    except (OSError, ValueError):
        raise RefusedError("unprepared", "it was never prepared, or was reset") from None
