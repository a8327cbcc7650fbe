"""What git tells, as values: files, changes, commits, added lines."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from orchestration.errors import GitError
from orchestration.ids import CommitId
from orchestration.messages import FileChange

_OID = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of a commit's tree."""

    path: str
    mode: str
    """100644, 100755, 120000 (symlink) or 160000 (submodule)."""
    blob: str
    size: int
    """Bytes; 0 for a submodule."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One commit of a log."""

    commit: CommitId
    parents: tuple[CommitId, ...]
    when: int
    """Committer date, seconds since the epoch."""
    message: str

    @property
    def title(self) -> str:
        return self.message.partition("\n")[0]


@dataclass(frozen=True, slots=True)
class MergeResult:
    """A merge commit, or the paths that conflict (then `commit` is None)."""

    commit: CommitId | None
    conflicts: tuple[str, ...] = ()
    messages: str = ""
    """Git's own words on each conflict."""


def oid(text: str) -> str:
    """A full object id, which git can never take for an option.

    Raises:
        GitError: it is something else.
    """
    if not _OID.fullmatch(text):
        raise GitError(f"{text[:80]!r} is not a full commit id")
    return text


def _name(raw: bytes) -> str:
    # Names travel as text; one that is not UTF-8 stays visible, though it cannot be read back.
    return raw.decode(errors="backslashreplace")


def file_change(meta: bytes, path: bytes) -> FileChange:
    """One record of `diff-tree --raw -z`."""
    old_mode, new_mode, old_blob, new_blob, status = meta.decode().removeprefix(":").split(" ")
    return FileChange(
        path=_name(path),
        status=status[0],
        old_mode=old_mode,
        new_mode=new_mode,
        old_blob=old_blob,
        new_blob=new_blob,
    )


def entries(listing: bytes) -> tuple[FileEntry, ...]:
    """The records of `ls-tree -l -z`."""
    found: list[FileEntry] = []
    for line in listing.split(b"\0")[:-1]:
        meta, _, path = line.partition(b"\t")
        mode, _, blob, size = meta.decode().split()
        found.append(FileEntry(_name(path), mode, blob, 0 if size == "-" else int(size)))
    return tuple(found)


def log_entry(text: str) -> LogEntry:
    """One commit in the form asked for by `BareRepository.log`."""
    commit, parents, when, message = text.split("\0", 3)
    ids = tuple(CommitId(parent) for parent in parents.split())
    return LogEntry(CommitId(commit), ids, int(when), message.strip())


def conflict(fields: Sequence[str]) -> MergeResult:
    """What `merge-tree -z` prints after the tree: paths, an empty field, then messages.

    A message is: how many paths, the paths, its kind, its text.
    """
    end = fields.index("")
    paths, rest = fields[:end], fields[end + 1 :]
    texts: list[str] = []
    while rest and rest[0].isdigit():
        count = int(rest[0])
        kind, text = rest[count + 1 : count + 3]
        if kind.startswith("CONFLICT"):
            texts.append(text.strip())
        rest = rest[count + 3 :]
    return MergeResult(None, tuple(dict.fromkeys(paths)), "\n".join(texts))


_HUNK = re.compile(rb"@@ -\d+(?:,\d+)? \+(\d+)(?:,(\d+))? @@")
_ESCAPE = re.compile(rb"\\([0-7]{3}|.)")
_ESCAPED = {
    b"n": b"\n",
    b"t": b"\t",
    b"r": b"\r",
    b"a": b"\a",
    b"b": b"\b",
    b"f": b"\f",
    b"v": b"\v",
}


def parse_added_lines(diff: bytes) -> dict[str, dict[int, str]]:
    """Read a unified diff. Hunks are counted, so content that looks like a header fools nobody."""
    added: dict[str, dict[int, str]] = {}
    path, number, left = "", 0, 0
    for line in diff.split(b"\n"):
        if left and line.startswith(b"+"):
            added.setdefault(path, {})[number] = line[1:].decode(errors="replace")
            number, left = number + 1, left - 1
        elif left and line.startswith((b"-", b"\\")):
            continue
        elif line.startswith(b"+++ "):
            path = _unquote(line[4:])
        elif hunk := _HUNK.match(line):
            number, left = int(hunk[1]), int(hunk[2] or 1)
    return added


def _unquote(name: bytes) -> str:
    """A path from a `+++` line: without its prefix, with git's escapes undone."""

    def plain(found: re.Match[bytes]) -> bytes:
        code = found[1]
        return bytes([int(code, 8) & 255]) if len(code) == 3 else _ESCAPED.get(code, code)

    name = name.rstrip(b"\t")
    if name.startswith(b'"'):
        name = _ESCAPE.sub(plain, name[1:-1])
    return _name(name.removeprefix(b"b/"))


def parse_blobs(output: bytes) -> dict[str, bytes]:
    """What `cat-file --batch` says: blob id -> bytes.

    Raises:
        GitError: one of them is not there.
    """
    found: dict[str, bytes] = {}
    at = 0
    while at < len(output):
        end = output.index(b"\n", at)
        blob, *facts = output[at:end].decode().split()
        if len(facts) != 2:
            raise GitError(f"object {blob} is missing", "fetch the commit again")
        size = int(facts[1])
        found[blob] = output[end + 1 : end + 1 + size]
        at = end + 1 + size + 1
    return found
