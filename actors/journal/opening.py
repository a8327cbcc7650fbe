"""Open the journal that an address names."""

from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name

from actors.journal.sql_journal import SqlJournal
from orchestration.errors import UsageError
from orchestration.workflow.journal import Journal

# By name: a process loads the database that it uses, not the other one.
_SQLITE = "actors.journal.sqlite:SqliteJournal"
_POSTGRESQL = "actors.journal.postgresql:PostgresJournal"


async def open_journal(url_or_path: str | Path) -> Journal:
    """Open `postgresql://user@host/database`, or SQLite in a state directory.

    Raises:
        UsageError: another kind of database.
        StoreError: the store cannot be used; says why, and what to do.
    """
    address = str(url_or_path)
    if address.startswith(("postgresql://", "postgresql+psycopg://", "postgres://")):
        return await _plug(_POSTGRESQL)(address).open()
    if "://" in address:
        raise UsageError(
            f"no journal is kept in {address.partition('://')[0]}",
            "give a directory for SQLite, or postgresql://user:password@host/database",
        )
    return await _plug(_SQLITE)(Path(address)).open()


def _plug(name: str) -> Callable[[str | Path], SqlJournal]:
    return resolve_name(name)
