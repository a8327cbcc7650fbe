"""A node in a network of its own, whose cable can be pulled. Needs root, as `ip netns` does."""

import os
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager

ABLE = os.geteuid() == 0 and shutil.which("ip") is not None
WHY = "needs root and the `ip` command (network namespaces)"


class Cable:
    """Between this machine (`near`) and a network namespace (`far`)."""

    def __init__(self, number: int) -> None:
        self.namespace = f"manta-{os.getpid()}"
        self._here, self._there = f"mnh{number % 10_000}", f"mnt{number % 10_000}"
        self.near, self.far = f"10.213.{number % 250}.1", f"10.213.{number % 250}.2"
        self.enter = ("ip", "netns", "exec", self.namespace)
        """What a command begins with that is to run at the far end."""

    def lay(self) -> None:
        ends = ("type", "veth", "peer", "name", self._there, "netns", self.namespace)
        _ip("netns", "add", self.namespace)
        _ip("link", "add", self._here, *ends)
        _ip("addr", "add", f"{self.near}/24", "dev", self._here)
        _ip("link", "set", self._here, "up")
        inside = ("-n", self.namespace)
        _ip(*inside, "addr", "add", f"{self.far}/24", "dev", self._there)
        _ip(*inside, "link", "set", self._there, "up")
        _ip(*inside, "link", "set", "lo", "up")

    def pull(self) -> None:
        """Nothing passes any more; neither end is told."""
        _ip("-n", self.namespace, "link", "set", self._there, "down")

    def remove(self) -> None:
        _ip("netns", "delete", self.namespace)


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"


@contextmanager
def cable() -> Generator[Cable]:
    """A cable that is laid, and gone afterwards."""
    laid = Cable(os.getpid())
    laid.lay()
    try:
        yield laid
    finally:
        laid.remove()
