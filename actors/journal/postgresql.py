"""The journal of a cluster: every owner and worker writes to PostgreSQL directly."""

import asyncio
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Self, TypeVar

from sqlalchemy import create_engine, event, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from actors.journal import verbs
from actors.journal.blobs import address
from actors.journal.compiling import Compiler
from actors.journal.migrations import MIGRATIONS, Migration, migrate
from actors.journal.postgresql_errors import explain, passes
from actors.journal.postgresql_transaction import Transaction
from actors.journal.sql_journal import SqlJournal
from actors.journal.verbs import Query, Verb
from orchestration.errors import UsageError
from orchestration.ids import BlobId

T = TypeVar("T")

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0
_CONNECT = {"connect_timeout": 5, "keepalives_idle": 10, "tcp_user_timeout": 15_000}
_SESSION = (
    # An acknowledged record survives the server's crash, whatever the server's default.
    "SELECT set_config('synchronous_commit', 'on', false)"
    " WHERE current_setting('synchronous_commit') = 'off'",
    # The lock on a run's row does not outlive a client that vanished.
    "SET idle_in_transaction_session_timeout = '15s'",
    "SET lock_timeout = '10s'",
    "SET statement_timeout = '60s'",
)
_ONE_MIGRATES = text("SELECT pg_advisory_xact_lock(1297108545)")


class PostgresJournal(SqlJournal):
    """A durable journal in a PostgreSQL database, for any number of processes.

    While the server is away a call waits and tries again, for `patience_s`. A commit whose
    acknowledgement was lost is recognised by what it wrote, and is not made twice.
    """

    def __init__(
        self,
        url: str,
        *,
        patience_s: float = 20.0,
        connections: int = 8,
        poll_s: float = 0.25,
        migrations: Sequence[Migration] = MIGRATIONS,
    ) -> None:
        """`url`: `postgresql://user:password@host/database`.

        Raises:
            UsageError: it is no such URL.
        """
        super().__init__(poll_s=poll_s)
        try:
            address_of_store = make_url(url).set(drivername="postgresql+psycopg")
        except ArgumentError:
            raise UsageError(
                "the store's URL cannot be read", "write postgresql://user:password@host/database"
            ) from None
        self._name = address_of_store.render_as_string(hide_password=True)
        self._patience_s = patience_s
        self._migrations = migrations
        # A thread for each connection: half the time of SQLAlchemy's own asyncio.
        self._threads = ThreadPoolExecutor(connections, "journal")
        # Each statement sees what others committed before it: verbs rely on that.
        self._engine = create_engine(
            address_of_store,
            isolation_level="READ COMMITTED",
            pool_size=connections,
            max_overflow=0,
            connect_args=_CONNECT,
        )
        self._compiler = Compiler(self._engine.dialect)
        event.listen(self._engine, "connect", _prepare_session)

    async def open(self) -> Self:
        """Bring the schema up to date; of several processes at once, one does.

        Raises:
            StoreError: the store is away, refuses us, or is newer.
        """
        await self._perform(self._migrate)
        return self

    async def close(self) -> None:
        await asyncio.to_thread(self._threads.shutdown)
        self._engine.dispose()

    async def put_blob(self, content: bytes) -> BlobId:
        blob = await asyncio.to_thread(address, content)
        await self._perform(partial(verbs.put_blob, blob, content))
        return blob

    async def get_blob(self, blob: BlobId) -> bytes:
        return await self._perform(partial(verbs.get_blob, blob))

    def _migrate(self) -> Verb[None]:
        yield Query(_ONE_MIGRATES, {})
        yield from migrate("postgresql", self._name, self._migrations)

    async def _perform(self, begin: Callable[[], Verb[T]]) -> T:
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self._patience_s
        pause = _FIRST_PAUSE_S
        transaction = Transaction(begin, self._compiler)
        while True:
            try:
                return await loop.run_in_executor(self._threads, self._try, transaction)
            except SQLAlchemyError as error:
                if not passes(error) or loop.time() + pause > give_up:
                    raise explain(error, self._name) from error
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - mere jitter
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _try(self, transaction: Transaction[T]) -> T:
        with self._engine.connect() as connection:
            return transaction.once(connection)


def _prepare_session(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    for statement in _SESSION:
        cursor.execute(statement)
    cursor.close()
    connection.commit()
