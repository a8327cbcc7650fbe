"""What a request brings, and where it ends up: followed through the lines that a change adds.

A name is tainted when it takes its value from a request, and clean again after a known remedy.
That is far less than a data-flow analysis knows, needs no tool, and works in any language.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

from actors.scanners.place import AddedLines
from orchestration.kinds import is_test_path
from orchestration.proof import Finding, Severity

_CODE = {".py", ".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx", ".go", ".rb", ".php"}
_SOURCE = (
    r"\b(?:request|req|ctx\.request|flask\.request|self\.request|r)\."
    r"(?:args|form|values|files|cookies|headers|data|json|get_json|GET|POST|params|query(?:_params)?"
    r"|body|path_params|URL\.Query|FormValue|PostFormValue)\b|\bsys\.stdin\.read\b|\binput\("
)
_ASSIGNED = re.compile(
    rf"^\s*(?:const|let|var)?\s*(\w+)(?:\s*:\s*[^=]+)?\s*:?=[^=].*?(?:{_SOURCE})"
)
_TAKEN_APART = re.compile(rf"^\s*(?:const|let|var)\s*\{{([\w\s,:]+)\}}\s*=\s*(?:{_SOURCE})")
_COPIED = re.compile(r"^\s*(?:const|let|var)?\s*(\w+)\s*:?=[^=](.*)")
_CLEANED = re.compile(
    r"secure_filename|safe_join|basename|is_relative_to|normpath|realpath|shlex\.quote|escape\("
    r"|\bint\(|parseInt|Number\(|Atoi|UUID|allow|encodeURIComponent|filepath\.Base|DOMPurify"
    r"|\bin\s+[A-Z_]{3,}\b"
)


class _Sink(NamedTuple):
    call: re.Pattern[str]
    built: bool
    """Whether only text that is put together counts: `execute("... ?", (name,))` is fine."""
    why: str
    fix: str


def _sink(call: str, why: str, fix: str, *, built: bool = False) -> _Sink:
    return _Sink(re.compile(call), built, why, fix)


_SINKS = (
    _sink(
        r"\.(execute|executemany|executescript|raw|query|Query|QueryRow|Exec)\(",
        "Text from a request becomes part of an SQL command.",
        "pass it as a parameter of the query",
        built=True,
    ),
    _sink(
        r"\bos\.(system|popen)\(|\bsubprocess\.\w+\(|\bexec(Sync|File)?\(|\bspawn(Sync)?\("
        r"|exec\.Command\(",
        "Text from a request becomes part of a command.",
        "choose from a fixed list, and start programs without a shell",
    ),
    _sink(
        r"\b(open|send_file|FileResponse|Path|rmtree|unlink|readFile(Sync)?|writeFile(Sync)?"
        r"|createReadStream|sendFile|os\.path\.join|path\.(join|resolve)|os\.(Open|ReadFile)"
        r"|filepath\.Join)\(",
        "Text from a request becomes part of a path, which may lead anywhere.",
        "take its last part only, and check that the result is inside the directory",
    ),
    _sink(
        r"\b(requests|httpx|urllib\.request|axios)\.\w+\(|\burlopen\(|\bfetch\(|http\.Get\(",
        "A request decides what address is fetched.",
        "choose from a fixed list of hosts",
    ),
    _sink(
        r"\b(eval|exec|Function)\(|\b(pickle|marshal|dill|jsonpickle)\.\w*loads?\w*\(|yaml\.load\("
        r"|vm\.runIn\w+\(|unserialize\(",
        "Text from a request is run, or unpacked into objects of any kind.",
        "use JSON and plain data",
    ),
    _sink(
        r"\.innerHTML\s*=|document\.write\(|dangerouslySetInnerHTML|render_template_string\("
        r"|\bmark_safe\(|\bMarkup\(|template\.HTML\(",
        "Text from a request becomes markup.",
        "leave it to the template, which escapes it",
    ),
)


def follow(added: AddedLines) -> tuple[Finding, ...]:
    """At most one finding of each kind per file: the first line where the text arrives."""
    return tuple(
        finding
        for path in added
        if PurePosixPath(path).suffix.lower() in _CODE and not is_test_path(path)
        for finding in _in_file(path, added[path])
    )


def _in_file(path: str, lines: Mapping[int, str]) -> Iterator[Finding]:
    tainted: set[str] = set()
    told: set[str] = set()
    for number in sorted(lines):
        text = lines[number][:2000]
        for sink in _SINKS:
            if sink.why not in told and _arrives(text, sink, tainted):
                told.add(sink.why)
                yield Finding(
                    file=path,
                    line=number,
                    severity=Severity.HIGH,
                    why=sink.why,
                    fix=sink.fix,
                    source="flow",
                )
        _note(text, tainted)


def _note(text: str, tainted: set[str]) -> None:
    """What the line does to the set of tainted names."""
    if _CLEANED.search(text):
        tainted -= {name for name in tainted if re.search(rf"\b{name}\b", text)}
    elif apart := _TAKEN_APART.match(text):
        tainted |= {part.split(":")[-1].strip() for part in apart[1].split(",")} - {""}
    elif assigned := _ASSIGNED.match(text):
        tainted.add(assigned[1])
    elif copied := _COPIED.match(text):
        if any(re.search(rf"\b{name}\b", copied[2]) for name in tainted):
            tainted.add(copied[1])
        else:
            tainted.discard(copied[1])


def _arrives(text: str, sink: _Sink, tainted: set[str]) -> bool:
    called = sink.call.search(text)
    if not called or _CLEANED.search(text):
        return False
    rest = text[called.end() :]
    names = [rf"\b{name}\b" for name in sorted(tainted)]
    found = re.search("|".join([_SOURCE, *names]), rest)
    return bool(found) and (not sink.built or _is_built(rest, found[0]))


def _is_built(text: str, name: str) -> bool:
    """Whether a name is put into a text: by a template, `+`, `%` or `format`."""
    word = re.escape(name)
    first = text.lstrip()
    inside = re.match(r"[rRbB]?[fF]['\"]|`", first) and re.search(rf"\{{[^}}]*{word}", first)
    joined = re.search(rf"['\"]\s*(\+|%|\.format\()\s*[^,]*{word}|{word}[^,]*\+\s*['\"]", first)
    plain = re.match(rf"{word}", first)
    return bool(inside or joined or plain)
