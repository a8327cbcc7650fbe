"""Working memory: what the model writes down for itself, shown to it at the end of every turn.

The tool keeps nothing. The notes are the arguments of its successful calls, so they live in the
transcript and survive whatever the transcript survives.
"""

from typing import Annotated

from pydantic import Field

from actors.tools.tool import ToolResult
from actors.tools.toolset import Arguments, tool

NAME = "remember"
_Lines = tuple[Annotated[str, Field(max_length=300)], ...] | None


class Notes(Arguments):
    """Each list that is given replaces the one before; what is not given stays."""

    plan: _Lines = Field(default=None, max_length=15)
    decisions: _Lines = Field(default=None, max_length=15)
    problems: _Lines = Field(default=None, max_length=15)

    def updated(self, newer: "Notes") -> "Notes":
        """These notes with the lists that the newer ones give."""
        return Notes.model_validate({**self.model_dump(), **newer.model_dump(exclude_none=True)})

    def shown(self) -> str:
        """The notes as text; empty when there are none."""
        parts = {"Plan": self.plan, "Decisions": self.decisions, "Open problems": self.problems}
        given = [(title, lines) for title, lines in parts.items() if lines]
        return "\n".join("\n- ".join([f"{title}:", *lines]) for title, lines in given)


class NoteTools:
    """`remember`."""

    @tool
    async def remember(self, arguments: Notes) -> ToolResult:
        return ToolResult("Noted." if arguments.shown() else "Nothing was given to note.")
