"""A disk that can be full."""

import os
import subprocess
from pathlib import Path


class SmallDisk:
    """A file system of a few megabytes, which can be filled and made larger."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.mkdir(parents=True, exist_ok=True)
        self._mount("-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place))

    def _mount(self, *argv: str) -> None:
        subprocess.run(["mount", *argv], check=True)

    def fill(self, leave: int = 0) -> None:
        status = os.statvfs(self.place)
        left = status.f_bavail * status.f_frsize - leave
        (self.place / "ballast").write_bytes(bytes(left))

    def enlarge(self) -> None:
        self._mount("-o", "remount,size=256m", str(self.place))

    def empty(self) -> None:
        (self.place / "ballast").unlink()

    def close(self) -> None:
        subprocess.run(["umount", "-l", str(self.place)], check=True)
