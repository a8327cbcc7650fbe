"""The run's own bare repository: objects in as bundles, merged as objects, out as bundles."""

import asyncio
import secrets
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from actors.git.bundle import HEAD_NAME, Bundle, decode
from actors.git.command import NEUTRAL, Answer, Git
from actors.git.identity import first_commit
from actors.git.records import (
    FileEntry,
    LogEntry,
    MergeResult,
    conflict,
    entries,
    file_change,
    log_entry,
    oid,
    parse_added_lines,
    parse_blobs,
)
from orchestration.errors import GitError, NotFoundError
from orchestration.ids import CommitId
from orchestration.messages import FileChange

_IN = "refs/manta/in"
_OLD_QUIRKS = (
    "badDate badDateOverflow badEmail badName badTimezone missingEmail missingNameBeforeEmail "
    "missingSpaceBeforeDate missingSpaceBeforeEmail multipleAuthors nulInCommit "
    "zeroPaddedDate zeroPaddedFilemode badFilemode badTagName missingTaggerEntry"
)
"""Harmless faults of commits and tags that old, real histories carry."""
STRICT = "--strict=" + ",".join(f"{quirk}=ignore" for quirk in _OLD_QUIRKS.split())
_MAX_LISTING = 200_000_000
"""Bytes of a tree's listing: about two million files."""
_READ_MEMORY = 4 * 1024**3


class BareRepository:
    """A bare repository that only we write. Every commit argument is a full id."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._git = Git(path, NEUTRAL | {"GIT_DIR": "."}, memory=_READ_MEMORY)

    @classmethod
    async def create(cls, path: Path) -> Self:
        """Make it, or open it when it is there already."""
        await asyncio.to_thread(path.mkdir, parents=True, exist_ok=True)
        await Git(path)(
            "init", "--quiet", "--bare", "--template=", "--initial-branch=main", str(path)
        )
        return cls(path)

    # --- bundles -------------------------------------------------------------------------------

    async def import_bundle(
        self, data: bytes, *, max_bytes: int = 200_000_000, max_tree_bytes: int = 4 * 1024**3
    ) -> tuple[CommitId, ...]:
        """Take in a bundle nobody vouches for, and keep its heads under `refs/manta/in/`.

        Every object is checked (fsck) in quarantine before it becomes part of the repository.
        `max_tree_bytes` caps the files of a head, checked out. Idempotent. Returns the heads.

        Raises:
            GitError: too big, malformed, broken objects, or built on commits that are not here.
        """
        if len(data) > max_bytes:
            raise GitError(f"the bundle has {len(data)} bytes, more than {max_bytes}")
        bundle = decode(data)
        heads = tuple(dict.fromkeys(bundle.heads.values()))
        if all([await self.ref(f"{_IN}/{head}") for head in heads]):
            return heads
        if missing := [need for need in bundle.needs if not await self.has(need)]:
            raise GitError(
                f"the bundle builds on {missing[0]}, which is not here",
                "import the bundles in the order in which they were made",
            )
        quarantine = self.path / f"quarantine-{secrets.token_hex(8)}"
        git = replace(
            self._git,
            env=self._git.env
            | {
                "GIT_OBJECT_DIRECTORY": str(quarantine),
                "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(self.path / "objects"),
            },
        )
        try:
            await asyncio.to_thread((quarantine / "pack").mkdir, parents=True)
            await index_pack(git, bundle.pack)
            for head in heads:
                await _weigh(git, head, max_tree_bytes)
            await asyncio.to_thread(_release, quarantine, self.path / "objects")
        finally:
            await asyncio.to_thread(shutil.rmtree, quarantine, ignore_errors=True)
        for head in heads:
            await self.set_ref(f"{_IN}/{head}", head)
        return heads

    async def bundle(self, base: str | None, commit: str, *, name: str = HEAD_NAME) -> bytes:
        """What `commit` has and `base` lacks (all of it without a base). Same input, same bytes."""
        return await pack_bundle(self._git, base, commit, name=name)

    # --- reading -------------------------------------------------------------------------------

    async def has(self, commit: str) -> bool:
        """Whether this commit is here."""
        answer = await self._git("cat-file", "-t", oid(commit), ok=(0, 128))
        return answer.text == "commit"

    async def tree(self, commit: str) -> str:
        """The id of a commit's tree: equal for equal contents."""
        return (await self._git("rev-parse", "--verify", f"{oid(commit)}^{{tree}}")).text

    async def changes(self, base: str, commit: str) -> tuple[FileChange, ...]:
        """What differs between two trees, one entry per path; a rename is a D and an A."""
        answer = await self._git(
            "diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", oid(base), oid(commit)
        )
        fields = answer.out.split(b"\0")[:-1]
        return tuple(
            file_change(meta, path) for meta, path in zip(fields[::2], fields[1::2], strict=True)
        )

    async def files(self, commit: str) -> tuple[FileEntry, ...]:
        """Every file of the commit's tree, sorted by path."""
        answer = await self._git("ls-tree", "-r", "-l", "-z", "--full-tree", oid(commit))
        return entries(answer.out)

    async def read(self, commit: str, path: str, *, max_bytes: int = 10_000_000) -> bytes:
        """A regular file's bytes.

        Raises:
            NotFoundError: no such regular file in that commit.
            GitError: it is bigger than `max_bytes`.
        """
        answer = await self._git(
            "ls-tree", "-l", "-z", "--full-tree", oid(commit), "--", path, ok=(0, 128)
        )
        entry = next((e for e in entries(answer.out) if e.path == path), None)
        if entry is None or not entry.mode.startswith("100"):
            raise NotFoundError(f"there is no file {path!r} in {commit[:12]}")
        if entry.size > max_bytes:
            raise GitError(f"{path!r} has {entry.size} bytes, more than {max_bytes}")
        return (await self._git("cat-file", "blob", entry.blob)).out

    async def blobs(self, ids: Sequence[str]) -> dict[str, bytes]:
        """Several files' bytes by blob id, read by one process."""
        asked = "".join(f"{oid(blob)}\n" for blob in ids).encode()
        answer = await self._git("cat-file", "--batch", stdin=asked)
        return parse_blobs(answer.out)

    async def diff(
        self, base: str, commit: str, *, paths: Sequence[str] = (), max_bytes: int = 20_000_000
    ) -> str:
        """The change for people and models: unified, renames followed, odd bytes replaced."""
        answer = await self._diff(base, commit, "-M", "--submodule=short", "--", *paths)
        text = answer.out[:max_bytes].decode(errors="replace")
        cut = len(answer.out) - max_bytes
        return f"{text}\n[{cut} more bytes are not shown]\n" if cut > 0 else text

    async def patch(self, base: str, commit: str) -> bytes:
        """The change for `git apply`: complete, with binary files."""
        answer = await self._diff(base, commit, "--binary", "--full-index", "--no-renames")
        return answer.out

    async def added_lines(self, base: str, commit: str) -> dict[str, dict[int, str]]:
        """Lines that the change adds or alters: path -> line number in `commit` -> text."""
        answer = await self._diff(base, commit, "-U0", "--no-renames")
        return parse_added_lines(answer.out)

    async def log(
        self, commit: str, *, base: str | None = None, limit: int = 100
    ) -> list[LogEntry]:
        """Commits reachable from `commit` and not from `base`, newest first."""
        since = [f"^{oid(base)}"] if base else []
        form = "--format=%H%x00%P%x00%ct%x00%B%x01"
        answer = await self._git("log", f"--max-count={limit}", form, oid(commit), *since)
        texts = answer.out.decode(errors="replace").split("\x01")
        return [log_entry(text.lstrip("\n")) for text in texts[:-1]]

    async def root(self, commit: str) -> CommitId:
        """The first commit of a history, along first parents."""
        return await first_commit(self._git, oid(commit))

    async def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether `newer` contains `older`."""
        answer = await self._git("merge-base", "--is-ancestor", oid(older), oid(newer), ok=(0, 1))
        return answer.code == 0

    # --- writing -------------------------------------------------------------------------------

    async def merge(self, ours: str, theirs: str, message: str) -> MergeResult:
        """Merge on objects. The same input gives the same commit, however often it is asked.

        Its date is the later of the two. `ours` itself comes back when it contains `theirs`.
        """
        if await self.is_ancestor(theirs, ours):
            return MergeResult(CommitId(ours))
        answer = await self._git(
            "merge-tree", "--write-tree", "-z", "--name-only", "--messages",
            oid(ours), oid(theirs), ok=(0, 1),
        )  # fmt: skip
        tree, *rest = answer.out.decode(errors="backslashreplace").split("\0")
        if answer.code:
            return conflict(rest)
        when = max([await self._date(ours), await self._date(theirs)])
        return MergeResult(await self.commit_tree(tree, (ours, theirs), message, when=when))

    async def commit_tree(
        self, tree: str, parents: Sequence[str], message: str, *, when: int
    ) -> CommitId:
        """A commit of `tree` (a tree's or a commit's id) by Manta at `when` (seconds, UTC)."""
        tree = await self.tree(tree)
        date = {f"GIT_{role}_DATE": f"@{when} +0000" for role in ("AUTHOR", "COMMITTER")}
        options = [part for parent in parents for part in ("-p", oid(parent))]
        answer = await self._git(
            "commit-tree", oid(tree), *options, stdin=message.encode(), env=date
        )
        return CommitId(answer.text)

    async def adopt(self, commit: str, parents: Sequence[str], message: str) -> CommitId:
        """The tree of a commit that somebody else made, as a commit of ours.

        The author, message and parents it claims are dropped. Its date is kept where that is
        between its new parents' and now.
        """
        earliest = max([await self._date(parent) for parent in parents], default=0)
        claimed = min(await self._date(commit), int(time.time()))
        return await self.commit_tree(commit, parents, message, when=max(earliest, claimed))

    async def with_files_of(
        self, commit: str, other: str, paths: Sequence[str], message: str
    ) -> CommitId:
        """A commit on `commit` with these files as they are in `other`; gone where they are not."""
        wanted = {entry.path: entry for entry in await self.files(other) if entry.path in paths}
        lines = [
            f"{wanted[path].mode} {wanted[path].blob}\t{path}" if path in wanted
            else f"0 {'0' * 40}\t{path}"
            for path in paths
        ]  # fmt: skip
        with tempfile.TemporaryDirectory() as place:
            index = {"GIT_INDEX_FILE": str(Path(place) / "index")}
            await self._git("read-tree", oid(commit), env=index)
            listing = "\0".join([*lines, ""]).encode(errors="surrogateescape")
            await self._git("update-index", "-z", "--index-info", stdin=listing, env=index)
            tree = (await self._git("write-tree", env=index)).text
        return await self.commit_tree(tree, (commit,), message, when=await self._date(commit))

    async def ref(self, name: str) -> CommitId | None:
        """The commit a full ref name points to."""
        answer = await self._git("rev-parse", "--verify", "--quiet", _ref_name(name), ok=(0, 1))
        return CommitId(answer.text) if answer.text else None

    async def set_ref(self, name: str, commit: str, *, expect: str | None = None) -> None:
        """Point a full ref name at a commit; with `expect`, only if it points there now.

        Raises:
            GitError: the commit is not here, or the ref has moved.
        """
        expected = [oid(expect)] if expect else []
        await self._git("update-ref", _ref_name(name), oid(commit), *expected)

    async def _date(self, commit: str) -> int:
        return int((await self._git("log", "-1", "--format=%ct", oid(commit))).text)

    async def _diff(self, base: str, commit: str, *options: str) -> Answer:
        flags = ("-r", "-p", "--no-color", "--no-ext-diff", "--no-textconv")
        dash = options.index("--") if "--" in options else len(options)
        return await self._git(
            "diff-tree", *flags, *options[:dash], oid(base), oid(commit), *options[dash:]
        )


async def _weigh(git: Git, head: str, max_bytes: int) -> None:
    """Refuse what is no commit, or would be too large to check out."""
    if (await git("cat-file", "-t", head, ok=(0, 128))).text != "commit":
        raise GitError(f"the bundle names {head}, which is not a commit in it")
    listing = await git("ls-tree", "-r", "-l", "-z", "--full-tree", head, max_output=_MAX_LISTING)
    size = sum(entry.size for entry in entries(listing.out))
    if size > max_bytes:
        raise GitError(f"the files of {head[:12]} have {size} bytes, more than {max_bytes}")


def _release(quarantine: Path, objects: Path) -> None:
    """Move packs to where git looks; an index last, because it makes its pack visible."""
    files = sorted((quarantine / "pack").glob("pack-*"), key=lambda file: file.suffix == ".idx")
    for file in files:
        file.rename(objects / "pack" / file.name)


async def index_pack(git: Git, pack: bytes) -> None:
    """Check every object of a pack and add them to a repository."""
    size = f"--max-input-size={max(len(pack), 1)}"
    await git("index-pack", "--stdin", "--fix-thin", STRICT, size, stdin=pack, timeout_s=600)


async def pack_bundle(git: Git, base: str | None, commit: str, *, name: str = HEAD_NAME) -> bytes:
    """A bundle of what `commit` has and `base` lacks. Nothing is written to the repository."""
    wanted = f"{oid(commit)}\n" + (f"^{oid(base)}\n" if base else "")
    answer = await git(
        "pack-objects", "--stdout", "--revs", "--thin", "--delta-base-offset", "-q",
        stdin=wanted.encode(), timeout_s=600,
    )  # fmt: skip
    needs = (CommitId(base),) if base else ()
    return Bundle({name: CommitId(commit)}, needs, answer.out).encode()


def _ref_name(name: str) -> str:
    if not name.startswith("refs/"):
        raise GitError(f"{name!r} is not a full ref name")
    return name
