"""The tools: seven questions about code, answered in text that is short and exact."""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from actors.lsp.definitions import definitions, problem
from actors.lsp.documents import Documents
from actors.lsp.edits import Applied, apply, changed_by
from actors.lsp.language_server import LanguageServer, ServerDiedError
from actors.lsp.languages import Language
from actors.lsp.rpc import Json
from actors.lsp.symbols import (
    Finder,
    Symbol,
    chosen,
    plain,
    spot_in_line,
    symbols_in,
    word_at,
)
from actors.lsp.telling import definition_text, places_text, problems_text, symbols_text
from actors.lsp.workspace import NoAnswerError, Spot, Workspace

_IDENTIFIER = re.compile(r"[^\W\d][\w$]*")
_CHECKED_AT_ONCE = 20
_CHECK_S = 20.0
_COUNTED_S, _AGAIN_S = 5.0, 0.4
"""How long a server may leave out files that it knows uses in. Pyright counts files once it has not
been asked for a quarter of a second."""
_LEFT_TOLD = 20


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool answered."""

    text: str
    ok: bool = True
    written: tuple[str, ...] = ()
    """Files that were changed."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A place in a file, and who knows about it."""

    server: LanguageServer
    documents: Documents
    spot: Spot
    symbol: Symbol | None = None

    async def params(self) -> dict[str, Json]:
        uri = await self.documents.open(self.spot.path)
        position = {"line": self.spot.line, "character": self.spot.character}
        return {"textDocument": {"uri": uri}, "position": position}


class LanguageTools:
    """Answers calls about one root. Servers start when they are first needed."""

    def __init__(self, root: Path, languages: Sequence[Language]) -> None:
        self.workspace = Workspace(root)
        self.servers = [LanguageServer(language, self.workspace) for language in languages]
        self._definitions = {tool["name"]: tool for tool in definitions()}
        self._changed: dict[str, None] = {}
        """Files that changed since the start, the latest last."""
        self._tools: dict[str, Callable[[dict[str, Json]], Awaitable[Answer]]] = {
            "get_definition": self.get_definition,
            "find_references": self.find_references,
            "hover": self.hover,
            "document_symbols": self.document_symbols,
            "workspace_symbols": self.workspace_symbols,
            "diagnostics": self.diagnostics,
            "rename_symbol": self.rename_symbol,
        }

    async def call(self, name: str, arguments: Json) -> Answer:
        """One call. Whatever goes wrong is an answer."""
        if name not in self._tools:
            return Answer(
                f"There is no tool {name!r}. The tools are: {', '.join(self._tools)}.", ok=False
            )
        if wrong := problem(self._definitions[name], arguments):
            return Answer(f"The arguments are not valid: {wrong}", ok=False)
        try:
            try:
                return await self._tools[name](arguments)
            except ServerDiedError:
                return await self._tools[name](arguments)
        except NoAnswerError as failure:
            return Answer(str(failure), ok=False)

    async def stop_idle(self, idle_s: float) -> None:
        """End the servers that nobody asked for so long."""
        for server in self.servers:
            await server.stop_if_idle(idle_s)

    async def close(self) -> None:
        async with asyncio.TaskGroup() as group:
            for server in self.servers:
                group.create_task(server.close())

    # --- the tools -------------------------------------------------------------------------------

    async def get_definition(self, arguments: dict[str, Json]) -> Answer:
        async with self._asked(arguments) as asked:
            if asked.symbol is not None:
                return Answer(definition_text(self.workspace, [asked.symbol]))
            said = await asked.server.ask("textDocument/definition", await asked.params())
            spots = [self._spot(place) for place in _several(said)]
            if not spots:
                word = word_at(self.workspace, asked.spot) or "what stands there"
                raise NoAnswerError(f"no definition of {word} is known at {asked.spot}")
            symbols = [await self._around(asked, spot) for spot in spots]
            return Answer(definition_text(self.workspace, symbols))

    async def find_references(self, arguments: dict[str, Json]) -> Answer:
        async with self._asked(arguments) as asked:
            name = await self._shown_with_its_uses(asked)
            return Answer(places_text(self.workspace, await self._uses(asked), name))

    async def hover(self, arguments: dict[str, Json]) -> Answer:
        async with self._asked(arguments) as asked:
            said = await asked.server.ask("textDocument/hover", await asked.params())
            text = _plain_text((said or {}).get("contents")).strip()
            if not text:
                raise NoAnswerError(f"nothing is known of what stands at {asked.spot}")
            return Answer(f"{asked.spot}\n{text}")

    async def document_symbols(self, arguments: dict[str, Json]) -> Answer:
        path = self._path(arguments["path"])
        async with self._for_file(path) as (server, documents):
            return Answer(symbols_text(await symbols_in(server, documents, path), path))

    async def workspace_symbols(self, arguments: dict[str, Json]) -> Answer:
        query, found = str(arguments["query"]).strip(), list[Symbol]()
        if not query:
            raise NoAnswerError("the query is empty; give part of a name")
        for server in await self._present():
            async with server.ready() as documents:
                found += await Finder(server, documents, self.workspace).everywhere(query)
        if not found:
            raise NoAnswerError(f"no symbol's name contains {query!r}")
        exact = sorted(found, key=lambda symbol: plain(symbol.name) != query)
        return Answer(symbols_text(exact, ""))

    async def diagnostics(self, arguments: dict[str, Json]) -> Answer:
        timeout_s = float(arguments.get("timeout_s", _CHECK_S))
        if "path" in arguments:
            paths = [self._path(arguments["path"])]
        else:
            paths = await self._looked_at()
        problems: dict[str, list[Json]] = {}
        for path in paths:
            async with self._for_file(path) as (server, documents):
                uri = await documents.open(path)
                problems[path] = await server.diagnostics(uri, timeout_s=timeout_s)
        return Answer(problems_text(problems, errors_only=bool(arguments.get("errors_only"))))

    async def rename_symbol(self, arguments: dict[str, Json]) -> Answer:
        new = str(arguments["new_name"])
        if not _IDENTIFIER.fullmatch(new):
            raise NoAnswerError(f"{new!r} is no plain identifier")
        async with self._asked(arguments) as asked:
            old = await self._shown_with_its_uses(asked)
            edit, left = await self._edit_of_all(asked, new)
            done = await asyncio.to_thread(apply, self.workspace, edit)
            await self._heed(asked.documents)
            text = _renamed(old, new, done, left)
            return Answer(text, written=(*done.lines, *done.moved.values()))

    async def _edit_of_all(self, asked: _Asked, new: str) -> tuple[Json, list[Spot]]:
        """The server's edit, and uses in files that it leaves out.

        One that was just started has not counted the project's files, and would rename within a
        single one: it is asked again for a while.
        """
        ours, uses = set(asked.documents.known), list[Spot]()
        with suppress(NoAnswerError):  # some can rename and cannot tell
            uses = [spot for spot in await self._uses(asked) if spot.path in ours]
        params = {**await asked.params(), "newName": new}
        deadline = time.monotonic() + _COUNTED_S
        while True:
            edit = await asked.server.ask("textDocument/rename", params)
            changed = changed_by(self.workspace, edit)
            left = [spot for spot in uses if spot.path not in changed]
            if not left or time.monotonic() > deadline:
                return edit, left
            await asyncio.sleep(_AGAIN_S)

    async def _uses(self, asked: _Asked) -> list[Spot]:
        """Where the server knows the name to stand, its definition among them."""
        params = {**await asked.params(), "context": {"includeDeclaration": True}}
        said = await asked.server.ask("textDocument/references", params)
        return sorted({self._spot(place) for place in _several(said)})

    async def _shown_with_its_uses(self, asked: _Asked) -> str:
        """The word that stands there, whose uses the server then knows."""
        word = word_at(self.workspace, asked.spot)
        if word:
            await Finder(asked.server, asked.documents, self.workspace).show_uses(word)
        return word

    # --- finding out what is meant ---------------------------------------------------------------

    @asynccontextmanager
    async def _asked(self, arguments: dict[str, Json]) -> AsyncGenerator[_Asked]:
        """The place that a call is about: by name, or by file and line."""
        name, line = str(arguments.get("symbol", "")).strip(), arguments.get("line")
        if "path" in arguments:
            path = self._path(arguments["path"])
            async with self._for_file(path) as (server, documents):
                if line is not None:
                    column = int(arguments.get("column", 0))
                    spot = spot_in_line(self.workspace, path, int(line), column, name)
                    yield _Asked(server, documents, spot)
                    return
                yield await self._in_file(server, documents, path, name)
            return
        if not name:
            raise NoAnswerError("say which symbol: give `symbol`, or `path` and `line`")
        if line is not None:
            raise NoAnswerError("`line` needs `path`")
        async with self._anywhere(name) as asked:
            yield asked

    async def _in_file(
        self, server: LanguageServer, documents: Documents, path: str, name: str
    ) -> _Asked:
        """A name that a file defines, or else its first use there."""
        if not name:
            raise NoAnswerError("say which symbol of the file: give `symbol` or `line`")
        found = await Finder(server, documents, self.workspace).find(name, path)
        if not found:
            word = re.compile(rf"(?<![\w$]){re.escape(plain(name))}(?![\w$])")
            for number, text in enumerate(self.workspace.lines(path), 1):
                if word.search(text):
                    spot = spot_in_line(self.workspace, path, number, 0, name)
                    return _Asked(server, documents, spot)
        near = [] if found else await Finder(server, documents, self.workspace).near(name)
        symbol = chosen(found, name, near, path)
        return _Asked(server, documents, symbol.spot, symbol)

    @asynccontextmanager
    async def _anywhere(self, name: str) -> AsyncGenerator[_Asked]:
        """A name that some file defines."""
        found: list[tuple[LanguageServer, Symbol]] = []
        near: list[str] = []
        for server in await self._present():
            async with server.ready() as documents:
                finder = Finder(server, documents, self.workspace)
                here = await finder.find(name, None)
                found += [(server, symbol) for symbol in here]
                near += [] if found else await finder.near(name)
        near = list(dict.fromkeys(near))
        symbol = chosen([symbol for _, symbol in found], name, near, "the project")
        server = next(server for server, each in found if each is symbol)
        async with server.ready() as documents:
            yield _Asked(server, documents, symbol.spot, symbol)

    @asynccontextmanager
    async def _for_file(self, path: str) -> AsyncGenerator[tuple[LanguageServer, Documents]]:
        ending = PurePosixPath(path).suffix
        server = next((s for s in self.servers if ending in s.language.extensions), None)
        if server is None:
            raise NoAnswerError(f"no language server is configured for {ending or path}")
        async with server.ready() as documents:
            await self._heed(documents)
            yield server, documents

    async def _heed(self, documents: Documents) -> None:
        """Remember which files changed on disk."""
        for path in await documents.sync():
            self._changed.pop(path, None)
            self._changed[path] = None

    async def _present(self) -> list[LanguageServer]:
        """The servers of the languages that the root holds files of.

        Raises:
            NoAnswerError: none is, or can be had.
        """
        by_ending = {e: server for server in self.servers for e in server.language.extensions}
        files = await asyncio.to_thread(
            self.workspace.scan, lambda name: PurePosixPath(name).suffix in by_ending
        )
        wanted = {id(s): s for p in files if (s := by_ending.get(PurePosixPath(p).suffix))}
        present = list(wanted.values())
        able = [server for server in present if server.language.program() is not None]
        if not present:
            raise NoAnswerError("there is no source file here that a language server knows")
        return able or present

    async def _looked_at(self) -> list[str]:
        for server in [each for each in self.servers if each.is_running]:
            async with server.ready() as documents:
                await self._heed(documents)
                self._changed = dict.fromkeys(documents.opened) | self._changed
        here = [path for path in self._changed if (self.workspace.root / path).is_file()]
        endings = {ending for s in self.servers for ending in s.language.extensions}
        here = [path for path in here if PurePosixPath(path).suffix in endings]
        if not here:
            raise NoAnswerError("no file was changed or looked at yet; give `path`")
        return here[-_CHECKED_AT_ONCE:]

    def _path(self, given: Json) -> str:
        place = self.workspace.place(str(given))
        if not place.is_file():
            raise NoAnswerError(f"there is no file {given}")
        return self.workspace.name(place)

    def _spot(self, place: Json) -> Spot:
        uri = place.get("targetUri") or place["uri"]
        span = place.get("targetSelectionRange") or place["range"]
        start = span["start"]
        return Spot(self.workspace.path_of(str(uri)), start["line"], start["character"])

    async def _around(self, asked: _Asked, spot: Spot) -> Symbol:
        """The symbol that begins at a place, for its extent; a line where nothing more is known."""
        bare = Symbol(word_at(self.workspace, spot), "definition", spot, spot.line, spot.line)
        if spot.path.startswith("/") or not (self.workspace.root / spot.path).is_file():
            return bare
        inside = await symbols_in(asked.server, asked.documents, spot.path)
        return next((s for s in inside if s.spot.line == spot.line and s.name), bare)


def _several(said: Json) -> list[Json]:
    if said is None:
        return []
    return list(said) if isinstance(said, list) else [said]


def _plain_text(contents: Json) -> str:
    if isinstance(contents, list):
        return "\n".join(_plain_text(each) for each in contents)
    if isinstance(contents, dict):
        return str(contents.get("value", ""))
    return str(contents or "")


def _renamed(old: str, new: str, done: Applied, left: Sequence[Spot]) -> str:
    where = [
        f"  {path}: {', '.join(str(line + 1) for line in lines[:30])}"
        for path, lines in sorted(done.lines.items())
    ]
    where += [f"  {before} is now {after}" for before, after in done.moved.items()]
    files = f"{len(done.lines)} file{'s' * (len(done.lines) != 1)}"
    head = f"Renamed {old} to {new}: {done.places} place{'s' * (done.places != 1)} in {files}."
    if left:
        where.append("Not renamed, though the server knows these uses; look at them:")
        where += [f"  {spot}" for spot in left[:_LEFT_TOLD]]
    return "\n".join([head, *where])
