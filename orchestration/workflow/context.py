"""What a running step holds: its grant, its answer, and recorded side effects."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, Protocol, TypeVar, cast

from pydantic import BaseModel

from orchestration.errors import UsageError
from orchestration.ids import StepGrant
from orchestration.workflow.codec import codec
from orchestration.workflow.facts import read_output
from orchestration.workflow.journal import NewRecord, RecordKind
from orchestration.workflow.state import encode_update
from orchestration.workflow.step import Bail, Suspend, Suspension
from orchestration.workflow.storage import Storage
from orchestration.workflow.values import Stored

T = TypeVar("T")


class Owner(Protocol):
    """What a step asks of whoever holds its run."""

    async def check(self) -> None:
        """Make sure, before acting, that the run is still ours."""
        ...

    def now(self) -> float:
        """The store's time."""
        ...


class RunningStep:
    """The `StepContext` of one attempt."""

    def __init__(
        self,
        grant: StepGrant,
        answer: Any | None,
        storage: Storage,
        owner: Owner,
        state: BaseModel | None = None,
    ) -> None:
        self._grant = grant
        self._answer = answer
        self._storage = storage
        self._owner = owner
        self._state = state
        self.updates: dict[str, str] = {}
        """JSON by field of the shared state, to be applied when the step is done."""
        self._locks: dict[str, asyncio.Lock] = {}
        self._known: dict[str, str] | None = None if grant.attempt > 1 else {}
        """Bodies of recorded effects by key; unread (None) where earlier attempts may have some."""

    @property
    def grant(self) -> StepGrant:
        return self._grant

    @property
    def answer(self) -> Any | None:
        return self._answer

    @property
    def state(self) -> Any:
        if self._state is None:
            raise UsageError(
                f"the workflow around {self._grant.step_key} declares no state",
                "declare it: Workflow(id, takes, state=Model)",
            )
        return self._state

    def update_state(self, **updates: object) -> None:
        model: type[BaseModel] = type(self.state)
        self.updates |= {n: encode_update(model, n, value) for n, value in updates.items()}

    def now(self) -> float:
        return self._owner.now()

    def suspend(self, suspension: Suspension) -> NoReturn:
        raise Suspend(suspension)

    def bail(self, value: object) -> NoReturn:
        raise Bail(value)

    async def effect(self, key: str, fn: Callable[[], Awaitable[T]], returns: type[T]) -> T:
        async with self._locks.setdefault(key, asyncio.Lock()):
            known = await self._effects()
            if key in known:
                text = read_output(known[key])[1]
                stored = Stored(text, codec(returns))
                return cast("T", await self._storage.loaded(stored.take))
            await self._owner.check()
            stored = await self._storage.store(codec(returns), await fn())
            body = stored.text.write(f'"key":{json.dumps(key)},')
            await self._storage.append_under(self._grant, NewRecord(RecordKind.EFFECT, body=body))
            known[key] = body
            return cast("T", stored.take())

    async def note(self, text: str) -> None:
        body = json.dumps({"text": text[:4000]})
        await self._storage.append_under(self._grant, NewRecord(RecordKind.NOTE, body=body))

    async def _effects(self) -> dict[str, str]:
        if self._known is None:
            records = await self._storage.effects(self._grant)
            self._known = {str(read_output(r.body)[0]["key"]): r.body for r in records}
        return self._known
