"""The checkpoint store's process: the one writer of an embedded journal."""

from pathlib import Path

from actors.journal.sqlite import SqliteJournal


async def open_checkpoints(directory: str) -> SqliteJournal:
    """The journal in `directory`, locked by this process."""
    return await SqliteJournal(Path(directory)).open()
