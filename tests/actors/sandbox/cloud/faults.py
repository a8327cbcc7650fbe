"""Misfortunes that a stand-in cloud can be told to have."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Fault:
    """What befalls the next `times` requests whose method and path hold `where`.

    answer: `status` instead of the truth        hang: nothing, until the client leaves
    reset: the connection breaks before          lost: it breaks after the work was done
    """

    where: str
    kind: Literal["answer", "hang", "reset", "lost"]
    status: int = 500
    message: str = "a misfortune"
    headers: dict[str, str] = field(default_factory=dict[str, str])
    times: int = 1


class Fate:
    """Faults waiting to happen, and every request that came."""

    def __init__(self) -> None:
        self.waiting: list[Fault] = []
        self.seen: list[str] = []

    def send(self, *faults: Fault) -> None:
        self.waiting += faults

    def _next(self, line: str) -> Fault | None:
        for fault in self.waiting:
            if fault.where in line and fault.times > 0:
                fault.times -= 1
                return fault
        return None

    @web.middleware
    async def befall(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        line = f"{request.method} {request.path}"
        self.seen.append(line)
        fault = self._next(line)
        if fault is None:
            return await handler(request)
        if fault.kind == "answer":
            body = {"code": fault.status, "message": fault.message, "statusCode": fault.status}
            return web.json_response(body, status=fault.status, headers=fault.headers)
        if fault.kind == "hang":
            await asyncio.Event().wait()
        if fault.kind == "lost":
            request["unheard"] = True
            await handler(request)
        assert request.transport
        request.transport.abort()
        return web.Response()
