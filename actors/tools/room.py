"""The one folder of Manta that sandboxes see. Levels on this machine show it, read-only, as a
toolchain; into those that see nothing of this machine it is carried when first needed."""

import hashlib
import io
import os
import tarfile
from functools import cache
from pathlib import Path

from actors.sandbox.protocol import Sandbox

ROOM = Path(__file__).parents[1] / "lsp"
"""It needs nothing but Python 3.11."""
SHOWN = str(ROOM.parents[1])
"""What has to be on Python's path where the folder is shown."""
_INSIDE = "actors/lsp"
_LAST = "__main__.py"
"""Unpacked last: where it is, the rest is too."""
_FIND = f'for room; do test -r "$room/{_INSIDE}/{_LAST}" && exec printf %s "$room"; done; exit 1'
_UNPACK = 'mkdir -p -- "$1" && exec tar -x --no-same-owner -f - -C "$1"'
_FIND_S, _CARRY_S = 20.0, 120.0


async def room_in(sandbox: Sandbox) -> str:
    """What has to be on Python's path inside to find the folder; empty if it cannot be brought.

    Commands inside may change a folder that was carried, as all else there: what its programs say
    is the sandbox's word.
    """
    places = (SHOWN, carried())
    found = await sandbox.exec([*_script(_FIND), *places], timeout_s=_FIND_S)
    for place in places:
        if found.ok and found.stdout == os.fsencode(place):
            return place
    command = [*_script(_UNPACK), carried()]
    brought = await sandbox.exec(command, timeout_s=_CARRY_S, stdin=_archive())
    return carried() if brought.ok else ""


@cache
def carried() -> str:
    """Where the folder is carried to: outside of the workspace, another place for other text."""
    return f"/tmp/.manta-room-{hashlib.sha256(_archive()).hexdigest()[:16]}"  # noqa: S108 - the sandbox's own


@cache
def _archive() -> bytes:
    """The folder as a tar: the same bytes for the same text."""
    packed = io.BytesIO()
    files = [path for path in ROOM.iterdir() if path.suffix in (".py", ".json")]
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path in sorted(files, key=lambda path: (path.name == _LAST, path.name)):
            data = path.read_bytes()
            member = tarfile.TarInfo(f"{_INSIDE}/{path.name}")
            member.size, member.mode = len(data), 0o644
            tar.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def _script(text: str) -> list[str]:
    return ["sh", "-c", text, "room"]
