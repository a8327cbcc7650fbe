"""A gateway whose every call waits for the governor's leave."""

import asyncio
import json
import logging
from dataclasses import replace

from actors.models.answers import answer_schema
from actors.models.gateway import ModelGateway, ModelReply, ModelRequest, Role, WireMessage
from actors.models.governor import Call, Governor, Lane, Leave
from actors.models.limiter import Ticket
from actors.models.replies import KeptReplies
from orchestration.errors import MantaError
from orchestration.messages import Difficulty, Usage

_CHARS_PER_TOKEN = 4
EXPECTED_OUTPUT = 1_000
"""Tokens reserved for a reply; the real number settles it."""
_log = logging.getLogger(__name__)


class GovernedGateway:
    """Wraps a gateway that asks no governor by itself, such as a recording."""

    def __init__(self, inner: ModelGateway, governor: Governor, lane: Lane) -> None:
        self._inner, self._lane = inner, lane
        self._governor = Settling(governor)
        self._replies = KeptReplies()

    async def complete(self, request: ModelRequest) -> ModelReply:
        return await self._replies.get(request.key, lambda: self._ask(request))

    async def acknowledge(self, key: str) -> None:
        self._replies.forget(key)
        await self._inner.acknowledge(key)

    async def check(self, role: Role, *, priced: bool = False) -> str:
        return await self._inner.check(role, priced=priced)

    async def context_tokens(self, role: Role, difficulty: Difficulty = "normal") -> int:
        return await self._inner.context_tokens(role, difficulty)

    async def _ask(self, request: ModelRequest) -> ModelReply:
        call = Call(request.run, self._lane, expected_tokens(request))
        leave = await self._governor.reserve(call)
        try:
            reply = await self._inner.complete(request)
        except BaseException:
            await self._governor.settle(leave, Usage())
            raise
        return replace(reply, notice=await self._governor.settle(leave, reply.usage))


class Settling:
    """A governor's client that keeps no call waiting without need.

    A run without limits asks for leave once in a while. No reply waits until what it took has been
    settled: a governor in this process has settled at once, another one hears of it before it is
    asked for the next call, and what it then has to say is told with one of the run's next replies.
    """

    def __init__(self, governor: Governor) -> None:
        self._governor = governor
        self._settling: set[asyncio.Task[None]] = set()
        self._notices: dict[str, str] = {}
        self._free: dict[tuple[str, str], float] = {}
        """Until when a run need not ask for leave in a lane."""

    async def reserve(self, call: Call) -> Leave:
        now, place = asyncio.get_running_loop().time(), (call.run, call.lane.name)
        if self._free.get(place, 0.0) > now and call.lane.is_unlimited:
            return Leave(0, call, Ticket(0, call.run, call.tokens))
        leave = await self._governor.reserve(call)
        self._free = {key: until for key, until in self._free.items() if until > now}
        if leave.free_s:
            self._free[place] = now + leave.free_s
        return leave

    async def pause(self, lane: Lane, seconds: float) -> None:
        self._free = {key: until for key, until in self._free.items() if key[1] != lane.name}
        await self._governor.pause(lane, seconds)

    async def settle(self, leave: Leave, usage: Usage) -> str:
        """Returns once the governor is being told, with what people should hear by now."""
        task = asyncio.create_task(self._settle(leave, usage), name=f"settle {leave.number}")
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)
        await asyncio.sleep(0)
        return self._notices.pop(leave.call.run, "")

    async def _settle(self, leave: Leave, usage: Usage) -> None:
        try:
            notice = await self._governor.settle(leave, usage)
        except MantaError as error:
            # Its ledger is read anew from the store; a reply that is paid for is not lost for it.
            _log.warning("a call was not settled: %s", error)
        else:
            if notice:
                self._notices[leave.call.run] = notice


def expected_tokens(request: ModelRequest) -> int:
    """A rough count of what a call will take; cheap, because the real one follows.

    Tools count, and an answer's schema once more where the reply itself has to fit it.
    """
    sent = sum(_length(message) for message in request.messages) + len(json.dumps(request.tools))
    if request.is_answer_due:
        sent += len(json.dumps(answer_schema(request)))
    return sent // _CHARS_PER_TOKEN + min(
        request.max_output_tokens or EXPECTED_OUTPUT, EXPECTED_OUTPUT
    )


def _length(message: WireMessage) -> int:
    """Characters of a message, without writing it out."""
    calls = message.get("tool_calls") or ()
    return len(message.get("content") or "") + sum(len(str(call)) for call in calls)
