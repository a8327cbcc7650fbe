"""Changes that were read lately: a large one is leafed through without reading it again."""

from collections import OrderedDict

from cluster.desk.changing import change
from cluster.desk.diffs import FileDiff, read_diff
from cluster.settings import Settings
from orchestration.ids import RunId
from orchestration.workflow.journal import Journal

KEPT_ROWS = 200_000
"""Together; about 300 bytes each. The one in hand is kept whatever its size."""


class Changes:
    """Runs' changes, each as of its run's last record."""

    def __init__(self) -> None:
        self._known: OrderedDict[RunId, tuple[int, list[FileDiff]]] = OrderedDict()

    async def of(self, settings: Settings, journal: Journal, run_id: RunId) -> list[FileDiff]:
        """The run's change so far.

        Raises:
            NotFoundError: no such run, or nothing is changed yet.
        """
        seq = (await journal.info(run_id)).seq
        known = self._known.get(run_id)
        if known is None or known[0] != seq:
            known = seq, read_diff(await change(settings, journal, run_id))
            self._known[run_id] = known
        self._known.move_to_end(run_id)
        while len(self._known) > 1 and self._rows() > KEPT_ROWS:
            self._known.popitem(last=False)
        return known[1]

    def _rows(self) -> int:
        return sum(len(file.rows) for _, files in self._known.values() for file in files)
