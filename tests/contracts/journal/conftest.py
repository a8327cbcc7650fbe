"""Every plug of the journal, each with a clock that the test turns."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name

import pytest

from actors.journal.postgresql import PostgresJournal
from actors.journal.sqlite import SqliteJournal
from orchestration.clock import ManualClock
from orchestration.ids import RunId, StepGrant, StepKey
from orchestration.workflow.in_memory import InMemoryJournal
from orchestration.workflow.journal import Journal, Lease, NewRecord, RecordKind
from tests.actors.journal.postgres_server import Server, running_server
from tests.actors.journal.wire import Wire

RUN = RunId("the-run")
STEP = StepKey("build/write")


@dataclass(frozen=True)
class Store:
    """A journal under test, and its clock."""

    journal: Journal
    pass_time: Callable[[float], Awaitable[None]]

    async def claimed(self, owner: str = "supervisor", run_id: RunId = RUN) -> Lease:
        """A new run, driven by `owner`."""
        await create(self.journal, run_id)
        return await self.journal.claim(run_id, owner)

    async def granted(self) -> tuple[Lease, StepGrant]:
        """A new run with `STEP` started, and leave to write under it."""
        lease = await self.claimed()
        await self.journal.append(lease, [started(STEP, 1)])
        return lease, StepGrant(RUN, STEP, lease.epoch, 1)


async def create(journal: Journal, run_id: RunId = RUN, *, title: str = "a title") -> bool:
    return await journal.create_run(
        run_id, workflow="delivery", definition="d1", title=title, body='{"input": 1}'
    )


def started(step: StepKey, attempt: int) -> NewRecord:
    return NewRecord(RecordKind.STARTED, step, attempt)


def note(body: str = "{}", step: StepKey = STEP) -> NewRecord:
    return NewRecord(RecordKind.NOTE, step, 1, body)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    with running_server() as server:
        yield server


_PLUGS = (
    "in-memory",
    "sqlite",
    pytest.param("postgresql", marks=pytest.mark.slow),
    pytest.param("actor", marks=pytest.mark.slow),  # it loads Ray
)


@pytest.fixture(params=_PLUGS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    clock = ManualClock()
    if request.param == "in-memory":
        yield Store(InMemoryJournal(clock), clock.advance)
    elif request.param == "actor":
        handle = resolve_name("actors.handles:JournalHandle")
        yield Store(handle(Wire(InMemoryJournal(clock)), "checkpoints"), clock.advance)
    elif request.param == "sqlite":
        journal = await SqliteJournal(tmp_path / "state", clock=clock).open()
        yield Store(journal, clock.advance)
        await journal.close()
    else:
        server: Server = request.getfixturevalue("postgres")
        url = server.database()
        journal = await PostgresJournal(url, poll_s=0.01).open()
        yield Store(journal, _Turned(server, url).advance)
        await journal.close()


class _Turned:
    """A store's clock in PostgreSQL, set forward by replacing its function."""

    def __init__(self, server: Server, url: str) -> None:
        self._server, self._url = server, url
        self._forward = 0.0

    async def advance(self, seconds: float) -> None:
        self._forward += seconds
        body = f"SELECT extract(epoch FROM clock_timestamp())::double precision + {self._forward}"
        self._server.execute(
            "CREATE OR REPLACE FUNCTION store_time() RETURNS double precision "
            f"LANGUAGE sql VOLATILE AS '{body}'",
            self._url,
        )
