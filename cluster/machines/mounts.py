"""Which file system a path lies on."""

import re
from pathlib import Path

_ESCAPE = re.compile(r"\\([0-7]{3})")


def file_system_of(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """The type, such as `ext4` or `nfs4`, of the mount that `path` lies below; or `unknown`."""
    place, best, kind = path.resolve(), -1, "unknown"
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return kind
    for line in lines:
        left, _, right = line.partition(" - ")
        point = Path(_ESCAPE.sub(lambda octal: chr(int(octal[1], 8)), left.split()[4]))
        depth = len(point.parts)
        if depth >= best and place.is_relative_to(point):
            best, kind = depth, right.split()[0]
    return kind
