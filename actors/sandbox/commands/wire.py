"""What may lie between our pipes and a command."""

from typing import Literal, Protocol

Stream = Literal["stdout", "stderr"]


class Wire(Protocol):
    """The way to a command that somebody else starts for us."""

    @property
    def begun(self) -> bool:
        """The command runs, or ran: its time counts from here."""
        ...

    def outgoing(self, data: bytes) -> bytes:
        """What to write so that these bytes reach the command's stdin."""
        ...

    def end(self) -> bytes:
        """What to write at the end of the input; the pipe itself stays open."""
        ...

    def incoming(self, stream: Stream, data: bytes) -> bytes:
        """What of the bytes that came is the command's own."""
        ...
