"""Following a run at a hall: its server-sent events, over as many connections as it takes."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from dataclasses import dataclass

from pydantic import ValidationError

from cluster.desk.calling import Caller, LostError
from cluster.desk.troubles import error_of
from cluster.desk.wire import EventItem, Trouble
from orchestration.errors import InfrastructureError
from orchestration.events import Event
from orchestration.ids import RunId

MOST = 4_000_000
"""Bytes of one message."""


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing more comes for now: the run has ended, or nobody drives it."""


class Listener:
    """Follows one run, connection after connection: nothing is missed or told twice."""

    def __init__(self, caller: Caller, run_id: RunId, after: int, patience_s: float) -> None:
        """`patience_s`: for which a lost connection is taken up again."""
        self._caller, self._run_id, self._patience_s = caller, run_id, patience_s
        self._heard: float | None = None
        """When the hall last said something, if it ever did."""
        self.after = after
        self.rests = False

    async def listen(self) -> AsyncGenerator[Event]:
        """What one connection brings, up to a rest or to where it was cut.

        Raises:
            LostError: the hall never answered, or has been away for too long.
        """
        connection = self._connection()
        try:
            async for said in connection:
                if event := self._news(said):
                    yield event
        except LostError:
            if self._heard is None or _now() - self._heard > self._patience_s:
                raise
        finally:
            await connection.aclose()

    def _news(self, said: EventItem | Rest) -> Event | None:
        self._heard = _now()
        if isinstance(said, Rest):
            self.rests = True
            return None
        if said.seq <= self.after:
            return None
        self.after = said.seq
        return said.event(self._run_id)

    async def _connection(self) -> AsyncGenerator[EventItem | Rest]:
        path, params = f"runs/{self._run_id}/events/stream", {"after": self.after}
        async with (
            aclosing(self._caller.stream(path, params=params)) as pieces,
            aclosing(told(pieces)) as messages,
        ):
            async for said in messages:
                yield said


def _now() -> float:
    return asyncio.get_running_loop().time()


async def told(pieces: AsyncIterable[bytes]) -> AsyncGenerator[EventItem | Rest]:
    """What a stream tells, up to its end or the place where it was cut.

    Raises:
        MantaError: what the hall says is wrong.
        InfrastructureError: this is no stream of a hall.
    """
    held = b""
    async for piece in pieces:
        *whole, held = (held + piece).split(b"\n\n")
        for message in whole:
            if said := _said(message):
                yield said
        if len(held) > MOST:
            raise _strange()


def _said(message: bytes) -> EventItem | Rest | None:
    """What one message means; nothing where it is only a sign of life."""
    fields: dict[bytes, bytes] = {}
    for line in message.split(b"\n"):
        name, _, value = line.partition(b":")
        fields[name] = value.removeprefix(b" ")
    data = fields.get(b"data")
    if data is None:
        return None
    try:
        match fields.get(b"event", b""):
            case b"":
                return EventItem.model_validate_json(data, extra="ignore")
            case b"trouble":
                raise error_of(Trouble.model_validate_json(data, extra="ignore"), 503)
            case b"end" | b"rest":
                return Rest()
            case _:
                return None
    except ValidationError as error:
        raise _strange() from error


def _strange() -> InfrastructureError:
    return InfrastructureError(
        "the hall's stream of events cannot be read", "use the same version of Manta on both sides"
    )
