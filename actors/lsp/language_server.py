"""One language's server over time: started when first asked, restarted when it dies, ended when
nobody asks."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from actors.lsp.documents import Documents
from actors.lsp.languages import Language
from actors.lsp.rpc import GoneError, Json, RpcError
from actors.lsp.session import Session
from actors.lsp.workspace import NoAnswerError, Workspace

CRASHES, WITHIN_S = 3, 300.0
"""So many crashes in so many seconds, and it is not started again for a while."""
ANSWERS_WITHIN_S = 30.0
_SETTLES_S = 0.4
"""A server that publishes diagnostics has said all once it is silent for so long."""
_STALE = -32801
"""The content was changed while the server was thinking: ask again."""


class ServerDiedError(NoAnswerError):
    """The server died while it was asked; asking again starts it anew."""


class LanguageServer:
    """Asks a language server questions; the questioner never sees it come and go."""

    def __init__(self, language: Language, workspace: Workspace) -> None:
        self.language = language
        self._workspace = workspace
        self._session: Session | None = None
        self._documents: Documents | None = None
        self._starting = asyncio.Lock()
        self._crashes: deque[float] = deque(maxlen=CRASHES)
        self._in_use = 0
        self._last_used = 0.0
        self._mourned: Session | None = None
        self._pulls = True

    @property
    def is_running(self) -> bool:
        return self._session is not None and not self._session.has_ended

    @asynccontextmanager
    async def ready(self) -> AsyncGenerator[Documents]:
        """The files as the server knows them, told of all that changed on disk.

        Raises:
            NoAnswerError: there is no such server, or it does not start.
            ServerDiedError: it died meanwhile.
        """
        self._in_use += 1
        try:
            documents = await self._running()
            try:
                await documents.sync()
                yield documents
            except GoneError:
                raise self._crashed() from None
        finally:
            self._in_use -= 1
            self._last_used = time.monotonic()

    async def ask(self, method: str, params: Json, *, timeout_s: float = ANSWERS_WITHIN_S) -> Json:
        """One question, within `ready`.

        Raises:
            NoAnswerError: the server has no answer, or none in time.
            GoneError: it died; `ready` makes a failure of that.
        """
        assert self._session
        for again in (True, False):
            try:
                return await self._session.request(method, params, timeout_s=timeout_s)
            except RpcError as error:
                if error.code == _STALE and again:
                    continue
                said = error.message.splitlines()[0][:300] if error.message else "no reason"
                raise NoAnswerError(f"the {self.language.name} server says: {said}") from None
            except TimeoutError:
                raise NoAnswerError(
                    f"the {self.language.name} server did not answer within {timeout_s:g} s"
                ) from None
        raise AssertionError("the second try returns or raises")

    async def diagnostics(self, uri: str, *, timeout_s: float) -> list[Json]:
        """What the server finds wrong with an open file.

        Raises:
            NoAnswerError: it does not say in time.
        """
        assert self._session
        deadline = time.monotonic() + timeout_s
        if self._pulls:
            params = {"textDocument": {"uri": uri}}
            try:
                found = await self._session.request(
                    "textDocument/diagnostic", params, timeout_s=timeout_s
                )
                return list(found.get("items") or []) if isinstance(found, dict) else []
            except RpcError:
                self._pulls = False  # it publishes instead
            except TimeoutError:
                raise self._slow(timeout_s) from None
        return await self._published(uri, deadline, timeout_s)

    async def _published(self, uri: str, deadline: float, timeout_s: float) -> list[Json]:
        assert self._session
        while self._session.published(uri) is None:
            left = deadline - time.monotonic()
            if left <= 0 or not await self._session.news(left):
                raise self._slow(timeout_s)
            if self._session.has_ended:
                raise GoneError("it has ended")
        while (left := deadline - time.monotonic()) > 0:
            if not await self._session.news(min(_SETTLES_S, left)) or self._session.has_ended:
                break
        return self._session.published(uri) or []

    def _slow(self, timeout_s: float) -> NoAnswerError:
        return NoAnswerError(f"the {self.language.name} server needs more than {timeout_s:g} s")

    async def stop_if_idle(self, idle_s: float) -> bool:
        """End the server if nobody asked for so long; whether it was ended."""
        if not self.is_running or self._in_use or time.monotonic() - self._last_used < idle_s:
            return False
        await self.close()
        return True

    async def close(self) -> None:
        """End the server; the next question starts it again."""
        session, self._session, self._documents = self._session, None, None
        if session is not None:
            await session.close()

    async def _running(self) -> Documents:
        async with self._starting:
            if self._session is not None and self._session.has_ended:
                self._crashed()
                await self.close()
            if self._session is None or self._documents is None:
                self._session = await self._start()
                self._documents = Documents(self._session, self._workspace)
            return self._documents

    async def _start(self) -> Session:
        name = self.language.name
        recent = [at for at in self._crashes if time.monotonic() - at < WITHIN_S]
        if len(recent) >= CRASHES:
            wait = WITHIN_S - (time.monotonic() - recent[0])
            raise NoAnswerError(
                f"the {name} server has crashed {CRASHES} times in a row and is left alone for "
                f"{wait:.0f} s. Use grep and read meanwhile."
            )
        program = self.language.program()
        if program is None:
            raise NoAnswerError(
                f"there is no language server for {name}: `{self.language.command[0]}` is not "
                f"installed here. To have it: {self.language.install or 'install it'}."
            )
        session = Session(self.language, self._workspace)
        try:
            await session.start(program)
        except (GoneError, RpcError, TimeoutError) as error:
            words = session.last_words
            await session.close()
            self._crashes.append(time.monotonic())
            why = f"{error or 'no answer'}" + (f"; its last words: {words}" if words else "")
            raise NoAnswerError(f"the {name} server does not start: {why}") from None
        except BaseException:
            await session.close()
            raise
        return session

    def _crashed(self) -> ServerDiedError:
        """Count the death of this session, once however many were asking."""
        session = self._session
        if session is not self._mourned:
            self._mourned = session
            self._crashes.append(time.monotonic())
        words = session.last_words if session else ""
        said = f"; its last words: {words}" if words else ""
        return ServerDiedError(f"the {self.language.name} server died{said}")
