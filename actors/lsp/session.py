"""One running language server: started, greeted, asked, ended."""

import asyncio
import os
import signal
from collections import deque
from contextlib import suppress
from typing import ClassVar

from actors.lsp.languages import Language
from actors.lsp.rpc import LSP, METHOD_NOT_FOUND, GoneError, Json, Peer, RpcError
from actors.lsp.workspace import Workspace

_STARTS_WITHIN_S = 30.0
_ENDS_WITHIN_S = 2.0
_WORDS = 20
_CHUNK = 65_536


class Session:
    """A language server's process and the conversation with it."""

    TOLD: ClassVar[Json] = {
        "general": {"positionEncodings": ["utf-16"]},
        "window": {"workDoneProgress": True},
        "workspace": {
            "configuration": True,
            "workspaceFolders": True,
            "didChangeWatchedFiles": {"dynamicRegistration": True},
            "workspaceEdit": {"documentChanges": True, "resourceOperations": ["rename"]},
        },
        "textDocument": {
            "definition": {"linkSupport": True},
            "diagnostic": {"dynamicRegistration": True},
            "documentSymbol": {"hierarchicalDocumentSymbolSupport": True},
            "hover": {"contentFormat": ["plaintext", "markdown"]},
            "publishDiagnostics": {"versionSupport": True},
            "rename": {"prepareSupport": True},
            "synchronization": {"didSave": True},
        },
    }
    """What we can do, as told to every server."""

    def __init__(self, language: Language, workspace: Workspace) -> None:
        self.language, self._workspace = language, workspace
        self._peer = Peer(LSP, self._send, self._told)
        self._process: asyncio.subprocess.Process | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._words: deque[str] = deque(maxlen=_WORDS)
        self._published: dict[str, list[Json]] = {}
        self._news = asyncio.Event()
        self.has_ended = False

    async def start(self, program: str) -> None:
        """Start it and exchange greetings.

        Raises:
            GoneError: it cannot be started, or ended at once.
            TimeoutError: it does not answer.
        """
        # Where this module was imported from is none of the project's business.
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        pipe = asyncio.subprocess.PIPE
        try:
            self._process = await asyncio.create_subprocess_exec(
                program, *self.language.command[1:], stdin=pipe, stdout=pipe, stderr=pipe,
                cwd=self._workspace.root, env=env, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise GoneError(f"it cannot be started: {error}") from None
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._overhear())]
        uri = self._workspace.root.as_uri()
        folders = [{"uri": uri, "name": self._workspace.root.name}]
        greeting = {
            "processId": os.getpid(),
            "clientInfo": {"name": "manta"},
            "rootUri": uri,
            "rootPath": str(self._workspace.root),
            "workspaceFolders": folders,
            "capabilities": self.TOLD,
            "initializationOptions": self.language.options,
        }
        await self._peer.request("initialize", greeting, timeout_s=_STARTS_WITHIN_S)
        await self.notify("initialized", {})
        if self.language.settings:
            changed = {"settings": self.language.settings}
            await self.notify("workspace/didChangeConfiguration", changed)

    async def request(self, method: str, params: Json, *, timeout_s: float) -> Json:
        """Ask the server. Raises what `Peer.request` raises."""
        return await self._peer.request(method, params, timeout_s=timeout_s)

    async def notify(self, method: str, params: Json) -> None:
        await self._peer.notify(method, params)

    def published(self, uri: str) -> list[Json] | None:
        """The diagnostics it told of last, of its own accord; None if it never did."""
        return self._published.get(uri)

    def forget_published(self, uri: str) -> None:
        self._published.pop(uri, None)

    async def news(self, timeout_s: float) -> bool:
        """Wait until it publishes something; False if it does not."""
        self._news.clear()
        try:
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            return False
        return True

    @property
    def last_words(self) -> str:
        """What it wrote to stderr last."""
        return " / ".join(word for word in self._words if word.strip())[-400:]

    async def close(self) -> None:
        """End it with all its children, politely if it listens."""
        process = self._process
        if process is not None and not self.has_ended:
            with suppress(RpcError, GoneError, TimeoutError):
                await self._peer.request("shutdown", None, timeout_s=_ENDS_WITHIN_S)
                await self.notify("exit", None)
                await asyncio.wait(self._tasks, timeout=_ENDS_WITHIN_S)
        self._kill()
        if self._tasks:  # they read to the end, which closes the pipes
            await asyncio.wait(self._tasks, timeout=_ENDS_WITHIN_S)
        for task in self._tasks:
            task.cancel()
        if process is not None:
            await process.wait()

    def _kill(self) -> None:
        """Servers are wrappers around others, and only the group has them all."""
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def _send(self, data: bytes) -> None:
        assert self._process
        assert self._process.stdin
        self._process.stdin.write(data)
        await self._process.stdin.drain()

    async def _listen(self) -> None:
        assert self._process
        assert self._process.stdout
        why = "it has ended"
        try:
            while data := await self._process.stdout.read(_CHUNK):
                self._peer.feed(data)
        except GoneError as error:
            why = str(error)
            self._kill()
        finally:
            self.has_ended = True
            self._peer.end(why)
            self._news.set()

    async def _overhear(self) -> None:
        assert self._process
        assert self._process.stderr
        while data := await self._process.stderr.read(_CHUNK):
            self._words.extend(data.decode("utf-8", "replace").splitlines()[-_WORDS:])

    async def _told(self, method: str, params: Json) -> Json:
        """What the server asks or tells us."""
        match method:
            case "textDocument/publishDiagnostics":
                self._published[str(params["uri"])] = list(params["diagnostics"])
                self._news.set()
            case "workspace/configuration":
                return [self._section(item.get("section")) for item in params["items"]]
            case "workspace/workspaceFolders":
                root = self._workspace.root
                return [{"uri": root.as_uri(), "name": root.name}]
            case "workspace/applyEdit":
                return {"applied": False, "failureReason": "only an asked-for rename changes files"}
            case "client/registerCapability" | "client/unregisterCapability":
                return None
            case "window/workDoneProgress/create" | "window/showMessageRequest":
                return None
            case _ if not method.endswith("/refresh"):
                raise RpcError(METHOD_NOT_FOUND, f"there is no method {method}")
            case _:
                return None
        return None

    def _section(self, section: Json) -> Json:
        value = self.language.settings
        for part in str(section).split(".") if section else ():
            value = value.get(part) if isinstance(value, dict) else None
        return value
