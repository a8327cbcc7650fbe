"""What PostgreSQL's errors mean for a journal: worth another try, or a person's help."""

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from orchestration.errors import StoreError

_PASSING = {
    "08": "the connection broke",
    "25006": "a standby, before it takes over",
    "23505": "another process created the same run, or blob, at the same moment",
    "40001": "serialization failure",
    "40P01": "deadlock",
    "53300": "too many connections",
    "55P03": "a lock was not free in time",
    "57P": "the server stops or starts",
    "25P03": "a transaction was idle for too long",
}
_FIXES = {
    "28": "check the user and the password in the URL",
    "3D": "create the database that the URL names",
    "42501": "grant the user what it lacks",
    "53100": "free some space on the database's disk, then resume",
}
_HOPELESS = {"authentication failed": "28", "does not exist": "3D", "no password supplied": "28"}


def passes(error: SQLAlchemyError) -> bool:
    """Whether another try may succeed by itself."""
    state = _state(error)
    if not state:  # the server said nothing: it was not reached, or it went away
        return isinstance(error, DBAPIError) and (
            error.connection_invalidated or type(error.orig).__name__ == "OperationalError"
        )
    return any(state.startswith(code) for code in _PASSING)


def explain(error: SQLAlchemyError, store: str) -> StoreError:
    """The error for people. `store` is the URL without its password."""
    state = _state(error)
    said = str(error.orig) if isinstance(error, DBAPIError) else str(error)
    fix = next((fix for code, fix in _FIXES.items() if state.startswith(code)), "")
    first_line = said.strip().partition("\n")[0]
    return StoreError(
        f"the store at {store} failed: {first_line}",
        fix or "check that PostgreSQL runs and can be reached, then resume",
        state,
    )


def _state(error: SQLAlchemyError) -> str:
    """The SQLSTATE; a failed connection tells its own only in words."""
    if not isinstance(error, DBAPIError):
        return ""
    state = getattr(error.orig, "sqlstate", None)
    words = (code for said, code in _HOPELESS.items() if said in str(error.orig))
    return str(state or next(words, ""))
