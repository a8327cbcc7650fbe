"""Errors as they travel: what went wrong and its fix, under a name that the other side knows."""

from http import HTTPStatus

from cluster.desk.deciding import TooLateError
from cluster.desk.wire import Trouble
from orchestration import errors
from orchestration.errors import (
    ConflictError,
    InfrastructureError,
    MantaError,
    NotFoundError,
    RunOwnedError,
    UsageError,
)

_STATUS: tuple[tuple[type[MantaError], int], ...] = (
    (NotFoundError, HTTPStatus.NOT_FOUND),
    (UsageError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (ConflictError, HTTPStatus.CONFLICT),
    (RunOwnedError, HTTPStatus.CONFLICT),
    (InfrastructureError, HTTPStatus.SERVICE_UNAVAILABLE),
)
"""The first that fits; 500 for what is left."""
_KNOWN: dict[str, type[MantaError]] = {TooLateError.__name__: TooLateError} | {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, MantaError)
}
_MEANT: dict[int, type[MantaError]] = {
    HTTPStatus.NOT_FOUND: NotFoundError,
    HTTPStatus.CONFLICT: ConflictError,
    **dict.fromkeys((400, 403, 405, 411, 413, 415, 422), UsageError),
}
"""By the status, where there is no name; what is left is the hall's own trouble."""


def status_of(error: MantaError) -> int:
    """The HTTP status that says what an error says."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def trouble_of(error: MantaError) -> Trouble:
    """An error on its way. Of a kind that is only known here, the nearest that all know."""
    kinds = (kind.__name__ for kind in type(error).__mro__)
    kind = next(name for name in kinds if name in _KNOWN)
    return Trouble(what=error.what, fix=error.fix, kind=kind)


def error_of(trouble: Trouble, status: int) -> MantaError:
    """The error again."""
    kind = _KNOWN.get(trouble.kind) or _MEANT.get(status, InfrastructureError)
    return kind(trouble.what, trouble.fix)
