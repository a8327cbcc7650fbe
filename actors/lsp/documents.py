"""What a language server has been told about the files. The disk is always right."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import PurePosixPath

from actors.lsp.session import Session
from actors.lsp.workspace import Stamp, Workspace

OPEN_AT_ONCE = 60
_CREATED, _CHANGED, _DELETED = 1, 2, 3


@dataclass(slots=True)
class _Open:
    version: int
    stamp: Stamp


class Documents:
    """Opens files for a server, and tells it what changed on disk since it was last asked."""

    def __init__(self, session: Session, workspace: Workspace) -> None:
        self._session, self._workspace = session, workspace
        language = session.language
        self._endings, self._projects = language.extensions, frozenset(language.projects)
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._known: dict[str, Stamp] | None = None
        self._turn = asyncio.Lock()

    def concerns(self, name: str) -> bool:
        """Whether a file of this name matters to the server."""
        return PurePosixPath(name).suffix in self._endings or name in self._projects

    @property
    def known(self) -> list[str]:
        """The source files there are, as of the last `sync`."""
        return [p for p in self._known or {} if PurePosixPath(p).suffix in self._endings]

    @property
    def opened(self) -> list[str]:
        """The files that were looked at, the latest last."""
        return list(self._open)

    async def sync(self) -> list[str]:
        """Tell of every file that was made, changed or removed; returns their paths."""
        async with self._turn:
            now = await asyncio.to_thread(self._workspace.scan, self.concerns)
            before, self._known = self._known, now
            if before is None:
                return []
            changed = [p for p in now.keys() | before.keys() if now.get(p) != before.get(p)]
            for path in changed:
                await self._reread(path, now.get(path))
            events = [
                {"uri": self._workspace.uri(path), "type": _kind(path, before, now)}
                for path in changed
            ]
            if events:
                await self._session.notify("workspace/didChangeWatchedFiles", {"changes": events})
            return sorted(changed)

    async def open(self, path: str) -> str:
        """Have the server know the file's text as it is; returns its URI.

        Raises:
            NoAnswerError: there is no such file.
        """
        async with self._turn:
            uri = self._workspace.uri(path)
            stamp = await asyncio.to_thread(self._stamp, path)
            known = self._open.get(path)
            if known is not None:
                self._open.move_to_end(path)
                if known.stamp != stamp:
                    await self._reread(path, stamp)
                return uri
            text = await asyncio.to_thread(self._workspace.read, path)
            self._open[path] = _Open(1, stamp)
            kind = self._endings.get(PurePosixPath(path).suffix, "plaintext")
            item = {"uri": uri, "languageId": kind, "version": 1, "text": text}
            self._session.forget_published(uri)
            await self._session.notify("textDocument/didOpen", {"textDocument": item})
            while len(self._open) > OPEN_AT_ONCE:
                await self._close(next(iter(self._open)))
            return uri

    def _stamp(self, path: str) -> Stamp:
        try:
            info = self._workspace.place(path).stat()
        except OSError:
            return (0, 0)
        return (info.st_mtime_ns, info.st_size)

    async def _reread(self, path: str, stamp: Stamp | None) -> None:
        known = self._open.get(path)
        if known is None or known.stamp == stamp:
            return
        if stamp is None or stamp == (0, 0):
            await self._close(path)
            return
        text = await asyncio.to_thread(self._workspace.read, path)
        known.version, known.stamp = known.version + 1, stamp
        uri = self._workspace.uri(path)
        self._session.forget_published(uri)
        changed = {
            "textDocument": {"uri": uri, "version": known.version},
            "contentChanges": [{"text": text}],
        }
        await self._session.notify("textDocument/didChange", changed)

    async def _close(self, path: str) -> None:
        del self._open[path]
        document = {"uri": self._workspace.uri(path)}
        await self._session.notify("textDocument/didClose", {"textDocument": document})


def _kind(path: str, before: dict[str, Stamp], now: dict[str, Stamp]) -> int:
    if path not in before:
        return _CREATED
    return _CHANGED if path in now else _DELETED
