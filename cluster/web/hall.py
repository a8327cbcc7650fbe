"""What all routes of the application stand on."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from cluster.desk.near import NearDesk
from cluster.desk.store import SharedStore
from cluster.desk.views import Views
from cluster.hooks import Bell
from cluster.settings import Settings
from cluster.steward import Steward
from cluster.web.access import Access
from cluster.web.drafts import Drafts
from cluster.web.reading import Changes
from orchestration.ids import RunId, parse_run_id
from orchestration.workflow.journal import Journal

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Hall:
    """Desk and door of one server."""

    desk: NearDesk
    access: Access
    person: str = "somebody"
    """Whose decisions are recorded where nobody says another name."""
    drives: bool = True
    """Whether it sees to it that runs go on, or only shows them."""
    steward: Steward = field(init=False)
    drafts: Drafts = field(init=False)
    changes: Changes = field(default_factory=Changes)

    def __post_init__(self) -> None:
        drive = self.desk.resume if self.drives else None
        self.steward = Steward(self.store.use, drive)
        self.drafts = Drafts(self.settings.state_dir / "web-drafts")

    @property
    def settings(self) -> Settings:
        return self.desk.settings

    @property
    def store(self) -> SharedStore:
        return self.desk.store

    @property
    def views(self) -> Views:
        return self.desk.views

    @asynccontextmanager
    async def open(self) -> AsyncGenerator["Hall"]:
        """Keep time and watch the cluster for the length of the block; then close the store."""
        async with asyncio.TaskGroup() as group:
            bell = Bell(self.desk, self.settings.hooks, _log.warning)
            kept = (self.steward.keep(), self.store.watch(), bell.keep())
            tasks = [group.create_task(work) for work in kept]
            try:
                yield self
            finally:
                for task in tasks:
                    task.cancel()
        await self.store.close()


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
