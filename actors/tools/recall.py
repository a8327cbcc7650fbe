"""What left the context, and what memory knows, on demand."""

from collections.abc import Sequence
from typing import Protocol

from pydantic import Field

from actors.tools.archive import Archive
from actors.tools.earlier import earlier
from actors.tools.files import page
from actors.tools.quoting import fenced, quoted
from actors.tools.text import cap
from actors.tools.tool import ToolError, ToolResult
from actors.tools.toolset import Arguments, tool
from orchestration.messages import Recollection

_PAGE_LINES = 200
_PAGE_CHARACTERS = 7_000
"""Less than what is shown of any answer, so that nothing is missing in the middle."""
_PIECES = 5
_PIECE_CHARACTERS = 900
"""Of one piece of memory: together they are less than what is shown of any answer."""


class Recalled(Protocol):
    """What was found, best first, and why it is less than it could be, if it is."""

    @property
    def found(self) -> Sequence[Recollection]: ...
    @property
    def note(self) -> str: ...


class Recaller(Protocol):
    """Searches memory of this run's repository. Never fails: what is slow or broken is empty."""

    async def recall(self, query: str, *, limit: int) -> Recalled: ...


class _Recall(Arguments):
    call: str = Field(default="", description="Such as `12.1`, or a whole turn: `12`.")
    first_line: int = Field(default=1, ge=1)
    containing: str = ""
    query: str = ""


class RecallTools:
    """`recall`."""

    def __init__(self, archive: Archive, recaller: Recaller | None = None) -> None:
        self._archive = archive
        self._recaller = recaller

    @tool
    async def recall(self, arguments: _Recall) -> ToolResult:
        if bool(arguments.call) == bool(arguments.query):
            raise ToolError("Give either `call` (an earlier answer) or `query` (a search).")
        if arguments.query:
            return await self._search(arguments.query)
        whole = await self._archive.text(arguments.call.strip())
        if whole is None:
            raise ToolError(f"Nothing is called {arguments.call[:40]!r}.")
        lines = list(enumerate(whole.splitlines(), 1))[arguments.first_line - 1 :]
        wanted = [f"{n}\t{line}" for n, line in lines if arguments.containing in line]
        shown = page(wanted[:_PAGE_LINES], _PAGE_CHARACTERS)
        text = "\n".join(shown) or "(no such line)"
        if more := wanted[len(shown) :]:
            next_line = more[0].partition("\t")[0]
            text += f"\n[{len(more)} more lines; go on with first_line={next_line}]"
        return ToolResult(text)

    async def _search(self, query: str) -> ToolResult:
        """What memory knows and what this conversation saw: both are data, and say whose."""
        parts: list[str] = []
        if self._recaller is not None:
            recalled = await self._recaller.recall(query, limit=_PIECES)
            parts += [quoted([_short(each)]) for each in recalled.found]
            parts += [f"[{recalled.note}]"] if recalled.note else []
        seen = await earlier(self._archive, query)
        parts += [f"[seen before: {place}]\n{fenced(text)}" for place, text in seen]
        if self._recaller is None and not parts:
            raise ToolError("There is no project memory here; use `grep`.")
        return ToolResult("\n\n".join(parts) or "Memory knows nothing about that.")


def _short(piece: Recollection) -> Recollection:
    return piece.model_copy(update={"text": cap(piece.text, _PIECE_CHARACTERS, "`read` the file")})
