"""Code questions answered beside the code: the MCP server of `actors.lsp`, in the sandbox.

It is spoken to without the `mcp` package, whose 48 MB every player's process would have to hold.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from actors.lsp.definitions import definitions
from actors.lsp.languages import LANGUAGES, Language
from actors.lsp.rpc import MCP, GoneError, Json, Peer, RpcError
from actors.sandbox.protocol import (
    ExecResult,
    Process,
    Sandbox,
    SandboxError,
    SandboxUnavailableError,
)
from actors.tools.room import room_in
from actors.tools.slots import Slot, Slots
from actors.tools.text import decode, neutralise, one_line
from actors.tools.tool import ToolDefinition, ToolResult, Toolset
from actors.tools.toolset import unknown_tool
from actors.tools.wrappers import WrapperToolset

PROGRAM = ("python3", "-P", "-m", "actors.lsp")
CALL_S, START_S, CHECK_S, LIST_S = 60.0, 20.0, 20.0, 20.0
EDIT_S = 2.0
"""How long an edit waits to hear what it broke."""
IDLE_S = 180.0
_INBOX = 80_000_000
_CRASHES = 3
_READ_S = 60.0
CHANGES = {"rename_symbol"}
_VERSION = "2025-11-25"
Note = Callable[[str], Awaitable[None]]
"""Tells people something."""


@dataclass(frozen=True, slots=True)
class LanguageServers:
    """Whether agents get code questions, and how many servers a machine bears.

    `least` is how many source files a repository has before it is worth it.
    """

    slots: Slots
    least: int


async def language_tools(
    sandbox: Sandbox, servers: LanguageServers, note: Note | None = None
) -> "LanguageToolset | None":
    """The tools, where the workspace has files enough of a language whose server is there.

    `note` is told which language has files enough, and no server.
    """
    listed = await sandbox.exec(["git", "ls-files", "-z"], timeout_s=LIST_S, max_output=4_000_000)
    paths = listed.stdout.decode("utf-8", "replace").split("\0")
    endings = Counter(PurePosixPath(path).suffix for path in paths)
    if sum(endings.values()) < servers.least:
        return None
    known = await sandbox.exec(
        [*PROGRAM, "--check"], timeout_s=CHECK_S, env=_variables(await room_in(sandbox))
    )
    found = _found(known)
    wanted = [
        each for each in LANGUAGES if sum(endings[e] for e in each.extensions) >= servers.least
    ]
    if note and (lacking := [each for each in wanted if each.name not in found]):
        await note(_lacking(lacking, known))
    served = frozenset(
        ending for each in wanted if each.name in found for ending in each.extensions
    )
    return LanguageToolset(sandbox, servers.slots, served) if served else None


def _variables(room: str) -> dict[str, str]:
    return {"PYTHONPATH": room, "PYTHONDONTWRITEBYTECODE": "1"}


def _found(known: ExecResult) -> frozenset[str]:
    """Names of the languages whose server is there, if the sandbox can say so."""
    if not known.ok:
        return frozenset()
    try:
        return frozenset(
            str(each["language"]) for each in json.loads(known.stdout) if each["program"]
        )
    except (ValueError, TypeError, KeyError, RecursionError):
        return frozenset()


def _lacking(lacking: Sequence[Language], known: ExecResult) -> str:
    """Why there is no server, and what to do."""
    names = ", ".join(each.name for each in lacking)
    why = "; ".join(f"{each.command[0]} is missing: {each.install}" for each in lacking)
    if not known.ok:
        said = one_line(neutralise(decode(known.stderr[-400:])), 200)
        why = f"python3 of version 3.11 or newer is missing ({said or known.ended})"
    return f"agents have no language server for {names}: in the sandbox {why}"


class LanguageToolset:
    """The tools of `actors.lsp`. The server starts with the first call and ends when idle."""

    def __init__(self, sandbox: Sandbox, slots: Slots, served: frozenset[str]) -> None:
        self.served = served
        """Endings of the files that something is known about."""
        self._sandbox, self._slots = sandbox, slots
        self._server: _Server | None = None
        self._starting: asyncio.Task[_Server] | None = None
        self._crashes = 0
        self._idle: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()

    async def definitions(self) -> list[ToolDefinition]:
        return [
            ToolDefinition(tool["name"], tool["description"], tool["inputSchema"])
            for tool in definitions()
        ]

    async def call(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        known = [tool["name"] for tool in definitions()]
        if name not in known:
            return unknown_tool(name, known)
        try:
            try:
                return await self.ask(name, arguments, CALL_S)
            except GoneError:
                if name in CHANGES or not self._crashes:
                    raise
                return await self.ask(name, arguments, CALL_S)  # by a new server
        except TimeoutError:
            return _failed(f"there was no answer within {CALL_S:g} s")
        except (GoneError, RpcError) as error:
            return _failed(str(error))

    async def ask(self, name: str, arguments: Mapping[str, Any], timeout_s: float) -> ToolResult:
        """One call, its start included in the time.

        Raises:
            TimeoutError: no answer; a server that is starting goes on starting.
            GoneError: there is no server, and why.
            RpcError: the call was no call.
            SandboxLostError: the sandbox is gone.
        """
        self._stay()
        async with asyncio.timeout(timeout_s):
            server = await self._running()
            try:
                said = await server.call(name, arguments, timeout_s)
            except GoneError:
                await self._mourn(server)
                raise
        self._crashes = 0
        return _result(said)

    async def close(self) -> None:
        if self._idle:
            self._idle.cancel()
        if self._starting:
            with suppress(GoneError, RpcError, SandboxUnavailableError, asyncio.CancelledError):
                self._starting.cancel()
                await self._starting
            self._starting = None
        if self._server:
            server, self._server = self._server, None
            await server.close()
        if self._ending:
            await asyncio.wait(self._ending)

    async def _running(self) -> "_Server":
        if self._server:
            return self._server
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())
            self._starting.add_done_callback(lambda task: task.cancelled() or task.exception())
        starting = self._starting
        try:
            self._server = server = await asyncio.shield(starting)
        finally:
            if starting.done():
                self._starting = None
        return server

    async def _start(self) -> "_Server":
        if self._crashes >= _CRASHES:
            raise GoneError("the language server keeps dying; use grep and read")
        slot = self._slots.take()
        if slot is None:
            raise GoneError("this machine runs as many language servers as it may; use grep")
        try:
            room = _variables(await room_in(self._sandbox))
            command = [*PROGRAM, "--root", "."]
            process = await self._sandbox.spawn(command, env=room, max_output=_INBOX)
        except BaseException:
            slot.release()
            raise
        server = _Server(process, slot)
        try:
            await server.greet()
        except BaseException as error:
            await server.close()
            self._crashes += isinstance(error, GoneError)
            raise
        return server

    async def _mourn(self, server: "_Server") -> None:
        self._crashes += 1
        if self._server is server:
            self._server = None
        await server.close()

    def _stay(self) -> None:
        if self._idle:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(IDLE_S, self._leave)

    def _leave(self) -> None:
        """Nobody asked for long: give the memory back."""
        if self._server:
            server, self._server = self._server, None
            task = asyncio.create_task(_ended(server))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)


async def _ended(server: "_Server") -> None:
    """Ended, or out of reach: then it ends with its sandbox."""
    with suppress(SandboxError):
        await server.close()


class _Server:
    """A running server and the conversation with it."""

    def __init__(self, process: Process, slot: Slot) -> None:
        self._process, self._slot = process, slot
        self._peer = Peer(MCP, process.write)
        self._listening = asyncio.create_task(self._listen())

    async def greet(self) -> None:
        hello = {
            "protocolVersion": _VERSION,
            "capabilities": {},
            "clientInfo": {"name": "manta", "version": "0"},
        }
        await self._peer.request("initialize", hello, timeout_s=START_S)
        await self._peer.notify("notifications/initialized", {})

    async def call(self, name: str, arguments: Mapping[str, Any], timeout_s: float) -> Json:
        call = {"name": name, "arguments": dict(arguments)}
        return await self._peer.request("tools/call", call, timeout_s=timeout_s)

    async def close(self) -> None:
        """End it with all that it started."""
        self._listening.cancel()
        self._peer.end("it was ended")
        await asyncio.wait({self._listening})
        try:
            await self._process.kill()
        finally:
            self._slot.release()

    async def _listen(self) -> None:
        why = "the language server has ended"
        try:
            while True:
                data = await self._process.read(timeout_s=_READ_S)
                if data:
                    self._peer.feed(data)
                elif ended := await self._process.wait(timeout_s=0.0):
                    said = one_line(decode(ended.stderr[-400:]), 300)
                    why += f": {said}" if said else ""
                    return
        except GoneError as error:
            why = f"the language server made no sense: {error}"
        except SandboxError as error:
            why = f"the language server is out of reach: {error.what}"
        finally:
            self._peer.end(why)


class DiagnosedToolset(WrapperToolset):
    """What changes a file also says what is wrong with it now, if that is known soon enough."""

    def __init__(self, inner: Toolset, languages: LanguageToolset) -> None:
        super().__init__(inner)
        self._languages = languages

    async def call(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        result = await self._inner.call(name, arguments)
        served = [
            p for p in result.paths_written if PurePosixPath(p).suffix in self._languages.served
        ]
        if not result.ok or len(served) != 1:
            return result
        said = await self._errors(served[0])
        return replace(result, text=f"{result.text}\n\ndiagnostics: {said}") if said else result

    async def _errors(self, path: str) -> str:
        asked = {"path": path, "errors_only": True, "timeout_s": EDIT_S}
        try:
            found = await self._languages.ask("diagnostics", asked, EDIT_S)
        except (TimeoutError, GoneError, RpcError, SandboxUnavailableError):
            return ""
        return found.text if found.ok else ""


def _result(said: Json) -> ToolResult:
    parts: Sequence[Json] = said.get("content", ()) if isinstance(said, dict) else ()
    text = "\n".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))
    written = (said.get("structuredContent") or {}).get("written", ())
    paths = tuple(str(path) for path in written)
    return ToolResult(neutralise(text), ok=not said.get("isError"), paths_written=paths)


def _failed(why: str) -> ToolResult:
    return ToolResult(f"No answer: {neutralise(why)}.", ok=False)
