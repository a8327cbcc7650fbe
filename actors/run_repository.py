"""A run's own repository: a bare one that is a cache of bundles in the journal.

Every commit that a record names is carried by bundles which were durable before that record.
"""

from collections.abc import Sequence
from pathlib import Path

from actors.git.records import FileEntry
from actors.git.repository import BareRepository
from actors.tools.text import neutralise
from orchestration.ids import CommitId
from orchestration.kinds import has_runner_section, is_test_path, runner_section
from orchestration.messages import FileChange, Patch, TreeRef
from orchestration.workflow.journal import Journal

DIFF_LIMIT = 200_000
"""Bytes of a diff shown to reviewers and people."""


class RunRepository:
    """Objects only: no working tree, nothing of the repository is ever run here."""

    def __init__(self, bare: BareRepository, journal: Journal) -> None:
        self._bare, self._journal = bare, journal

    @classmethod
    async def open(cls, path: Path, journal: Journal) -> "RunRepository":
        """The repository at `path`, made if it is not there."""
        return cls(await BareRepository.create(path), journal)

    async def hold(self, tree: TreeRef) -> TreeRef:
        """Make sure that the tree is here, fetching its bundles if it is not."""
        if not await self._bare.has(tree.commit):
            for blob in tree.bundles:
                await self._bare.import_bundle(await self._journal.get_blob(blob))
        return tree

    async def has(self, commit: CommitId) -> bool:
        return await self._bare.has(commit)

    async def contains(self, newer: CommitId, older: CommitId) -> bool:
        """Whether `older` is part of the history of `newer`."""
        return await self._bare.is_ancestor(older, newer)

    async def parents(self, commit: CommitId) -> tuple[CommitId, ...]:
        (entry,) = await self._bare.log(commit, limit=1)
        return entry.parents

    async def content(self, tree: TreeRef) -> str:
        """What the tree contains, as an id: equal for equal files."""
        return await self._bare.tree((await self.hold(tree)).commit)

    async def files(self, tree: TreeRef) -> tuple[FileEntry, ...]:
        return await self._bare.files((await self.hold(tree)).commit)

    async def text(self, commit: str, path: str) -> str:
        """A file as text, odd bytes replaced."""
        return (await self.read(commit, path)).decode(errors="replace")

    async def read(self, commit: str, path: str) -> bytes:
        """A file of a tree that is held."""
        return await self._bare.read(commit, path)

    async def blobs(self, ids: Sequence[str]) -> dict[str, bytes]:
        """Files by blob id, of trees that are held."""
        return await self._bare.blobs(ids)

    async def texts(self, patch: Patch) -> dict[str, str]:
        """The files that a patch adds or changes."""
        tree = await self.hold(patch.tree)
        paths = [c.path for c in patch.changes if c.status != "D" and c.new_mode.startswith("100")]
        return {path: await self.text(tree.commit, path) for path in paths}

    async def present(self, tree: TreeRef, paths: Sequence[str], *, tests: bool) -> dict[str, str]:
        """Those of the paths that exist as plain files and are tests, or are none."""
        there = {f.path for f in await self.files(tree) if f.mode.startswith("100")}
        wanted = [p for p in paths if p in there and is_test_path(p) is tests]
        return {path: await self.text(tree.commit, path) for path in wanted}

    async def diff(self, base: TreeRef, tree: TreeRef, *, max_bytes: int = DIFF_LIMIT) -> str:
        await self.hold(base)
        await self.hold(tree)
        return await self._bare.diff(base.commit, tree.commit, max_bytes=max_bytes)

    async def added_lines(self, base: TreeRef, tree: TreeRef) -> dict[str, dict[int, str]]:
        """Lines that the change adds: path -> line number -> text."""
        return await self._bare.added_lines(base.commit, tree.commit)

    async def adopt(
        self, start: TreeRef, handed: TreeRef, message: str, parents: Sequence[CommitId] = ()
    ) -> TreeRef:
        """The content of a commit made elsewhere, as a commit of ours on `start`."""
        await self.hold(start)
        await self.hold(handed)
        commit = await self._bare.adopt(
            handed.commit, (start.commit, *parents), neutralise(message)
        )
        return await self._carried(start, commit)

    async def merge(
        self, ours: TreeRef, theirs: TreeRef, message: str
    ) -> tuple[TreeRef | None, tuple[str, ...]]:
        """A merge commit on `ours`, or None and the paths that conflict."""
        await self.hold(ours)
        await self.hold(theirs)
        result = await self._bare.merge(ours.commit, theirs.commit, neutralise(message))
        if result.commit is None:
            return None, result.conflicts
        return await self._carried(ours, result.commit), ()

    async def restored(self, tree: TreeRef, base: TreeRef, paths: Sequence[str]) -> TreeRef:
        """`tree` with these files as they are in `base`; gone where they are not there."""
        await self.hold(base)
        await self.hold(tree)
        message = f"Restore {len(paths)} files to prove that they are not needed"
        commit = await self._bare.with_files_of(tree.commit, base.commit, paths, message)
        return await self._carried(tree, commit)

    async def patch(self, base: TreeRef, tree: TreeRef, title: str, notes: str) -> Patch:
        """What `tree` changes against `base`, read from objects and not from what anybody said."""
        await self.hold(base)
        await self.hold(tree)
        changes = await self._bare.changes(base.commit, tree.commit)
        return Patch(
            base=base,
            tree=tree,
            title=title,
            notes=notes,
            changes=changes,
            settings_changed=await self._settings_changed(base, tree, changes),
        )

    async def bundle(self, base: TreeRef, tree: TreeRef, branch: str) -> bytes:
        """What `tree` has and `base` lacks, as `branch`."""
        await self.hold(tree)
        return await self._bare.bundle(base.commit, tree.commit, name=f"refs/heads/{branch}")

    async def _settings_changed(
        self, base: TreeRef, tree: TreeRef, changes: Sequence[FileChange]
    ) -> tuple[str, ...]:
        changed: list[str] = []
        for change in (c for c in changes if has_runner_section(c.path)):
            path = change.path
            before = "" if change.status == "A" else await self.text(base.commit, path)
            after = "" if change.status == "D" else await self.text(tree.commit, path)
            if runner_section(path, before) != runner_section(path, after):
                changed.append(path)
        return tuple(changed)

    async def _carried(self, start: TreeRef, commit: CommitId) -> TreeRef:
        """`start` plus one commit; its bundle is durable before anything names it."""
        if commit == start.commit:
            return start
        bundle = await self._bare.bundle(start.commit, commit)
        return start.plus(commit, await self._journal.put_blob(bundle))
