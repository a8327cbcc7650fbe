"""Comments on lines that were not sent yet: a browser's own, on disk until it sends them."""

import asyncio
import json
import time
from dataclasses import astuple, dataclass
from pathlib import Path
from uuid import uuid4

from orchestration.ids import RunId

MOST = 200
"""Comments of one browser on one run, and runs with comments of one browser."""
KEPT_S = 60 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Draft:
    """A comment on a line."""

    path: str
    line: int
    side: str
    """old or new."""
    text: str

    def sentence(self) -> str:
        """As it reaches the agent."""
        before = " (as it was before)" if self.side == "old" else ""
        return f"{self.path}:{self.line}{before}: {self.text}"


Kept = dict[str, list[Draft]]
"""By run."""


class Drafts:
    """A file for each browser: they outlive its session, and this process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._turn = asyncio.Lock()

    async def of(self, browser: str, run_id: RunId) -> tuple[Draft, ...]:
        """What this browser has not sent yet, in the order it was written."""
        return tuple((await asyncio.to_thread(self._read, browser)).get(run_id, ()))

    async def add(self, browser: str, run_id: RunId, draft: Draft) -> None:
        """Keep one more; beyond the most that is kept, it is the oldest that goes."""
        async with self._turn:
            kept = await asyncio.to_thread(self._read, browser)
            kept[run_id] = [*kept.pop(run_id, []), draft][-MOST:]
            await asyncio.to_thread(self._write, browser, kept)

    async def drop(self, browser: str, run_id: RunId, number: int | None = None) -> None:
        """Forget one of them, by its place, or all."""
        async with self._turn:
            kept = await asyncio.to_thread(self._read, browser)
            mine = kept.pop(run_id, [])
            left = [] if number is None else [one for n, one in enumerate(mine) if n != number]
            if left:
                kept[run_id] = left
            if mine:
                await asyncio.to_thread(self._write, browser, kept)

    def _read(self, browser: str) -> Kept:
        try:
            found = json.loads(self._file(browser).read_text("utf-8"))
            return {run: [Draft(*one) for one in drafts] for run, drafts in found.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}  # torn or of another version: nothing here is worth a page that fails

    def _write(self, browser: str, kept: Kept) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        told = {run: list(map(astuple, drafts)) for run, drafts in list(kept.items())[-MOST:]}
        new = self._folder / f"{uuid4().hex}.new"
        new.write_text(json.dumps(told), "utf-8")
        new.replace(self._file(browser))
        self._tidy()

    def _tidy(self) -> None:
        """Browsers that did not come back have nothing to send any more."""
        for file in self._folder.iterdir():
            if file.stat().st_mtime < time.time() - KEPT_S:
                file.unlink(missing_ok=True)

    def _file(self, browser: str) -> Path:
        """Browsers' names are ours: hexadecimal digits, or the word for programs."""
        assert browser.isalnum(), "signed by us"
        return self._folder / f"{browser}.json"
