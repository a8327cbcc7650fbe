"""From a name to the place where it is defined."""

import asyncio
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches

from actors.lsp.documents import Documents
from actors.lsp.language_server import LanguageServer
from actors.lsp.rpc import Json
from actors.lsp.workspace import NoAnswerError, Spot, Workspace, from_units, to_units

_FILES_ASKED = 25
"""Files whose symbols are asked for when looking for one name."""
_USERS_SHOWN = 40
"""Files that mention a name, opened when its uses are asked for; fewer than are kept open."""
_NEAR = 5
_LISTED = 20
_KINDS = (
    "", "file", "module", "namespace", "package", "class", "method", "property", "field",
    "constructor", "enum", "interface", "function", "variable", "constant", "string", "number",
    "boolean", "array", "object", "key", "null", "enum member", "struct", "event", "operator",
    "type parameter",
)  # fmt: skip
_DEFINING = (
    rb"\b(?:def|class|function|func|fn|type|interface|struct|enum|trait|union|module|namespace|"
    rb"mod|const|let|var|static|record|object|macro_rules!|#define)\b[^\n]{0,80}?\b%b\b"
    rb"|^[ \t]*(?:export[ \t]+|public[ \t]+|private[ \t]+|async[ \t]+|static[ \t]+)*"
    rb"%b[ \t]*(?:[:=(<])|\b%b[ \t]*\([^;\n]*\)[^;\n]*\{"
)
"""How a line that defines a name may look; only decides which files are asked first."""
_IDENTIFIER = re.compile(r"[^\W\d]\w*")


@dataclass(frozen=True, slots=True)
class Symbol:
    """Something defined in a file."""

    name: str
    """Qualified within the file, such as `Account.close`."""
    kind: str
    spot: Spot
    """Where its name stands."""
    first: int
    last: int
    """The lines it spans, from 0."""

    def __str__(self) -> str:
        return f"{self.spot}  {self.kind} {self.name}"


def kind_of(number: Json) -> str:
    """The protocol's symbol kind in words."""
    return _KINDS[number] if isinstance(number, int) and 0 < number < len(_KINDS) else "symbol"


async def symbols_in(server: LanguageServer, documents: Documents, path: str) -> list[Symbol]:
    """What a file defines, outermost first."""
    uri = await documents.open(path)
    said = await server.ask("textDocument/documentSymbol", {"textDocument": {"uri": uri}})
    return list(_flat(said or (), path, ""))


def _flat(nodes: Iterable[Json], path: str, above: str) -> Iterator[Symbol]:
    for node in nodes:
        whole = node.get("range") or node["location"]["range"]
        place = (node.get("selectionRange") or whole)["start"]
        outer = above or str(node.get("containerName") or "")
        name = f"{outer}.{node['name']}" if outer else str(node["name"])
        spot = Spot(path, place["line"], place["character"])
        first, last = whole["start"]["line"], whole["end"]["line"]
        yield Symbol(name, kind_of(node.get("kind")), spot, first, last)
        yield from _flat(node.get("children") or (), path, name)


class Finder:
    """Finds symbols by name through one language's server."""

    def __init__(self, server: LanguageServer, documents: Documents, workspace: Workspace) -> None:
        self._server, self._documents, self._workspace = server, documents, workspace

    async def find(self, name: str, path: str | None) -> list[Symbol]:
        """Definitions of exactly this name, qualified or not; in one file, or anywhere."""
        if path is not None:
            return await self._within([path], name)
        surely, perhaps = await asyncio.to_thread(self._likely, name)
        found = await self._within(surely[:_FILES_ASKED], name)
        if not found:
            found = await self._within(perhaps[: _FILES_ASKED // 2], name)
        if not found and (surely or perhaps):
            told = [s for s in await self.everywhere(plain(name)) if plain(s.name) == plain(name)]
            ours = dict.fromkeys(s.spot.path for s in told if s.spot.path in self._documents.known)
            found = await self._within(list(ours)[:_FILES_ASKED], name)
        return found

    async def _within(self, paths: Sequence[str], name: str) -> list[Symbol]:
        found: list[Symbol] = []
        for path in paths:
            inside = await symbols_in(self._server, self._documents, path)
            found += [symbol for symbol in inside if matches(symbol, name)]
        return _without_shadows(found)

    async def everywhere(self, query: str) -> list[Symbol]:
        """The server's own search over the whole project."""
        if not self._documents.opened and self._documents.known:
            await self._documents.open(self._documents.known[0])  # some have no project before
        said = await self._server.ask("workspace/symbol", {"query": query})
        found: list[Symbol] = []
        for each in said or ():
            where = each["location"]
            path = self._workspace.path_of(str(where["uri"]))
            start = where.get("range", {}).get("start", {"line": 0, "character": 0})
            outer = str(each.get("containerName") or "")
            name = f"{outer}.{each['name']}" if outer else str(each["name"])
            spot = Spot(path, start["line"], start["character"])
            end = where.get("range", {}).get("end", start)["line"]
            found.append(Symbol(name, kind_of(each.get("kind")), spot, start["line"], end))
        return found

    async def near(self, name: str) -> list[str]:
        """Names that exist and are like it."""
        bare = plain(name)
        words = await asyncio.to_thread(self._words, bare)
        return get_close_matches(bare, words, n=_NEAR, cutoff=0.7)

    async def show_uses(self, name: str) -> None:
        """Have the server know the files that mention a name.

        One that was just started has not read the project, and would tell of a part of its uses.
        """
        users = await asyncio.to_thread(lambda: [path for path, _ in self._mentions(name)])
        for path in users[:_USERS_SHOWN]:
            with suppress(NoAnswerError):  # too large, or just removed
                await self._documents.open(path)

    def _likely(self, name: str) -> tuple[list[str], list[str]]:
        """Files that seem to define the name, and others that hold it; blocking."""
        *outer, bare = parts_of(name)
        around = [part.encode() for part in outer]
        defines = re.compile(_DEFINING.replace(b"%b", re.escape(bare.encode())), re.MULTILINE)
        surely: list[str] = []
        perhaps: list[str] = []
        for path, text in self._mentions(bare):
            if any(part not in text and part not in path.encode() for part in around):
                continue
            (surely if defines.search(text) else perhaps).append(path)
        return sorted(surely), sorted(perhaps)

    def _mentions(self, word: str) -> Iterator[tuple[str, bytes]]:
        """Files that hold it as a word of its own, with their text; blocking."""
        plainly = word.encode()
        mention = re.compile(rb"(?<![\w$])%b(?![\w$])" % re.escape(plainly))
        for path in self._documents.known:
            text = self._bytes(path)
            if plainly in text and mention.search(text):
                yield path, text

    def _words(self, like: str) -> set[str]:
        """Identifiers that begin like it or are about as long."""
        words: set[str] = set()
        for path in self._documents.known:
            text = self._bytes(path).decode("utf-8", "ignore")
            words.update(w for w in set(_IDENTIFIER.findall(text)) if abs(len(w) - len(like)) <= 4)
        return words - {like}

    def _bytes(self, path: str) -> bytes:
        try:
            return (self._workspace.root / path).read_bytes()[:2_000_000]
        except OSError:
            return b""


def parts_of(name: str) -> list[str]:
    """A qualified name, part by part; at least one."""
    bare = name.strip().removesuffix("()")
    return [part for part in re.split(r"[.#/]|::", bare) if part] or [bare]


def plain(name: str) -> str:
    """The last part of a qualified name."""
    return parts_of(name)[-1]


def matches(symbol: Symbol, name: str) -> bool:
    """Whether a symbol is called so: `close`, `Account.close` and `bank.Account.close` all name
    `Account.close` in bank.py."""
    wanted = parts_of(name)
    own = [*parts_of(symbol.spot.path.rpartition(".")[0]), *parts_of(symbol.name)]
    return own[-len(wanted) :] == wanted


def _without_shadows(found: Sequence[Symbol]) -> list[Symbol]:
    """One per name and file: a variable that is set twice is one symbol."""
    first: dict[tuple[str, str], Symbol] = {}
    for symbol in found:
        first.setdefault((symbol.spot.path, symbol.name), symbol)
    return list(first.values())


def chosen(found: Sequence[Symbol], name: str, near: Sequence[str], where: str) -> Symbol:
    """The one that is meant: what is made to be used elsewhere comes before local variables.

    Raises:
        NoAnswerError: there is none, and which are like it; or there are several, and which.
    """
    found = [symbol for symbol in found if symbol.kind != "variable"] or found
    if len(found) == 1:
        return found[0]
    if not found:
        like = f" Like it are: {', '.join(near)}." if near else ""
        raise NoAnswerError(f"{where} defines no symbol {name!r}.{like}")
    listed = "\n".join(f"  {symbol}" for symbol in found[:_LISTED])
    more = f"\n  and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    raise NoAnswerError(
        f"{len(found)} symbols are called {name!r}; give `path`, or a qualified name:\n"
        f"{listed}{more}"
    )


def spot_in_line(workspace: Workspace, path: str, line: int, column: int, name: str) -> Spot:
    """A place given by line and column from 1, or by line and the name that stands on it.

    Raises:
        NoAnswerError: there is no such line, or the name is not on it.
    """
    lines = workspace.lines(path)
    if not 0 < line <= len(lines):
        raise NoAnswerError(f"{path} has {len(lines)} lines; there is no line {line}")
    text = lines[line - 1]
    if column:
        return Spot(path, line - 1, to_units(text, column - 1))
    words = [m for m in _IDENTIFIER.finditer(text) if not name or m[0] == plain(name)]
    if not words:
        raise NoAnswerError(f"{path}:{line} has no {name or 'symbol'} on it: {text.strip()[:120]}")
    return Spot(path, line - 1, to_units(text, words[0].start()))


def word_at(workspace: Workspace, spot: Spot) -> str:
    """The identifier at a place; empty if there is none."""
    lines = workspace.lines(spot.path)
    if spot.line >= len(lines):
        return ""
    at = from_units(lines[spot.line], spot.character)
    found = (m[0] for m in _IDENTIFIER.finditer(lines[spot.line]) if m.start() <= at <= m.end())
    return next(found, "")
