"""A language server for `.toy` files, small and obedient; some names make it misbehave.

`def NAME` and `class NAME` define; a line with BUG is an error. With `push` it publishes
diagnostics of its own accord, with `dies` it ends at once, with `new` it has not read the project
and knows only what was opened, with `counts` or `blind` it renames within one file the first time
or always.
"""

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

WORD = re.compile(r"[^\W\d]\w*")
open_files: dict[str, str] = {}
root = Path.cwd()
log: list[str] = []
renames: list[str] = []


def send(**message: Any) -> None:
    data = json.dumps({"jsonrpc": "2.0", **message}).encode()
    sys.stdout.buffer.write(b"Content-Length: %d\r\n\r\n%b" % (len(data), data))
    sys.stdout.buffer.flush()


def receive() -> dict[str, Any]:
    length = 0
    while line := sys.stdin.buffer.readline().strip():
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    if not length:
        sys.exit(0)
    return json.loads(sys.stdin.buffer.read(length))


def texts() -> dict[str, str]:
    if "new" in sys.argv:
        return open_files
    found = {path.as_uri(): path.read_text() for path in sorted(root.rglob("*.toy"))}
    return {**found, **open_files}


def span(line: int, start: int, end: int) -> dict[str, Any]:
    return {
        "start": {"line": line, "character": start},
        "end": {"line": line, "character": end},
    }


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def uses(name: str) -> list[dict[str, Any]]:
    return [
        {"uri": uri, "range": span(n, units(line[: m.start()]), units(line[: m.end()]))}
        for uri, text in texts().items()
        for n, line in enumerate(text.split("\n"))
        for m in re.finditer(rf"\b{name}\b", line)
    ]


def symbols(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for number, line in enumerate(text.split("\n")):
        if m := re.match(r"(\s*)(def|class) (\w+)", line):
            at = units(line[: m.start(3)])
            symbol = {
                "name": m[3],
                "kind": 5 if m[2] == "class" else 12,
                "range": span(number, 0, units(line)),
                "selectionRange": span(number, at, at + len(m[3])),
                "children": [],
            }
            (found[-1]["children"] if m[1] and found else found).append(symbol)
    return found


def word_at(params: dict[str, Any]) -> str:
    text = texts()[params["textDocument"]["uri"]]
    line = text.split("\n")[params["position"]["line"]]
    at = params["position"]["character"]
    here = (
        m[0]
        for m in WORD.finditer(line)
        if units(line[: m.start()]) <= at <= units(line[: m.end()])
    )
    return next(here, "")


def problems(uri: str) -> list[dict[str, Any]]:
    lines = texts().get(uri, "").split("\n")
    return [
        {"range": span(n, 0, 3), "severity": 1, "message": "a bug", "code": "toy"}
        for n, line in enumerate(lines)
        if "BUG" in line
    ]


def rename(name: str, new: str) -> dict[str, Any]:
    if new == "outside":
        return {
            "changes": {Path("/etc/passwd").as_uri(): [{"range": span(0, 0, 1), "newText": ""}]}
        }
    if new == "deleted":
        return {"documentChanges": [{"kind": "delete", "uri": next(iter(texts()))}]}
    changes: dict[str, list[dict[str, Any]]] = {}
    for use in uses(name):
        changes.setdefault(use["uri"], []).append({"range": use["range"], "newText": new})
    if new == "overlap":
        for each in changes.values():
            each.append(each[0])
    renames.append(new)
    if "blind" in sys.argv or ("counts" in sys.argv and len(renames) == 1):
        changes = dict(list(changes.items())[:1])
    if new == "Moved":
        old = next(iter(changes))
        edits = [
            {"textDocument": {"uri": u, "version": None}, "edits": e} for u, e in changes.items()
        ]
        moved = {"kind": "rename", "oldUri": old, "newUri": old.replace(".toy", "-moved.toy")}
        return {"documentChanges": [*edits, moved]}
    return {"changes": changes}


def all_symbols() -> list[tuple[str, dict[str, Any]]]:
    return [(uri, symbol) for uri, text in texts().items() for symbol in symbols(text)]


def search(query: str) -> list[dict[str, Any]]:
    return [
        {**s, "location": {"uri": uri, "range": s["selectionRange"]}}
        for uri, s in all_symbols()
        if query in s["name"]
    ]


def definition(name: str) -> list[dict[str, Any]]:
    found = [(uri, s) for uri, s in all_symbols() if s["name"] == name]
    return [{"uri": uri, "range": s["selectionRange"]} for uri, s in found]


ANSWERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "initialize": lambda _: {"capabilities": {}},
    "textDocument/documentSymbol": lambda p: symbols(texts()[p["textDocument"]["uri"]]),
    "workspace/symbol": lambda p: search(p["query"]),
    "textDocument/references": lambda p: uses(word_at(p)),
    "textDocument/definition": lambda p: definition(word_at(p)),
    "textDocument/hover": lambda p: hover(word_at(p)),
    "textDocument/rename": lambda p: rename(word_at(p), p["newName"]),
    "shutdown": lambda _: None,
}
if "push" not in sys.argv:
    ANSWERS["textDocument/diagnostic"] = lambda p: {
        "kind": "full",
        "items": problems(p["textDocument"]["uri"]),
    }


def hover(name: str) -> Any:
    if name == "crash_once" and not (mark := root / ".crashed").exists():
        mark.touch()
        os._exit(3)
    if name == "crash":
        sys.stderr.write("toy: I cannot bear it\n")
        sys.stderr.flush()
        os._exit(3)
    if name == "garbage":
        sys.stdout.buffer.write(b"no header\r\n\r\n")
        sys.stdout.buffer.flush()
    return {"contents": {"kind": "plaintext", "value": f"{name}: {json.dumps(log)}"}}


def told(method: str, params: dict[str, Any]) -> None:
    match method:
        case "textDocument/didOpen":
            open_files[params["textDocument"]["uri"]] = params["textDocument"]["text"]
        case "textDocument/didChange":
            open_files[params["textDocument"]["uri"]] = params["contentChanges"][-1]["text"]
        case "textDocument/didClose":
            open_files.pop(params["textDocument"]["uri"], None)
        case "workspace/didChangeWatchedFiles":
            log.extend(f"{c['type']} {Path(c['uri']).name}" for c in params["changes"])
        case "exit":
            sys.exit(0)
        case _:
            return
    uri = params.get("textDocument", {}).get("uri")
    if "push" in sys.argv and uri in open_files:
        found = problems(uri)
        send(method="textDocument/publishDiagnostics", params={"uri": uri, "diagnostics": found})


def main() -> None:
    if "dies" in sys.argv:
        sys.stderr.write("toy: no licence\n")
        sys.exit(4)
    while True:
        message = receive()
        if "id" not in message:
            told(message["method"], message.get("params") or {})
            continue
        if message["method"] == "textDocument/hover" and word_at(message["params"]) == "hang":
            continue
        if known := ANSWERS.get(message["method"]):
            send(id=message["id"], result=known(message.get("params") or {}))
        else:
            send(id=message["id"], error={"code": -32601, "message": "what?"})


main()
