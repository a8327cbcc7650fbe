"""How runs stand, folded from their events; what was folded once is not read again."""

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from cluster.runs.view import RunView, fold
from orchestration.events import Event, event_of
from orchestration.ids import RunId
from orchestration.workflow.journal import Journal

RECENT = 60
"""Events shown."""
KEPT = 500
"""Runs remembered."""
PAGE = 2_000


@dataclass(slots=True)
class Watched:
    """A run's view, its last events, and how far its records were read."""

    view: RunView = field(default_factory=RunView)
    recent: deque[Event] = field(default_factory=lambda: deque[Event](maxlen=RECENT))
    seq: int = 0


class Views:
    """Views of the runs looked at lately."""

    def __init__(self) -> None:
        self._known: OrderedDict[RunId, Watched] = OrderedDict()

    async def of(self, journal: Journal, run_id: RunId) -> Watched:
        """How the run stands now."""
        kept = self._known.get(run_id) or Watched()
        seen = Watched(kept.view, kept.recent.copy(), kept.seq)
        while records := await journal.read(run_id, after=seen.seq, limit=PAGE):
            seen.seq = records[-1].seq
            for event in filter(None, map(event_of, records)):
                seen.view = fold(seen.view, event)
                seen.recent.append(event)
        self._known[run_id] = seen
        self._known.move_to_end(run_id)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return seen
