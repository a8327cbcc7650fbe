"""Servers kept for their callers: started when needed, restarted when they die, ended when idle."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from actors.mcp.config import ServerConfig
from actors.mcp.connection import Connection, ServerFailedError
from actors.mcp.pins import Pins
from actors.mcp.pipes import LocalPipe, OpenPipe
from actors.mcp.protocol import Offer, RemoteAnswer, RemoteTool
from orchestration.errors import MantaError

IDLE_S = 600.0
BACKOFF_S = (1.0, 5.0, 30.0, 120.0)
"""How long a server that failed is left alone: longer each time in a row."""


@dataclass
class _Place:
    """One server for one client, whether it runs or not."""

    config: ServerConfig
    connection: Connection | None = None
    failures: int = 0
    not_before: float = 0.0
    why: str = ""
    used: float = field(default_factory=time.monotonic)
    users: int = 0
    shown: dict[str, RemoteTool] = field(default_factory=dict[str, RemoteTool])
    """The tools as they were offered; a call is one of these."""
    withheld: tuple[str, ...] = ()
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class ServerHost:
    """Implements what `ToolServers` promises, for any number of clients (runs).

    The runs share no process of a server: what one has opened or logged into is not the other's.
    """

    def __init__(
        self,
        configs: Sequence[ServerConfig],
        *,
        pins: Pins | None = None,
        open_pipe: OpenPipe = LocalPipe.open,
        idle_s: float = IDLE_S,
    ) -> None:
        self._configs = {config.name: config for config in configs}
        self._pins = pins or Pins()
        self._open_pipe, self._idle_s = open_pipe, idle_s
        self._places: dict[tuple[str, str], _Place] = {}
        self._watch: asyncio.Task[None] | None = None

    async def offer(self, client: str, role: str) -> Offer:
        """The tools that a role may call, of all servers; side by side, so that one that hangs
        costs its own time alone."""
        wanted = [config for config in self._configs.values() if config.roles.get(role)]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._offered(client, each, role)) for each in wanted]
        offers = [task.result() for task in tasks]
        return Offer(
            tuple(tool for offer in offers for tool in offer.tools),
            tuple(trouble for offer in offers for trouble in offer.troubles),
        )

    async def call(
        self, client: str, role: str, server: str, tool: str, arguments: dict[str, Any]
    ) -> RemoteAnswer:
        """One call; never raises for what a server does."""
        config = self._configs.get(server)
        if config is None or not config.allows(role, tool):
            return RemoteAnswer(f"the {role} may not call {tool} of {server}.", ok=False)
        place = self._place(client, config)
        place.users += 1
        try:
            connection = await self._connected(place)
            if tool not in place.shown:
                return RemoteAnswer(_withdrawn(place, tool), ok=False)
            return await connection.call(tool, arguments)
        except ServerFailedError as error:
            await self._failed(place, str(error))
            return RemoteAnswer(f"The server {server} failed: {error}.", ok=False)
        except MantaError as error:
            return RemoteAnswer(f"The server {server} cannot be used: {error}", ok=False)
        finally:
            place.users -= 1
            place.used = time.monotonic()

    async def close(self) -> None:
        if self._watch:
            self._watch.cancel()
            await asyncio.wait({self._watch})
        places, self._places = list(self._places.values()), {}
        async with asyncio.TaskGroup() as group:
            for place in places:
                group.create_task(self._stop(place))

    # --- pieces ----------------------------------------------------------------------------------

    async def _offered(self, client: str, config: ServerConfig, role: str) -> Offer:
        place = self._place(client, config)
        place.users += 1
        try:
            await self._connected(place, anew=True)
        except ServerFailedError as error:
            await self._failed(place, str(error))
            return Offer(troubles=(f"MCP server {config.name}: {error}",))
        except MantaError as error:
            return Offer(troubles=(f"MCP server {config.name}: {error}",))
        finally:
            place.users -= 1
            place.used = time.monotonic()
        tools = [tool for tool in place.shown.values() if config.allows(role, tool.name)]
        return Offer(tuple(tools), _warning(place))

    async def _connected(self, place: _Place, *, anew: bool = False) -> Connection:
        """A conversation that is alive. Its tools are looked at when it begins, when the server
        says that they have changed, and `anew` when somebody is about to be shown them."""
        async with place.turn:
            connection = place.connection
            if connection is None or not connection.is_alive:
                connection = place.connection = await self._begun(place)
                anew = True
            if anew or connection.has_news:
                tools = await connection.tools()
                changed = self._pins.changed(place.config.identity, tools)
                place.shown = {tool.name: tool for tool in tools if tool.name not in changed}
                place.withheld = tuple(sorted(changed))
            return connection

    async def _begun(self, place: _Place) -> Connection:
        await self._stop(place)
        if (wait := place.not_before - time.monotonic()) > 0:
            raise ServerFailedError(f"{place.why} (tried again in {wait:.0f} s)")
        connection = Connection(place.config, self._open_pipe)
        await connection.start()
        place.failures = 0
        self._keep_watch()
        return connection

    async def _failed(self, place: _Place, why: str) -> None:
        """Leave it alone for a while, unless that is being done already."""
        if place.not_before > time.monotonic():
            return
        place.why = why
        wait = BACKOFF_S[min(place.failures, len(BACKOFF_S) - 1)]
        place.failures += 1
        place.not_before = time.monotonic() + wait
        await self._stop(place)

    async def _stop(self, place: _Place) -> None:
        connection, place.connection = place.connection, None
        if connection is not None:
            await connection.close()

    def _place(self, client: str, config: ServerConfig) -> _Place:
        return self._places.setdefault((client, config.name), _Place(config))

    def _keep_watch(self) -> None:
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._end_idle())

    async def _end_idle(self) -> None:
        while self._places:
            await asyncio.sleep(self._idle_s / 4)
            for key, place in list(self._places.items()):
                if not place.users and time.monotonic() - place.used > self._idle_s:
                    del self._places[key]
                    await self._stop(place)


def _warning(place: _Place) -> tuple[str, ...]:
    if not place.withheld:
        return ()
    return (
        f"MCP server {place.config.name} describes {', '.join(place.withheld)} differently than "
        "when you first used it; not offered until you look and say "
        f"`manta tools --accept {place.config.name}`",
    )


def _withdrawn(place: _Place, tool: str) -> str:
    if tool in place.withheld:
        return (
            f"{tool} of {place.config.name} is not what it was when it was offered; a person has "
            "to look at it first."
        )
    return f"{place.config.name} offers no {tool} any more. It offers: {', '.join(place.shown)}."


class ClientServers:
    """A host as one run sees it."""

    def __init__(self, host: ServerHost, client: str = "") -> None:
        self._host, self._client = host, client

    async def offer(self, role: str) -> Offer:
        return await self._host.offer(self._client, role)

    async def call(
        self, role: str, server: str, tool: str, arguments: dict[str, Any]
    ) -> RemoteAnswer:
        return await self._host.call(self._client, role, server, tool, arguments)

    async def close(self) -> None:
        await self._host.close()
