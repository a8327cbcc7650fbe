"""A verb that happens once in PostgreSQL, even when a commit's acknowledgement gets lost."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from sqlalchemy.ext.asyncio import AsyncConnection

from actors.journal import statements
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

    def __init__(self, begin: Callable[[], Verb[T]]) -> None:
        self._begin = begin
        self._doubt: tuple[_Proof, T] | None = None
        """A commit that was sent and not answered, and its outcome if it happened."""

    async def once(self, connection: AsyncConnection) -> T:
        """Perform the verb and commit, or find that an earlier try did."""
        if self._doubt is not None:
            proof, outcome = self._doubt
            if await _holds(connection, proof):
                return outcome
            self._doubt = None
        outcome, written = await self._perform(connection)
        proof = await _proof(connection, written)
        self._doubt = (proof, outcome) if proof is not None else None
        await connection.commit()
        return outcome

    async def _perform(self, connection: AsyncConnection) -> tuple[T, list[Query]]:
        """The verb's outcome, and the queries that wrote."""
        verb = self._begin()
        written: list[Query] = []
        try:
            query = next(verb)
            while True:
                rows = await _rows(connection, query)
                if query.statement.is_dml:
                    written.append(query)
                query = verb.send(rows)
        except StopIteration as end:
            return cast("T", end.value), written


async def _rows(connection: AsyncConnection, query: Query) -> Sequence[Row]:
    parameters = query.parameters
    if isinstance(parameters, list) and len(parameters) == 1:
        parameters = parameters[0]
    result = await connection.execute(query.statement, parameters)
    return [tuple(row) for row in result] if result.returns_rows else ()


async def _proof(connection: AsyncConnection, written: Sequence[Query]) -> _Proof | None:
    """The first record written or, where none was, the run's row; None if either may be redone."""
    for query in written:
        if query.statement is statements.ADD_RECORD:
            record = cast("list[Parameters]", query.parameters)[0]
            find = Query(statements.GET_RECORD, {"run": record["run_id"], "seq": record["seq"]})
            return _Proof(record["run_id"], find, [tuple(record[c.name] for c in RECORDS.c)])
    for query in written:
        run = cast("Parameters", query.parameters).get("run")
        if run is not None:
            find = Query(statements.GET_RUN, {"run": run})
            return _Proof(run, find, await _rows(connection, find))
    return None


async def _holds(connection: AsyncConnection, proof: _Proof) -> bool:
    # Waits for the lock that the doubtful transaction may still hold; then it is settled.
    await _rows(connection, Query(statements.LOCK_RUN, {"run": proof.run}))
    return await _rows(connection, proof.query) == proof.rows
