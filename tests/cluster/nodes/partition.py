"""Nodes in networks of their own, whose cables can be pulled. Needs root, as `ip netns` does."""

import os
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

ABLE = os.geteuid() == 0 and shutil.which("ip") is not None
WHY = "needs root and the `ip` command (network namespaces)"


@dataclass(frozen=True)
class Cable:
    """From the switch to a network namespace, which has nothing else."""

    namespace: str
    address: str
    """Of the namespace's end."""
    plug: str
    """Name of the end at the switch."""

    @property
    def enter(self) -> tuple[str, ...]:
        """What a command begins with that is to run at the far end."""
        return ("ip", "netns", "exec", self.namespace)

    def pull(self) -> None:
        """Nothing passes any more; who is connected is not told."""
        _ip("link", "set", self.plug, "down")


class Switch:
    """A network of this machine, which has an address in it, and of namespaces."""

    def __init__(self) -> None:
        self._number = os.getpid() % 10_000
        self._name = f"mns{self._number}"
        self._subnet = f"10.213.{os.getpid() % 250}"
        self.address = f"{self._subnet}.1"
        self._cables: list[Cable] = []

    def lay(self) -> Cable:
        """One more namespace with a cable to it."""
        number = len(self._cables) + 2
        plug, socket = f"mnp{self._number}n{number}", f"mnq{self._number}n{number}"
        cable = Cable(f"manta-{os.getpid()}-{number}", f"{self._subnet}.{number}", plug)
        _ip("netns", "add", cable.namespace)
        self._cables.append(cable)
        _ip("link", "add", plug, "type", "veth", "peer", "name", socket, "netns", cable.namespace)
        _ip("link", "set", plug, "master", self._name, "up")
        inside = ("-n", cable.namespace)
        _ip(*inside, "addr", "add", f"{cable.address}/24", "dev", socket)
        _ip(*inside, "link", "set", socket, "up")
        _ip(*inside, "link", "set", "lo", "up")
        return cable

    def open(self) -> None:
        _ip("link", "add", self._name, "type", "bridge")
        _ip("addr", "add", f"{self.address}/24", "dev", self._name)
        _ip("link", "set", self._name, "up")

    def close(self) -> None:
        for cable in self._cables:
            _ip("netns", "delete", cable.namespace)
        _ip("link", "delete", self._name)


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"


@contextmanager
def switch() -> Generator[Switch]:
    """A network that is gone afterwards, with all its cables."""
    opened = Switch()
    opened.open()
    try:
        yield opened
    finally:
        opened.close()
