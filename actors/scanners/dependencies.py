"""Packages that a change adds to what the project depends on, by name."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from actors.scanners.place import AddedLines
from orchestration.proof import Finding, Severity

_NAME = r"[A-Za-z0-9@][\w@/.-]*"
_FORMS = (
    (
        re.compile(r"(requirements|constraints)[^/]*\.(txt|in)"),
        re.compile(rf"^\s*(?P<name>{_NAME})\s*(\[[\w, -]+\])?\s*([=<>~!;]|$)"),
    ),
    (
        re.compile(r"pyproject\.toml|Pipfile|Cargo\.toml"),
        re.compile(
            rf"^\s*\"(?P<quoted>{_NAME})\s*(\[[\w, -]+\])?\s*([=<>~!;].*)?\",?\s*$"
            rf"|^\s*(?P<name>{_NAME})\s*=\s*(\"[\^~=<>*\d][^\"]*\"|\{{.*\b(version|git|path)\s*=)"
        ),
    ),
    (
        re.compile(r"package\.json"),
        re.compile(
            rf"^\s*\"(?P<name>{_NAME})\"\s*:\s*\"([\^~<>=v*]?\d|[*]|latest|npm:|git|https?:|file:)"
        ),
    ),
    (
        re.compile(r"go\.mod"),
        re.compile(r"^\s*(require\s+)?(?P<name>[\w.-]+\.[\w./-]+)\s+v\d"),
    ),
)
_NOT_PACKAGES = {"version", "requires-python", "python", "rust-version", "edition", "node", "npm"}


def new_dependencies(added: AddedLines) -> Iterator[Finding]:
    """One finding per file that names new packages, or new versions of old ones."""
    for path in added:
        for file, line in _FORMS:
            if file.fullmatch(PurePosixPath(path).name):
                yield from _in_file(path, added, line)


def _in_file(path: str, added: AddedLines, form: re.Pattern[str]) -> Iterator[Finding]:
    names: dict[str, int] = {}
    for number, text in added[path].items():
        if found := form.match(text[:500]):
            groups = found.groupdict()
            name = groups.get("quoted") or groups.get("name") or ""
            if name.lower() not in _NOT_PACKAGES:
                names.setdefault(name, number)
    if names:
        yield Finding(
            file=path,
            line=min(names.values()),
            severity=Severity.LOW,
            why=f"It depends on code from elsewhere: {', '.join(list(names)[:20])}.",
            fix="make sure that each is the package that is meant, and needed",
            source="dependencies",
        )
