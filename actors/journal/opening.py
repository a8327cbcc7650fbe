"""Open the journal that an address names."""

from pathlib import Path

from actors.journal.postgresql import PostgresJournal
from actors.journal.sqlite import SqliteJournal
from orchestration.errors import UsageError
from orchestration.workflow.journal import Journal


async def open_journal(url_or_path: str | Path) -> Journal:
    """Open `postgresql://user@host/database`, or SQLite in a state directory.

    Raises:
        UsageError: another kind of database.
        StoreError: the store cannot be used; says why, and what to do.
    """
    address = str(url_or_path)
    if address.startswith(("postgresql://", "postgresql+psycopg://", "postgres://")):
        return await PostgresJournal(address).open()
    if "://" in address:
        raise UsageError(
            f"no journal is kept in {address.partition('://')[0]}",
            "give a directory for SQLite, or postgresql://user:password@host/database",
        )
    return await SqliteJournal(Path(address)).open()
