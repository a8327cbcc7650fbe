"""A verb that happens once in PostgreSQL, even when a commit's acknowledgement gets lost.

It blocks: the journal runs it in a thread.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from sqlalchemy import Connection

from actors.journal import statements
from actors.journal.compiling import Compiler
from actors.journal.schema import RECORDS
from actors.journal.verbs import Parameters, Query, Row, Verb

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Proof:
    """That a transaction was committed: rows which only it can have written."""

    run: object
    query: Query
    rows: Sequence[Row]


class Transaction(Generic[T]):
    """One verb, tried on one connection after the other until its outcome is known."""

    def __init__(self, begin: Callable[[], Verb[T]], compiler: Compiler) -> None:
        self._begin = begin
        self._compiler = compiler
        self._doubt: tuple[_Proof, T] | None = None
        """A commit that was sent and not answered, and its outcome if it happened."""

    def once(self, connection: Connection) -> T:
        """Perform the verb and commit, or find that an earlier try did."""
        if self._doubt is not None:
            proof, outcome = self._doubt
            if self._holds(connection, proof):
                return outcome
            self._doubt = None
        outcome, written = self._perform(connection)
        proof = self._proof(connection, written)
        self._doubt = (proof, outcome) if proof is not None else None
        connection.commit()
        return outcome

    def _perform(self, connection: Connection) -> tuple[T, list[Query]]:
        """The verb's outcome, and the queries that wrote."""
        verb = self._begin()
        written: list[Query] = []
        try:
            query = next(verb)
            while True:
                rows = self._rows(connection, query)
                if query.statement.is_dml:
                    written.append(query)
                query = verb.send(rows)
        except StopIteration as end:
            return cast("T", end.value), written

    def _proof(self, connection: Connection, written: Sequence[Query]) -> _Proof | None:
        """The first record written, else the run's row; None for what may be done again."""
        for query in written:
            if query.statement is statements.ADD_RECORD:
                record = cast("list[Parameters]", query.parameters)[0]
                find = Query(statements.GET_RECORD, {"run": record["run_id"], "seq": record["seq"]})
                return _Proof(record["run_id"], find, [tuple(record[c.name] for c in RECORDS.c)])
        for query in written:
            run = cast("Parameters", query.parameters).get("run")
            if run is not None:
                find = Query(statements.GET_RUN, {"run": run})
                return _Proof(run, find, self._rows(connection, find))
        return None

    def _holds(self, connection: Connection, proof: _Proof) -> bool:
        # Waits for the lock that the doubtful transaction may still hold; then it is settled.
        self._rows(connection, Query(statements.LOCK_RUN, {"run": proof.run}))
        return self._rows(connection, proof.query) == proof.rows

    def _rows(self, connection: Connection, query: Query) -> Sequence[Row]:
        result = connection.exec_driver_sql(*self._compiler.compile(query))
        return [tuple(row) for row in result] if result.returns_rows else ()
