"""The file verbs inside a remote sandbox, run as the workspace's owner. See `wire`.

The walls are the vendor's. That a path leads out of the workspace is told here so that an agent
meets the same rule on every level, not to keep anything from code that runs inside anyway.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Union

from actors.sandbox.guest.wire import ROOT, RefusedError, become, owner, spec

if TYPE_CHECKING:
    from actors.sandbox.guest.wire import Answer, Head

KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink"}
Entry = list[Union[str, int]]  # noqa: UP007 - evaluated by Python 3.9


def located(path: str, *, follow: bool) -> Path:
    """The real place of a path; without `follow` its last name may be a link."""
    full = Path(ROOT, path)
    try:
        plain = not follow and path.rstrip("/").rpartition("/")[2] not in ("", ".", "..")
        real = full.parent.resolve() / full.name if plain else full.resolve()
    except RuntimeError:
        raise RefusedError("outside", "a circle of links") from None
    if not real.is_relative_to(ROOT):
        raise RefusedError("outside", path)
    return real


def described(path: str, status: os.stat_result) -> Entry:
    """What `FileStat` holds, in its order."""
    kind = KINDS.get(stat.S_IFMT(status.st_mode), "other")
    return [path, kind, status.st_size, stat.S_IMODE(status.st_mode), status.st_mtime_ns]


def read(head: Head, blob: bytes) -> Answer:
    """A part of a plain file, and how large the whole is."""
    del blob
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW
    fd = os.open(located(head["path"], follow=True), flags)
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise RefusedError("plain", "not a plain file")
    rest = max(0, min(head["limit"], status.st_size - head["offset"]))
    return {"size": status.st_size}, os.pread(fd, rest, head["offset"])


def write(head: Head, blob: bytes) -> Answer:
    """Replace a file by a whole one."""
    place = located(head["path"], follow=True)
    if not head["path"].rstrip("/").rpartition("/")[2].strip(".") or (
        place.exists() and not place.is_file()
    ):
        raise RefusedError("plain", "not a plain file")
    place.parent.mkdir(0o755, parents=True, exist_ok=True)
    temporary = place.with_name(f".manta-{secrets.token_hex(6)}")
    try:
        with temporary.open("xb") as file:
            file.write(blob)
            os.fchmod(file.fileno(), head["mode"] & 0o777)
        temporary.rename(place)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    return {}, b""


def look(head: Head, blob: bytes) -> Answer:
    """lstat of one path."""
    del blob
    return {"found": described(head["path"], located(head["path"], follow=False).lstat())}, b""


def entries(head: Head, blob: bytes) -> Answer:
    """What lies below a directory, links not followed, as deep as asked."""
    del blob
    top = located(head["path"], follow=True)
    os.scandir(top).close()
    start = head["path"].rstrip("/")
    found: list[Entry] = []
    waiting = [(top, "" if start in ("", ".") else f"{start}/", head["depth"])]
    while waiting and len(found) < head["limit"]:
        place, prefix, depth = waiting.pop()
        rows = _rows(place, prefix)
        found += rows
        if depth > 1:
            below = [Path(str(row[0])) for row in rows if row[1] == "directory"]
            waiting += [(place / path.name, f"{path}/", depth - 1) for path in below]
    return {"found": sorted(found[: head["limit"]])}, b""


def _rows(place: Path, prefix: str) -> list[Entry]:
    """A directory's entries; none where it cannot be read."""
    rows: list[Entry] = []
    with contextlib.suppress(OSError):
        for name in sorted(each.name for each in os.scandir(place)):
            with contextlib.suppress(FileNotFoundError):
                rows.append(described(prefix + name, (place / name).lstat()))
    return rows


def remove(head: Head, blob: bytes) -> Answer:
    """A file, or a directory with all in it; fine if there is none."""
    del blob
    place = located(head["path"], follow=False)
    if place == Path(ROOT):
        raise RefusedError("plain", "the workspace itself stays")
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        if not stat.S_ISDIR(place.lstat().st_mode):
            place.unlink()
            return {}, b""
        try:
            shutil.rmtree(place)
        except (OSError, RecursionError):
            for tool in (["chmod", "-R", "u+rwX"], ["rm", "-rf"]):
                subprocess.run([*tool, "--", str(place)], check=False, capture_output=True)
    return {}, b""


VERBS = {"read": read, "write": write, "look": look, "entries": entries, "remove": remove}


def file_verb(head: Head, blob: bytes) -> Answer:
    """Run one of them as the workspace's owner."""
    largest = spec()["limits"]["file"]
    become(owner())
    if len(blob) > largest:
        raise RefusedError("space", f"the largest file here is {largest} bytes")
    return VERBS[head["op"]](head, blob)
