"""Values as JSON text of their declared type, and back, without an untyped detour."""

from functools import lru_cache
from typing import Generic, TypeVar, cast

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from orchestration.errors import InvalidWorkflowError, UsageError

T = TypeVar("T")

# Where a type has a configuration of its own (models, dataclasses) that one holds.
_EXACT = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="constants")


def type_name(of: object) -> str:
    """A type as people write it, without module names."""
    if isinstance(of, type) and not hasattr(of, "__args__"):
        return of.__name__ if of is not type(None) else "None"
    args = getattr(of, "__args__", None)
    if args is None:
        return getattr(of, "__name__", None) or str(of).removeprefix("typing.")
    names = ["..." if a is Ellipsis else type_name(a) for a in cast("tuple[object, ...]", args)]
    origin = getattr(of, "__origin__", None)
    if origin is None or getattr(origin, "__name__", str(origin)) in {"Union", "typing.Union"}:
        return " | ".join(names)
    return f"{type_name(origin)}[{', '.join(names)}]"


class Codec(Generic[T]):
    """Encodes and decodes values of one declared type."""

    def __init__(self, of: object) -> None:
        self.name = type_name(of)
        try:
            self._adapter: TypeAdapter[T] = _adapter(of)
        except (PydanticUserError, TypeError, NameError) as error:
            raise InvalidWorkflowError(
                f"values of type {self.name} cannot be stored: {error}",
                "declare a type that pydantic can write as JSON",
            ) from error

    def encode(self, value: object) -> tuple[str, T]:
        """Check `value` strictly; return its JSON and what a reader of that JSON will get.

        Raises:
            UsageError: the value is not of the declared type, or would not survive.
        """
        try:
            checked = self._adapter.validate_python(value, strict=True)
            text = self._adapter.dump_json(checked, warnings="error").decode()
            return text, self._adapter.validate_json(text)
        except (ValidationError, PydanticSerializationError) as error:
            raise UsageError(
                f"expected {self.name}, got {type(value).__name__}: {brief(error)}",
                "return, or pass, exactly what is declared",
            ) from error

    def decode(self, text: str) -> T:
        """Read JSON.

        Raises:
            UsageError: the text is not of the declared type.
        """
        try:
            return self._adapter.validate_json(text)
        except ValidationError as error:
            raise UsageError(
                f"stored text is not {self.name}: {brief(error)}",
                "it was written by another version, or by hand",
            ) from error


def brief(error: Exception) -> str:
    """The first three complaints of a validation, one line, without the values' whole text."""
    if not isinstance(error, ValidationError):
        return str(error)[:300]
    found = error.errors(include_url=False, include_context=False, include_input=False)
    shown = [f"{'.'.join(map(str, e['loc'])) or 'value'}: {e['msg']}"[:200] for e in found[:3]]
    more = [f"and {len(found) - 3} more"] if len(found) > 3 else []
    return "; ".join([*shown, *more])


def codec(of: object) -> Codec[object]:
    """The codec of a type, made once."""
    try:
        return _cached(of)
    except TypeError:
        return Codec(of)  # an unhashable annotation


@lru_cache(maxsize=512)
def _cached(of: object) -> Codec[object]:
    return Codec(of)


def _adapter(of: object) -> TypeAdapter[T]:
    try:
        return TypeAdapter[T](of, config=_EXACT)  # pyright: ignore[reportArgumentType] - a type as a value
    except PydanticUserError:
        return TypeAdapter[T](of)  # pyright: ignore[reportArgumentType] - a type as a value
