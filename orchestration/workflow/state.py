"""A workflow's shared state: a frozen model that steps read, and change by journaled updates.

    class Tally(BaseModel):
        model_config = ConfigDict(frozen=True)
        total: Annotated[int, Reducer(operator.add)] = 0
        winner: str = ""

    Workflow("w", Request, state=Tally)            # ctx.state.total, ctx.update_state(total=3)

An update counts when its step is done; a failed attempt changes nothing. Arms that run beside each
other see the state as it was when their block began, and their own updates. When the block ends,
updates are merged in the order of the arms, whoever finished first: by the field's reducer, or,
without one, only if the arms do not contradict each other.
"""

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from orchestration.errors import InvalidWorkflowError, UsageError
from orchestration.workflow.codec import codec

Updates = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Reducer:
    """How an update meets the value that stands: a pure function of both."""

    merge: Callable[[Any, Any], Any]


def check_state(model: type[BaseModel], workflow: str) -> None:
    """Refuse a model that cannot be shared.

    Raises:
        InvalidWorkflowError: it is not frozen, or cannot be made without arguments.
    """
    if not model.model_config.get("frozen"):
        raise InvalidWorkflowError(
            f"the state of workflow {workflow!r}, {model.__name__}, can be changed in place",
            "freeze it: model_config = ConfigDict(frozen=True)",
        )
    if needed := [name for name, f in model.model_fields.items() if f.is_required()]:
        raise InvalidWorkflowError(
            f"the state of workflow {workflow!r} has no default for {', '.join(needed)}",
            "give every field a default: that is the state at the beginning",
        )


def encode_update(model: type[BaseModel], name: str, value: object) -> str:
    """JSON of one field's update.

    Raises:
        UsageError: there is no such field, or the value is not of its type.
    """
    if name not in model.model_fields:
        known = ", ".join(model.model_fields)
        raise UsageError(f"{model.__name__} has no field {name!r}", f"known are {known}")
    return codec(model.model_fields[name].annotation).encode(value)[0]


def decode_update(model: type[BaseModel], name: str, text: str) -> object:
    """A field's update, read back."""
    return codec(model.model_fields[name].annotation).decode(text)


@dataclass(slots=True)
class Scope:
    """The state as one line of work sees it, and what that line changed."""

    current: BaseModel
    log: list[Updates] = field(default_factory=list[Updates])

    @property
    def model(self) -> type[BaseModel]:
        return type(self.current)

    def snapshot(self) -> BaseModel:
        """The state, for a step to read."""
        return copy.deepcopy(self.current)

    def apply(self, updates: Updates) -> None:
        """Take the updates of a step that is done."""
        changes: dict[str, object] = {}
        for name, value in updates.items():
            reducer = _reducer(self.model, name)
            old = getattr(self.current, name)
            changes[name] = value if reducer is None else reducer.merge(old, value)
        self.current = self.current.model_copy(update=changes)
        self.log.append(updates)

    def fork(self) -> "Scope":
        """The state for one of several arms."""
        return Scope(self.current)

    def join(self, arms: Iterable[tuple[str, "Scope"]]) -> None:
        """Merge what the arms changed, in their order.

        Raises:
            InvalidWorkflowError: two arms set a field that has no reducer to different values.
        """
        setters: dict[str, tuple[str, object]] = {}
        merged = list(arms)
        for arm, scope in merged:
            finals = {name: value for updates in scope.log for name, value in updates.items()}
            for name, value in finals.items():
                other, theirs = setters.setdefault(name, (arm, value))
                if _reducer(self.model, name) is None and theirs != value:
                    raise InvalidWorkflowError(
                        f"{other!r} and {arm!r} set {name!r} of the state to different values",
                        f"give the field a reducer: {name}: Annotated[..., Reducer(...)]",
                    )
        for _, scope in merged:
            for updates in scope.log:
                self.apply(updates)


def _reducer(model: type[BaseModel], name: str) -> Reducer | None:
    found = (m for m in model.model_fields[name].metadata if isinstance(m, Reducer))
    return next(found, None)
