"""What Ray is to a client of the store's actor: calls go out, and answers may not come back."""

from collections.abc import Awaitable, Callable
from typing import Any

from orchestration.workflow.journal import Journal

Lose = Callable[[str], Exception | None]
"""What a call of this verb ends with instead of its answer, if anything."""


class Wire:
    """Stands for the handle of the actor that houses a journal."""

    def __init__(self, journal: Journal, lose: Lose = lambda _: None) -> None:
        self._journal, self._lose = journal, lose
        self.call = self

    def options(self, **_: object) -> "Wire":
        return self

    def remote(
        self, verb: str, arguments: tuple[Any, ...], named: dict[str, Any]
    ) -> Awaitable[Any]:
        return self._carry_out(verb, arguments, named)

    async def _carry_out(self, verb: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        outcome = await getattr(self._journal, verb)(*arguments, **named)
        if (error := self._lose(verb)) is not None:
            raise error
        return outcome
