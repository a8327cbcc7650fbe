"""Reading a hall's server-sent events, whatever pieces they come in."""

from collections.abc import AsyncGenerator, AsyncIterable
from dataclasses import dataclass

from pydantic import ValidationError

from cluster.desk.troubles import error_of
from cluster.desk.wire import EventItem, Trouble
from orchestration.errors import InfrastructureError

MOST = 4_000_000
"""Bytes of one message."""


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing more comes for now: the run has ended, or nobody drives it."""


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
