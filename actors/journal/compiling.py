"""Statements compiled once for a dialect, so that a driver can run them without SQLAlchemy."""

from typing import cast

from sqlalchemy import ClauseElement, Dialect, Executable
from sqlalchemy.sql.compiler import SQLCompiler

from actors.journal.verbs import Parameters, Query


class Compiler:
    """Turns queries into what a driver's `execute` and `executemany` take."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._compiled: dict[Executable, tuple[str, Parameters]] = {}

    def compile(self, query: Query) -> tuple[str, Parameters | list[Parameters]]:
        """The SQL, and one set of parameters or a list of several."""
        sets = query.parameters if isinstance(query.parameters, list) else [query.parameters]
        compiled = self._compiled.get(query.statement)
        if compiled is None:
            compiled = self._compiled[query.statement] = self._compile(query.statement, sets[0])
        sql, constants = compiled
        complete = [constants | one for one in sets]
        return sql, complete[0] if len(complete) == 1 else complete

    def _compile(self, statement: Executable, parameters: Parameters) -> tuple[str, Parameters]:
        """The SQL, and the values that the statement brings along itself."""
        clause = cast("ClauseElement", statement)  # all that is executable is one
        if not parameters:
            return str(clause.compile(dialect=self._dialect)), {}
        compiled = clause.compile(dialect=self._dialect, column_keys=list(parameters))
        binds = cast("SQLCompiler", compiled).binds
        constants: Parameters = {
            name: bind.value for name, bind in binds.items() if not bind.required
        }
        return str(compiled), constants
