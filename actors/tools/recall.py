"""What left the context, and what memory knows, on demand."""

from typing import Protocol

from pydantic import Field

from actors.tools.archive import Archive
from actors.tools.files import page
from actors.tools.text import neutralise
from actors.tools.tool import ToolError, ToolResult
from actors.tools.toolset import Arguments, tool
from orchestration.messages import Recollection

_PAGE_LINES = 200
_PAGE_CHARACTERS = 7_000
"""Less than what is shown of any answer, so that nothing is missing in the middle."""


class Recaller(Protocol):
    """Searches memory of this run's repository. Never fails: what is slow or broken is empty."""

    async def recall(self, query: str, *, limit: int) -> list[Recollection]: ...


class _Recall(Arguments):
    call: str = Field(default="", description="An earlier answer, such as `12.1`, or turn: `12`.")
    first_line: int = Field(default=1, ge=1)
    containing: str = Field(default="", description="Only lines with this text, with numbers.")
    query: str = Field(default="", description="Words to search project memory for.")


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
        if self._recaller is None:
            raise ToolError("There is no project memory here; use `grep`.")
        found = await self._recaller.recall(query, limit=6)
        parts = [f"{each.source} at {each.commit[:12]}:\n{each.text}" for each in found]
        return ToolResult(neutralise("\n\n".join(parts)) or "Memory knows nothing about that.")
