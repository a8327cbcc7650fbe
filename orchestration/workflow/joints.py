"""Whether what one step gives fits what the next one takes."""

import inspect
import types
import typing
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, cast, get_args, get_origin

from orchestration.errors import InvalidWorkflowError

_WIDER = {int: (float, complex), float: (complex,)}


class Signature(NamedTuple):
    """What an async step function takes and gives."""

    takes: object
    gives: object
    wants_ctx: bool


def signature(fn: Callable[..., object], what: str) -> Signature:
    """Read a function's annotations: `(value)` or `(value, ctx)`.

    Raises:
        InvalidWorkflowError: an annotation is missing, unreadable or too open (Any, object).
    """
    hints = _hints(fn, what)
    parameters = [
        p
        for p in inspect.signature(fn).parameters.values()
        if p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD}
    ]
    if not 1 <= len(parameters) <= 2:
        raise InvalidWorkflowError(
            f"{what} takes {len(parameters)} positional arguments",
            "a step is `async def f(value, ctx)` or `async def f(value)`",
        )
    takes = hints.get(parameters[0].name, inspect.Parameter.empty)
    gives = hints.get("return", inspect.Parameter.empty)
    require_type(takes, f"the input of {what}")
    require_type(gives, f"the output of {what}")
    return Signature(takes, gives, len(parameters) == 2)


def gives_of(fn: Callable[..., object], what: str) -> object:
    """A function's declared output."""
    gives = _hints(fn, what).get("return", inspect.Parameter.empty)
    require_type(gives, f"the output of {what}")
    return gives


def require_type(of: object, what: str) -> None:
    """Refuse what would lose its type in the journal."""
    if of is inspect.Parameter.empty:
        raise InvalidWorkflowError(f"{what} has no type", "annotate it")
    if of is Any or of is object:
        raise InvalidWorkflowError(
            f"{what} is declared as {'Any' if of is Any else 'object'}",
            "declare a real type, so that values survive a restart",
        )


def _hints(fn: Callable[..., object], what: str) -> dict[str, object]:
    target = fn if inspect.isroutine(fn) else type(fn).__call__
    try:
        return typing.get_type_hints(target, include_extras=True)
    except (NameError, TypeError) as error:
        raise InvalidWorkflowError(
            f"the annotations of {what} cannot be read: {error}",
            "annotate with types that are visible where the function is defined",
        ) from error


def union(of: Iterable[object]) -> object:
    """One type that covers all of these."""
    distinct = list(dict.fromkeys(of))
    return distinct[0] if len(distinct) == 1 else Union[tuple(distinct)]  # noqa: UP007 - made at run time


def dict_of(values: Iterable[object]) -> object:
    """`dict[str, ...]` of any of these."""
    return dict[str, union(values)]  # pyright: ignore[reportInvalidTypeArguments] - made at run time


def element_of(sequence: object) -> object | None:
    """The element type of a list or tuple type; None when it is neither."""
    bare = _bare(sequence)
    origin, args = get_origin(bare), get_args(bare)
    if origin is tuple:
        return union(a for a in args if a is not Ellipsis) if args else None
    if isinstance(origin, type) and issubclass(origin, typing.Sequence) and args:
        return args[0]
    return None


def fits(gives: object, takes: object) -> bool:
    """Whether a value of type `gives` is always one of type `takes`. Unsure means yes."""
    gives, takes = _bare(gives), _bare(takes)
    if gives == takes or _is_open(gives) or _is_open(takes):
        return True
    if _is_union(gives):
        return all(fits(member, takes) for member in get_args(gives))
    if _is_union(takes):
        return any(fits(gives, member) for member in get_args(takes))
    if get_origin(gives) is Literal:
        return _literal_fits(get_args(gives), takes)
    if get_origin(takes) is Literal:
        return False
    return _class_fits(gives, takes)


def _literal_fits(values: tuple[object, ...], takes: object) -> bool:
    if get_origin(takes) is Literal:
        return set(values) <= set(get_args(takes))
    return all(fits(type(value), takes) for value in values)


def _class_fits(gives: object, takes: object) -> bool:
    own, wanted = get_origin(gives) or gives, get_origin(takes) or takes
    if not isinstance(own, type) or not isinstance(wanted, type):
        return False
    try:
        related = issubclass(own, wanted) or wanted in _WIDER.get(own, ())
    except TypeError:
        return True  # a protocol that cannot be asked
    return related and _arguments_fit(own, get_args(gives), wanted, get_args(takes))


def _arguments_fit(
    own: type, gives: tuple[object, ...], wanted: type, takes: tuple[object, ...]
) -> bool:
    if not gives or not takes:
        return True
    if own is tuple:
        if wanted is not tuple:
            return all(fits(g, takes[0]) for g in gives if g is not Ellipsis)
        if takes[-1] is Ellipsis:
            return all(fits(g, takes[0]) for g in gives if g is not Ellipsis)
        return len(gives) == len(takes) and all(map(fits, gives, takes))
    return len(gives) != len(takes) or all(map(fits, gives, takes))


def _bare(of: object) -> object:
    while True:
        if of is None:
            return type(None)
        if get_origin(of) is Annotated:
            of = get_args(of)[0]
        elif hasattr(of, "__supertype__"):
            of = cast("Any", of).__supertype__
        else:
            return of


def _is_open(of: object) -> bool:
    return of is Any or of is object or isinstance(of, TypeVar)


def _is_union(of: object) -> bool:
    return get_origin(of) in {Union, types.UnionType}
