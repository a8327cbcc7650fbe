"""What agents get besides the tools of their role: language servers, and servers of strangers."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from actors.mcp.config import ServerConfig
from actors.mcp.protocol import ToolServers
from actors.sandbox.protocol import Process, Sandbox, SandboxUnavailableError
from actors.tools.languages import (
    CHANGES,
    DiagnosedToolset,
    LanguageServers,
    LanguageToolset,
    Note,
    language_tools,
)
from actors.tools.remote import RemoteToolset
from actors.tools.text import decode, neutralise, one_line
from actors.tools.tool import Toolset
from actors.tools.toolset import CombinedToolset
from actors.tools.wrappers import FilteredToolset

_HOST = "actors.mcp.host"
"""Loaded only where a repository's servers are trusted: it holds the `mcp` package."""
_INBOX = 40_000_000
_READ_S = 60.0


@dataclass(frozen=True, slots=True)
class Equipment:
    """How a player's process comes by further tools."""

    languages: LanguageServers | None = None
    servers: ToolServers | None = None
    """A person's own servers: they run outside of the sandbox, in another process."""
    repository: tuple[ServerConfig, ...] = ()
    """The repository's servers, which a person trusts: they run inside the sandbox."""

    async def added_to(self, tools: Toolset, sandbox: Sandbox, role: str, note: Note) -> "Equipped":
        """The role's tools and these. Whatever is not there is left out, and told of by `note`."""
        parts: list[Toolset] = [tools]
        languages = await self._languages(sandbox, note)
        if languages is not None:
            parts = [DiagnosedToolset(tools, languages), _allowed(languages, role)]
        outside: list[RemoteToolset] = []
        if self.servers is not None:
            outside = [await _offered(self.servers, role, note)]
        inside: list[Toolset] = []
        if any(config.roles.get(role) for config in self.repository):
            inside = [await self._inside(sandbox, role, note)]
        everything = [*parts, *inside, *outside]
        whole = everything[0] if len(everything) == 1 else CombinedToolset(*everything)
        return Equipped(whole, lambda name: any(name in each for each in outside))

    async def _languages(self, sandbox: Sandbox, note: Note) -> LanguageToolset | None:
        if self.languages is None:
            return None
        try:
            return await language_tools(sandbox, self.languages, note)
        except SandboxUnavailableError:
            return None

    async def _inside(self, sandbox: Sandbox, role: str, note: Note) -> Toolset:
        room = importlib.import_module(_HOST)

        async def open_pipe(config: ServerConfig) -> SandboxPipe:
            return await SandboxPipe.open(sandbox, config)

        host: ToolServers = room.ClientServers(
            room.ServerHost(self.repository, open_pipe=open_pipe)
        )
        return _Ending(await _offered(host, role, note), host)


@dataclass(frozen=True, slots=True)
class Equipped:
    """A toolset, and which of its tools act outside of the sandbox."""

    toolset: Toolset
    leaves_sandbox: Callable[[str], bool]


async def _offered(servers: ToolServers, role: str, note: Note) -> RemoteToolset:
    offer = await servers.offer(role)
    for trouble in offer.troubles:
        await note(one_line(neutralise(trouble), 500))
    return RemoteToolset(servers, role, offer.tools)


def _allowed(languages: LanguageToolset, role: str) -> Toolset:
    """Only a coder changes anything."""
    if role == "coder":
        return languages
    return FilteredToolset(languages, lambda name: name not in CHANGES)


class _Ending(CombinedToolset):
    """Ends its servers when the conversation ends: they live in the conversation's sandbox."""

    def __init__(self, tools: Toolset, servers: ToolServers) -> None:
        super().__init__(tools)
        self._servers = servers

    async def close(self) -> None:
        await super().close()
        await self._servers.close()


class SandboxPipe:
    """A server inside a sandbox."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @classmethod
    async def open(cls, sandbox: Sandbox, config: ServerConfig) -> "SandboxPipe":
        """Start it in the workspace."""
        command: Sequence[str] = config.command
        env, cwd = config.env, config.cwd or "."
        return cls(await sandbox.spawn(command, cwd=cwd, env=env, max_output=_INBOX))

    async def read(self) -> bytes:
        while not (data := await self._process.read(timeout_s=_READ_S)):
            if await self._process.wait(timeout_s=0.0):
                return b""
        return data

    async def write(self, data: bytes) -> None:
        await self._process.write(data)

    async def close(self) -> str:
        await self._process.kill()
        ended = await self._process.wait(timeout_s=1.0)
        return decode(ended.stderr[-2_000:]) if ended else ""
