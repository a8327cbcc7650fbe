"""What differs between levels that keep a workspace in a directory of this machine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from actors.sandbox.commands.process import Caps, Child
from actors.sandbox.network.relay import Streams
from actors.sandbox.protocol import Capabilities, Check, Level, OnOutput, SandboxProvider
from actors.sandbox.workspace.store import Record


@dataclass(frozen=True, slots=True)
class Command:
    """One command to start: argv, never a shell string of ours."""

    argv: Sequence[str]
    caps: Caps
    cwd: str = "."
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    on_output: OnOutput | None = None


class Enclosure(Protocol):
    """The walls around one sandbox, in one process of ours."""

    def warm(self) -> None:
        """Begin to build the walls, so that the first command need not wait for them."""
        ...

    async def start(self, command: Command) -> Child:
        """Start it behind the walls.

        Raises:
            SandboxUnavailableError: the walls cannot be built.
            OSError: the command line is too long, or this machine is out of something.
        """
        ...

    async def dial(self, port: int) -> Streams:
        """Connect to a port of the sandbox's loopback.

        Raises:
            SandboxUnavailableError: nobody listens there.
            UnsupportedError: the level has no network of its own.
        """
        ...

    async def copy_to(self, place: Path) -> None:
        """Copy the workspace, which hostile code may be changing, into an empty directory."""
        ...

    async def freeze(self) -> None:
        """Nothing inside runs on return.

        Raises:
            UnsupportedError: the level cannot pause.
            SandboxUnavailableError: it did not work this time.
        """
        ...

    async def thaw(self) -> None:
        """Undo `freeze`, whoever did it."""
        ...

    async def destroy(self) -> None:
        """End whatever still runs in this sandbox, whoever started it, and give back its means."""
        ...

    def close(self) -> None:
        """Let go of what this process holds; the sandbox itself stays."""
        ...


class Walls(Protocol):
    """One level: builds enclosures."""

    level: Level
    capabilities: Capabilities
    separate_owner: bool
    """Whether every sandbox has a uid of its own."""

    def enclosure(self, record: Record) -> Enclosure: ...

    async def doctor(self, provider: SandboxProvider) -> list[Check]: ...
