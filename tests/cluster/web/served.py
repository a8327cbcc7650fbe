"""A hall that really listens, in a thread with a loop of its own, and can go away and come back."""

import asyncio
import socket
import threading
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from cluster.commands.web import listen
from cluster.web.application import application
from cluster.web.hall import Hall

T = TypeVar("T")
BOUND_S = 60.0


class Served:
    """A hall on a port. Whatever belongs to its loop is called through `do`."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self._server: uvicorn.Server | None = None
        self._serving: Any = None
        self._port = 0
        self.token = ""
        self.resumed_after: list[str] = []
        """Where streams were taken up again, as browsers said by `Last-Event-ID`."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something in the hall's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(BOUND_S)

    def open(self, hall: Hall) -> None:
        """Listen, on the same port as before if there was one."""
        listener = listen("127.0.0.1", self._port)
        self._port = listener.getsockname()[1]
        self.token = hall.access.token
        config = uvicorn.Config(
            self._listening(application(hall)), lifespan="off", log_level="critical"
        )
        self._server = uvicorn.Server(config)
        self._serving = asyncio.run_coroutine_threadsafe(self._serve(hall, listener), self.loop)

    def close(self) -> None:
        """Go away at once, as a process that is killed: connections break."""
        if self._server is not None:
            self._server.should_exit = self._server.force_exit = True
            self.loop.call_soon_threadsafe(self._break_off, self._server)
            self._serving.result(BOUND_S)
            self._server = None

    def end(self) -> None:
        self.close()
        self.do(self._leave())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(BOUND_S)
        self.loop.close()

    async def _serve(self, hall: Hall, listener: socket.socket) -> None:
        assert self._server is not None
        async with hall.open():
            await self._server.serve(sockets=[listener])

    @staticmethod
    async def _leave() -> None:
        """Nothing of this loop goes on."""
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)

    @staticmethod
    def _break_off(server: uvicorn.Server) -> None:
        for task in list(server.server_state.tasks):
            task.cancel()
        for connection in list(server.server_state.connections):
            connection.transport.abort()  # pyright: ignore[reportAttributeAccessIssue]

    def _listening(self, app: ASGIApp) -> ASGIApp:
        async def heard(scope: Scope, receive: Receive, send: Send) -> None:
            for name, value in scope.get("headers", ()):
                if name == b"last-event-id":
                    self.resumed_after.append(value.decode())
            await app(scope, receive, send)

        return heard


@contextmanager
def served() -> Generator[Served]:
    """Nothing is open yet."""
    made = Served()
    try:
        yield made
    finally:
        made.end()
