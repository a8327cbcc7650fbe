"""What all routes of the application stand on."""

from collections import OrderedDict
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from actors.run_repository import RunRepository
from cluster.desk.known import knowledge, questions
from cluster.follow import delivered
from cluster.intake import repository_path
from cluster.settings import Settings
from cluster.web.access import Access
from cluster.web.store import SharedStore
from cluster.web.views import Views
from orchestration.errors import GitError, NotFoundError
from orchestration.ids import RunId, parse_run_id
from orchestration.messages import TreeRef
from orchestration.workflow.journal import Journal

DIFF_LIMIT = 8_000_000
"""Bytes of a diff that people may leaf through."""
DRAFTS = 200
"""Comments kept of one person on one run, and people remembered."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A comment on a line, not sent yet."""

    path: str
    line: int
    side: str
    """old or new."""
    text: str

    def sentence(self) -> str:
        """As it reaches the agent."""
        before = " (as it was before)" if self.side == "old" else ""
        return f"{self.path}:{self.line}{before}: {self.text}"


@dataclass(slots=True)
class Hall:
    """Settings, store and door of one server."""

    settings: Settings
    store: SharedStore
    access: Access
    person: str = "somebody"
    """Whose decisions are recorded where nobody says another name."""
    views: Views = field(default_factory=Views)
    drafts: OrderedDict[tuple[str, RunId], tuple[Draft, ...]] = field(
        default_factory=OrderedDict[tuple[str, RunId], tuple[Draft, ...]]
    )

    def keep_drafts(self, session: str, run_id: RunId, drafts: tuple[Draft, ...]) -> None:
        """Comments of one session on one run, in place of those it had."""
        self.drafts[session, run_id] = drafts[:DRAFTS]
        self.drafts.move_to_end((session, run_id))
        while len(self.drafts) > DRAFTS:
            self.drafts.popitem(last=False)


def hall_of(request: Request) -> Hall:
    """The hall that this request came into."""
    return request.state.hall


async def _journal(request: Request) -> AsyncGenerator[Journal]:
    async with hall_of(request).store.use() as journal:
        yield journal


def _run_id(run_id: str) -> RunId:
    return parse_run_id(run_id)


AHall = Annotated[Hall, Depends(hall_of)]
AJournal = Annotated[Journal, Depends(_journal)]
ARun = Annotated[RunId, Depends(_run_id)]


async def change(hall: Hall, journal: Journal, run_id: RunId) -> str:
    """The run's change so far, as a unified diff: delivered, asked about, or on its way.

    Raises:
        NotFoundError: nothing is changed yet.
    """
    request, tree = await _trees(journal, run_id)
    if tree is not None and tree.commit != request.commit:
        try:
            path = repository_path(hall.settings, run_id)
            repository = await RunRepository.open(path, journal)
            return await repository.diff(request, tree, max_bytes=DIFF_LIMIT)
        except (GitError, NotFoundError):
            pass  # its objects are gone; the question may still show the change
    for question in await questions(journal, run_id):
        if question.request.gate == "delivery":
            return question.request.body
    raise NotFoundError(f"run {run_id} has changed nothing yet", "look again when a task is merged")


async def _trees(journal: Journal, run_id: RunId) -> tuple[TreeRef, TreeRef | None]:
    known = await knowledge(journal, run_id)
    delivery = await delivered(journal, run_id)
    if delivery is not None and delivery.branch:
        return known.request.base, delivery.tree
    return known.request.base, known.dossier.tree if known.dossier else None
