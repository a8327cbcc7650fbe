"""What is not worth recalling, told by a file's path and text.

Licences, lock files and what a tool wrote are in every repository, match every question a little,
and teach nobody anything about it. Such a file is listed and has no chunks.
"""

import re
from collections.abc import Sequence
from itertools import takewhile
from pathlib import PurePosixPath

from actors.memory.grammars import BY_SUFFIX, names

MAX_FILE_CHARS = 1_000_000
"""Longer files are generated or data."""
_LONGEST_LINE = 5_000
_MEAN_LINE = 220
"""Characters: above this a file was not written by hand."""
_FOREIGN = names(
    "node_modules bower_components vendor vendored _vendor third_party thirdparty site-packages "
    "dist .yarn .git licenses licences __pycache__ __snapshots__"
)
_LOCKS = names(
    "package-lock.json npm-shrinkwrap.json pnpm-lock.yaml go.sum gopkg.lock bun.lockb "
    "packages.lock.json .package-lock.json mix.lock"
)
_GUIDES = frozenset({"agents.md", "claude.md", "skill.md"})
_LEGAL = re.compile(
    r"(un)?licen[cs]es?|copying|notice|patents|authors|contributors|maintainers|code_of_conduct"
    r"|(licen[cs]e|copying|notice)[-_.].*",
    re.IGNORECASE,
)
_DATA = names(
    ".lock .map .svg .snap .po .pot .mo .csv .tsv .ipynb .pem .crt .key .min.js .min.css .pb.go "
    ".g.dart .designer.cs .xcf .ai .eps .pdf .parquet .log .sum"
)
_GENERATED_PATH = re.compile(r"(_pb2(_grpc)?\.pyi?|\.generated\.\w+|_generated\.\w+)$")
_GENERATED = re.compile(
    r"@generated\b|\bcode generated\b.*\bdo not edit\b|\bauto-?(matically )?generated\b.*"
    r"\b(do not|don't) (edit|modify|change)\b|\bthis file (is|was) (auto-?)?generated\b",
    re.IGNORECASE,
)
_HEAD_LINES = 12
_COMMENT = re.compile(r'\s*(#(?!\[)|//|/?\*|<!--|--|;|"""|\'\'\'|"""|$)')
_LICENCE = re.compile(
    r"copyright|\blicen[cs]e|SPDX-|all rights reserved|permission is hereby granted"
    r"|warrant(y|ies)|redistribution and use",
    re.IGNORECASE,
)


def why_not(path: str, text: str) -> str:
    """Why a file is not worth recalling; empty when it is."""
    place = PurePosixPath(path)
    name = place.name.lower()
    if "\0" in text:
        return "binary"
    if len(text) > MAX_FILE_CHARS:
        return "huge"
    if not _FOREIGN.isdisjoint(part.lower() for part in place.parts[:-1]):
        return "vendored"
    if name in _LOCKS or place.suffix.lower() == ".lock":
        return "a lock file"
    if name in _GUIDES:
        return "told anyway"
    if place.suffix not in BY_SUFFIX and any(map(_LEGAL.fullmatch, (name, place.stem))):
        return "legal"
    if any(name.endswith(ending) for ending in _DATA):
        return "data"
    return "generated" if _is_generated(path, text) else ""


def _is_generated(path: str, text: str) -> bool:
    lines = text.split("\n")
    return bool(
        _GENERATED_PATH.search(path)
        or any(_GENERATED.search(line[:400]) for line in lines[:_HEAD_LINES])
        or max(map(len, lines)) > _LONGEST_LINE
        or (len(text) > 2_000 and len(text) / len(lines) > _MEAN_LINE)
    )


def licence_lines(lines: Sequence[str]) -> int:
    """How many lines at the top of a source file are nothing but its licence."""
    head = list(takewhile(_COMMENT.match, lines[:80]))
    block = list(takewhile(str.strip, _from_first_word(head)))
    blank = len(head) - len(_from_first_word(head))
    return blank + len(block) if sum(bool(_LICENCE.search(line)) for line in block) else 0


def _from_first_word(lines: Sequence[str]) -> Sequence[str]:
    blank = sum(1 for _ in takewhile(lambda line: not line.strip(), lines))
    return lines[blank:]
