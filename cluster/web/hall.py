"""What all routes of the application stand on."""

from collections import OrderedDict
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from cluster.desk.near import NearDesk
from cluster.desk.store import SharedStore
from cluster.desk.views import Views
from cluster.settings import Settings
from cluster.web.access import Access
from orchestration.ids import RunId, parse_run_id
from orchestration.workflow.journal import Journal

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
    """Desk and door of one server."""

    desk: NearDesk
    access: Access
    person: str = "somebody"
    """Whose decisions are recorded where nobody says another name."""
    drafts: OrderedDict[tuple[str, RunId], tuple[Draft, ...]] = field(
        default_factory=OrderedDict[tuple[str, RunId], tuple[Draft, ...]]
    )

    @property
    def settings(self) -> Settings:
        return self.desk.settings

    @property
    def store(self) -> SharedStore:
        return self.desk.store

    @property
    def views(self) -> Views:
        return self.desk.views

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


def _desk(request: Request) -> NearDesk:
    return hall_of(request).desk


def _run_id(run_id: str) -> RunId:
    return parse_run_id(run_id)


AHall = Annotated[Hall, Depends(hall_of)]
ADesk = Annotated[NearDesk, Depends(_desk)]
AJournal = Annotated[Journal, Depends(_journal)]
ARun = Annotated[RunId, Depends(_run_id)]
