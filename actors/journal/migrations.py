"""How a store's schema came to be, one version after the other, forward only.

Released migrations never change: a new column is a new migration, and the tables of `schema`
that an old one names move into it as they were.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from sqlalchemy import Column, Executable, MetaData, Table, text
from sqlalchemy.schema import CreateTable

from actors.journal import statements
from actors.journal.schema import BLOBS, RECORDS, RUNS, STEPS, VERSIONS
from actors.journal.verbs import Query, Verb
from orchestration.errors import StoreError

Migration: TypeAlias = Callable[[str], Sequence[Executable]]
"""The statements that reach a version, for a dialect's name."""

_POSTGRES_CLOCK = """
CREATE FUNCTION store_time() RETURNS double precision LANGUAGE sql VOLATILE
AS 'SELECT extract(epoch FROM clock_timestamp())::double precision'
"""
# Asked rather than created if missing: not every process may have the right to create.
_FIND_VERSIONS: dict[str, Executable] = {
    "sqlite": text("SELECT count(*) FROM sqlite_schema WHERE name = 'versions'"),
    "postgresql": text("SELECT to_regclass('versions') IS NOT NULL"),
}


_FIRST_RUNS = Table(
    "runs",
    MetaData(),
    *(Column(c.name, c.type, primary_key=c.primary_key, nullable=c.nullable) for c in RUNS.c[:13]),
)
"""Up to the column of the parent."""


def _first(dialect: str) -> Sequence[Executable]:
    """Versions, runs, records and steps and, in PostgreSQL, blobs and the store's clock."""
    made = [CreateTable(table) for table in (VERSIONS, _FIRST_RUNS, RECORDS, STEPS)]
    if dialect == "postgresql":
        return [text(_POSTGRES_CLOCK), CreateTable(BLOBS), *made]
    return made


def _second(_: str) -> Sequence[Executable]:
    """When a suspended run is to go on."""
    return [text("ALTER TABLE runs ADD COLUMN wake_at DOUBLE PRECISION")]


MIGRATIONS: Sequence[Migration] = (_first, _second)
"""The migration to version n is at n - 1."""


def migrate(dialect: str, store: str, migrations: Sequence[Migration]) -> Verb[None]:
    """Bring a store up to date, in one transaction.

    Raises:
        StoreError: it was written by a newer Manta.
    """
    found = 0
    rows = yield Query(_FIND_VERSIONS[dialect], {})
    if rows[0][0]:
        rows = yield Query(statements.REACHED, {})
        found = rows[0][0] or 0
    if found > len(migrations):
        raise StoreError(
            f"{store} has schema version {found}; this Manta knows {len(migrations)}",
            "upgrade Manta, or name another store",
        )
    for version, migration in list(enumerate(migrations, 1))[found:]:
        for statement in migration(dialect):
            yield Query(statement, {})
        yield Query(statements.REACH, {"version": version})
