"""Values on their way between steps: kept as text, decoded when needed, never shared.

Whoever *takes* a value gets a copy of its own, so that no step can change what another one sees.
Who only *looks* (a condition, a map) promises to change nothing.
"""

import copy
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Protocol, cast

from pydantic import BaseModel

from orchestration.workflow.codec import Codec
from orchestration.workflow.facts import Text

_ATOMS = (str, int, float, bool, bytes, type(None), Enum)


class Value(Protocol):
    """Something that a step can be given."""

    def look(self) -> object:
        """The value, not to be changed."""
        ...

    def take(self) -> object:
        """The value, to keep."""
        ...


class MissingBlobError(BaseException):
    """A value lies in a blob that is not loaded yet. Caught by the machine alone."""

    def __init__(self, stored: "Stored") -> None:
        super().__init__(stored)
        self.stored = stored


_NOTHING = object()


class Stored:
    """A value with its text, decoded by its own type when somebody wants it."""

    __slots__ = ("_cached", "codec", "loaded", "text")

    def __init__(self, text: Text, codec: Codec[object], cached: object = _NOTHING) -> None:
        self.text = text
        self.codec = codec
        self.loaded = text.inline
        """The text; None while it lies in a blob."""
        self._cached = cached

    def look(self) -> object:
        if self._cached is _NOTHING:
            if self.loaded is None:
                raise MissingBlobError(self)
            self._cached = self.codec.decode(self.loaded)
        return self._cached

    def take(self) -> object:
        value = self.look()
        if not is_immutable(value):
            self._cached = _NOTHING
        return value


class Element:
    """One item of a sequence value."""

    __slots__ = ("_index", "_whole")

    def __init__(self, whole: Value, index: int) -> None:
        self._whole, self._index = whole, index

    def look(self) -> object:
        return cast("list[object]", self._whole.look())[self._index]

    def take(self) -> object:
        return _own(self.look())


class Held:
    """A value without a text of its own, made out of others."""

    __slots__ = ("_value",)

    def __init__(self, value: object) -> None:
        self._value = value

    def look(self) -> object:
        return self._value

    def take(self) -> object:
        return _own(self._value)


class ListOf:
    """Values in order."""

    __slots__ = ("_parts",)

    def __init__(self, parts: list[Value]) -> None:
        self._parts = parts

    def look(self) -> object:
        return [part.look() for part in self._parts]

    def take(self) -> object:
        return [part.take() for part in self._parts]


class DictOf:
    """Values by name."""

    __slots__ = ("_parts",)

    def __init__(self, parts: dict[str, Value]) -> None:
        self._parts = parts

    def look(self) -> object:
        return {name: part.look() for name, part in self._parts.items()}

    def take(self) -> object:
        return {name: part.take() for name, part in self._parts.items()}


class Results(Mapping[str, object]):
    """Named results of an iteration, decoded when a condition reads them."""

    def __init__(self, parts: dict[str, Value]) -> None:
        self._parts = parts

    def __getitem__(self, name: str) -> object:
        return self._parts[name].look()

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def __repr__(self) -> str:
        return f"Results({', '.join(self._parts)})"


def is_immutable(value: object) -> bool:
    """Whether sharing this value is safe, as far as a quick look can tell."""
    if isinstance(value, _ATOMS):
        return True
    if type(value) is tuple:
        return all(map(is_immutable, cast("tuple[object, ...]", value)))
    if isinstance(value, BaseModel) and value.model_config.get("frozen"):
        return all(map(is_immutable, value.__dict__.values()))
    return False


def _own(value: object) -> object:
    return value if is_immutable(value) else copy.deepcopy(value)
