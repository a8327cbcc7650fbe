"""A server's edit of many files, applied whole or not at all."""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from actors.lsp.rpc import Json
from actors.lsp.workspace import NoAnswerError, Workspace, from_units, split

_ENDS = ("\r\n", "\n", "\r")


@dataclass(frozen=True, slots=True)
class Applied:
    """What an edit did."""

    lines: Mapping[str, tuple[int, ...]]
    """Changed file -> the lines that were changed, from 0."""
    places: int
    moved: Mapping[str, str]
    """Renamed file -> its new path."""


def apply(workspace: Workspace, edit: Json) -> Applied:
    """Apply a WorkspaceEdit; blocking.

    All new texts are made first and written beside their files; then they take their places. If
    one cannot, those that did are put back.

    Raises:
        NoAnswerError: it would leave the root, make or remove files, or could not be written.
    """
    texts, moves = _plan(workspace, edit)
    if not texts and not moves:
        raise NoAnswerError("the language server found nothing to change")
    lines: dict[str, tuple[int, ...]] = {}
    new: dict[Path, str] = {}
    for path, changes in texts.items():
        new[workspace.place(path)] = _edited(_exact(workspace, path), changes, path)
        lines[path] = tuple(sorted({change["range"]["start"]["line"] for change in changes}))
    for old, target in moves.items():
        if workspace.place(target).exists():
            raise NoAnswerError(f"{old} would become {target}, which exists")
    _replace_all(new)
    _move_all(workspace, moves)
    return Applied(lines, sum(len(each) for each in texts.values()), moves)


def changed_by(workspace: Workspace, edit: Json) -> set[str]:
    """Files whose text a WorkspaceEdit would change.

    Raises:
        NoAnswerError: it would leave the root, or make or remove files.
    """
    return set(_plan(workspace, edit)[0])


def _exact(workspace: Workspace, path: str) -> str:
    """Text that is written back byte for byte where it is not changed."""
    try:
        return workspace.place(path).read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError):
        raise NoAnswerError(f"nothing was changed: {path} is no readable UTF-8 text") from None


def _plan(workspace: Workspace, edit: Json) -> tuple[dict[str, list[Json]], dict[str, str]]:
    texts: dict[str, list[Json]] = {}
    moves: dict[str, str] = {}
    for uri, changes in ((edit or {}).get("changes") or {}).items():
        texts.setdefault(_inside(workspace, uri), []).extend(changes)
    for each in (edit or {}).get("documentChanges") or ():
        kind = each.get("kind")
        if kind is None:
            path = _inside(workspace, each["textDocument"]["uri"])
            texts.setdefault(path, []).extend(each["edits"])
        elif kind == "rename":
            moves[_inside(workspace, each["oldUri"])] = _inside(workspace, each["newUri"])
        else:
            raise NoAnswerError(f"the language server wants to {kind} a file, which is not allowed")
    return {path: changes for path, changes in texts.items() if changes}, moves


def _inside(workspace: Workspace, uri: Json) -> str:
    path = workspace.path_of(str(uri))
    place = workspace.place(path)
    if path.startswith("/") or (workspace.root / path).is_symlink():
        raise NoAnswerError(f"{path} lies outside of the workspace and would have to be changed")
    return workspace.name(place)


def _edited(text: str, changes: Sequence[Json], path: str) -> str:
    """The text after all changes, which refer to it as it was."""
    starts = list(_line_starts(text))
    lines = split(text)

    def index(place: Json) -> int:
        line = min(int(place["line"]), len(lines) - 1)
        if place["line"] > line:
            return len(text)
        return starts[line] + from_units(lines[line], int(place["character"]))

    spans = [(index(c["range"]["start"]), index(c["range"]["end"]), c["newText"]) for c in changes]
    spans.sort(key=lambda span: span[:2])
    parts, after = list[str](), 0
    for start, end, new in spans:
        if start < after or end < start:
            raise NoAnswerError(f"the language server's changes to {path} overlap")
        parts += [text[after:start], new]
        after = end
    return "".join([*parts, text[after:]])


def _line_starts(text: str) -> Iterator[int]:
    at = 0
    for line in split(text):
        yield at
        at += len(line)
        at += next((len(end) for end in _ENDS if text.startswith(end, at)), 0)


def _replace_all(new: Mapping[Path, str]) -> None:
    drafts: dict[Path, Path] = {}
    before: dict[Path, bytes] = {}
    try:
        for place, text in new.items():
            before[place] = place.read_bytes()
            drafts[place] = _draft(place, text.encode("utf-8"))
        done: list[Path] = []
        try:
            for place, draft in drafts.items():
                draft.replace(place)
                done.append(place)
        except OSError:
            for place in done:
                _draft(place, before[place]).replace(place)
            raise
    except OSError as error:
        raise NoAnswerError(f"nothing was changed: {error.filename}: {error.strerror}") from None
    finally:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)


def _draft(place: Path, data: bytes) -> Path:
    handle, name = tempfile.mkstemp(dir=place.parent, prefix=".rename-")
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    draft = Path(name)
    draft.chmod(place.stat().st_mode & 0o7777)
    return draft


def _move_all(workspace: Workspace, moves: Mapping[str, str]) -> None:
    for old, new in moves.items():
        target = workspace.place(new)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            workspace.place(old).rename(target)
        except OSError as error:
            raise NoAnswerError(f"{old} was edited but not moved to {new}: {error}") from None
