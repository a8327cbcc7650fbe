"""What models say while they say it, shown in place of what they said last.

It is shown and forgotten: nothing of it is journaled, and who misses it misses nothing.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType

from cluster.desk.wire import Form
from cluster.runs.view import Act, Row, RunView
from orchestration.errors import MantaError

LOOK_S = 0.4


class Speaking(Form):
    """The newest words of a reply that is on its way; of a model: untrusted."""

    role: str
    conversation: str
    """The step's key, and its part after a colon where it has several."""
    text: str


class Doing(Form):
    """What models say right now. Kept nowhere."""

    words: tuple[Speaking, ...]


Overhear = Callable[[], Awaitable[Doing]]


async def listening(overhear: Overhear, every_s: float = LOOK_S) -> AsyncGenerator[Doing]:
    """What is said, each time that it has changed, until closed."""
    before = Doing(words=())
    while True:
        with suppress(MantaError):  # whoever follows the run hears of it otherwise
            now = await overhear()
            if now != before:
                before = now
                yield now
        await asyncio.sleep(every_s)


def overheard(view: RunView, words: Sequence[Speaking]) -> RunView:
    """The view with what agents are saying in place of what they said last."""
    if not words:
        return view
    rows = {task: _hearing(row, words) for task, row in view.rows.items()}
    return replace(view, rows=MappingProxyType(rows))


def _hearing(row: Row, words: Sequence[Speaking]) -> Row:
    running = {key: _saying(key, act, words) for key, act in row.running.items()}
    return replace(row, running=MappingProxyType(running))


def _saying(key: str, act: Act, words: Sequence[Speaking]) -> Act:
    texts = [one.text for one in words if is_of(one.conversation, key)]
    return replace(act, said=texts[-1]) if texts else act


def is_of(conversation: str, key: str) -> bool:
    """Whether a conversation is a step's."""
    return conversation == key or conversation.startswith(f"{key}:")
