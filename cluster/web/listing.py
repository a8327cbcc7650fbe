"""The list of runs, in heaps that people look for."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestration.workflow.journal import RunInfo, RunStatus

MOST = 5_000
"""Runs looked through, the newest ones."""
HEAPS: dict[str, frozenset[RunStatus]] = {
    "all": frozenset(RunStatus),
    "waiting": frozenset({RunStatus.SUSPENDED}),
    "running": frozenset({RunStatus.RUNNING, RunStatus.PENDING}),
    "done": frozenset({RunStatus.DONE}),
    "failed": frozenset({RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.DEAD_LETTER}),
}


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of a heap."""

    heap: str
    words: str
    number: int
    runs: tuple[RunInfo, ...]
    found: int
    """In this heap, on all pages."""
    counts: dict[str, int]
    size: int

    @property
    def pages(self) -> int:
        return max(1, -(-self.found // self.size))


def listing(runs: Sequence[RunInfo], heap: str, words: str, number: int, size: int) -> Listing:
    """Those runs of a heap that have all the words in their title or id, a page of them."""
    wanted = words.lower().split()
    fitting = [run for run in runs if _has(run, wanted)] if wanted else runs
    counts = {name: sum(r.status in heaped for r in fitting) for name, heaped in HEAPS.items()}
    mine = [run for run in fitting if run.status in HEAPS[heap]]
    first = (number - 1) * size
    return Listing(heap, words, number, tuple(mine[first : first + size]), len(mine), counts, size)


def _has(run: RunInfo, words: list[str]) -> bool:
    text = f"{run.title} {run.run_id}".lower()
    return all(word in text for word in words)
