"""Step keys: deterministic paths such as `build[greet]/repair#2/write_code`.

A workflow's id and its steps' ids are joined by `/`, a foreach's items stand in brackets, a
loop's iterations count from `#1`. Keys of items are escaped so that no text can forge a path.
"""

import re

from orchestration.ids import StepKey

ROOT = StepKey("")

_STEP_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_.:()|,-]{0,99}")
_PLACE = re.compile(r"\[[^\]]*\]|#\d+")
_RESERVED = {ord(c): f"%{ord(c):02X}" for c in "%/[]#"}


def is_step_id(text: str) -> bool:
    """Whether a step, an arm or a workflow may be called this."""
    return _STEP_ID.fullmatch(text) is not None


def child(parent: StepKey, step_id: str) -> StepKey:
    """The key of a node within a workflow."""
    return StepKey(f"{parent}/{step_id}") if parent else StepKey(step_id)


def item(block: StepKey, name: str) -> StepKey:
    """The key of one item of a foreach."""
    return StepKey(f"{block}[{name.translate(_RESERVED)}]")


def iteration(block: StepKey, number: int) -> StepKey:
    """The key of one iteration of a loop."""
    return StepKey(f"{block}#{number}")


def joined(key: StepKey) -> StepKey:
    """Where a join's result stands, beside its body's own."""
    return StepKey(f"{key}=")


def static(key: StepKey) -> str:
    """The path in the workflow's definition: the key without items and iterations."""
    return _PLACE.sub("", key)


def relative(key: StepKey, ancestor: StepKey) -> str:
    """The key as seen from inside `ancestor`; its own last name when it is the ancestor."""
    if key == ancestor:
        return static(key).rpartition("/")[2]
    return key[len(ancestor) + 1 :] if ancestor else key
