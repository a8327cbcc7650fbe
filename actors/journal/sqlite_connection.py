"""The one connection to an embedded store. It blocks, and only its writer uses it."""

import sqlite3
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TypeVar, cast

from sqlalchemy import URL, NullPool, create_engine
from sqlalchemy.dialects.sqlite import dialect

from actors.journal.compiling import Compiler
from actors.journal.verbs import Query, Row, Verb
from orchestration.errors import StoreError

T = TypeVar("T")

_PRAGMAS = (
    "PRAGMA page_size = 2048",  # of a new file: a commit writes whole pages, few of them full
    "PRAGMA busy_timeout = 1000",
    # Before 3.51.3 two connections that checkpoint at once can destroy a file: allow one.
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA synchronous = FULL",  # what was acknowledged survives a power cut
    "PRAGMA trusted_schema = OFF",
)
_BEGIN_LOG = "PRAGMA application_id = 0x4d414e54"
"""Writes the file's header, as it is from the first time on: `MANT`."""
_DAMAGED = "restore it from a backup, or move it away to start anew"
_READ_ONLY = ("is read-only", "make the file and its directory writable")
_MEANINGS = {
    "SQLITE_IOERR_LOCK": _READ_ONLY,  # a lock for writing, on a file opened for reading
    "SQLITE_FULL": ("is on a full disk", "free some space there, then resume"),
    "SQLITE_READONLY": _READ_ONLY,
    "SQLITE_CANTOPEN": ("cannot be opened", "check the directory's permissions"),
    "SQLITE_CORRUPT": ("is damaged", _DAMAGED),
    "SQLITE_NOTADB": ("is no store", _DAMAGED),
    "SQLITE_BUSY": ("is locked by another program", "close that program, then resume"),
    "SQLITE_IOERR": ("is on a failing disk", "check the disk; what was acknowledged stands"),
}


class SqliteConnection:
    """Performs verbs. Statements are compiled once and run on the driver, which prepares them."""

    def __init__(self, file: Path, now: Callable[[], float]) -> None:
        self._file = file
        self._compiler = _compiler()
        # Checked out of its pool until it is closed: there is never a second one.
        url = URL.create("sqlite", database=str(file))
        one_at_a_time = {"check_same_thread": False}  # the writer sees to that
        engine = create_engine(url, poolclass=NullPool, connect_args=one_at_a_time)
        self._pooled = engine.raw_connection()
        self.sync_s = 0.0
        """How long the last commit took that wrote something."""
        self._raw = cast("sqlite3.Connection", self._pooled.driver_connection)
        self._raw.isolation_level = None  # transactions begin where we say
        self._raw.create_function("store_time", 0, now)
        try:
            self._settle()
        except BaseException:
            self.close()
            raise

    def perform(self, verb: Verb[T]) -> T:
        """Run one verb within the current transaction."""
        try:
            query = next(verb)
            while True:
                query = verb.send(self._rows(query))
        except StopIteration as end:
            return cast("T", end.value)

    @contextmanager
    def transaction(self) -> Generator[None]:
        """A transaction, undone by any error."""
        changes = self._raw.total_changes
        self._raw.execute("BEGIN")
        try:
            yield
            began = time.perf_counter()
            self._raw.execute("COMMIT")
            if self._raw.total_changes != changes:
                self.sync_s = time.perf_counter() - began
        except BaseException:
            if self._raw.in_transaction:  # a full disk has undone it already
                self._raw.execute("ROLLBACK")
            raise

    def rehearse(self, verb: Verb[None]) -> None:
        """Run a verb and undo it; then begin the log, which takes two syncs more than going on."""
        self._raw.execute("BEGIN")
        try:
            self.perform(verb)
        finally:
            if self._raw.in_transaction:
                self._raw.execute("ROLLBACK")
        with suppress(sqlite3.OperationalError):  # a full disk can still be read
            self._raw.execute(_BEGIN_LOG)

    @contextmanager
    def savepoint(self) -> Generator[None]:
        """A part of a transaction; an error that is not the database's undoes it alone."""
        self._raw.execute("SAVEPOINT part")
        try:
            yield
        except sqlite3.Error:
            raise
        except BaseException:
            self._raw.execute("ROLLBACK TO part")
            self._raw.execute("RELEASE part")
            raise
        self._raw.execute("RELEASE part")

    def problems(self) -> list[str]:
        """What SQLite's own check finds wrong with the file."""
        found = [str(row[0]) for row in self._raw.execute("PRAGMA integrity_check")]
        return [] if found == ["ok"] else found

    def close(self) -> None:
        self._pooled.close()

    def _settle(self) -> None:
        for pragma in _PRAGMAS:
            self._raw.execute(pragma)
        [mode] = self._raw.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise StoreError(
                f"{self._file} cannot keep a write-ahead log on this file system",
                "name a directory on a local disk, or use PostgreSQL",
            )

    def _rows(self, query: Query) -> Sequence[Row]:
        sql, parameters = self._compiler.compile(query)
        if isinstance(parameters, list):
            self._raw.executemany(sql, parameters)
            return ()
        return self._raw.execute(sql, parameters).fetchall()


@cache
def _compiler() -> Compiler:
    """One for all stores of this process: their statements are the same."""
    return Compiler(dialect(paramstyle="named"))


@contextmanager
def explained(file: Path) -> Generator[None]:
    """Turn the database's errors into a `StoreError` that says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        name = str(getattr(error, "sqlite_errorname", ""))
        meaning = next((m for code, m in _MEANINGS.items() if name.startswith(code)), None)
        what, fix = meaning or (f"failed: {error}", "see the error's cause")
        raise StoreError(f"{file} {what}", fix, name) from error
