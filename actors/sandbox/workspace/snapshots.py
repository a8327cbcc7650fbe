"""Snapshots of workspaces, and copies of them made ahead of need.

root/.kept/<sandbox>-<random>/workspace/       the snapshot, owned like its sandbox's workspace
root/.kept/<sandbox>-<random>/snapshot.json    its labels and size
root/.kept/<sandbox>-<random>/spare-<random>/  a copy that the next sandbox takes by renaming it
"""

import contextlib
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from actors.sandbox.workspace.disk import kept, used
from actors.sandbox.workspace.files import copy_tree, delete_tree, run_quietly
from actors.sandbox.workspace.store import DirectoryStore, Record, new_owner
from orchestration.errors import NotFoundError

SPARES = 4
"""Copies in stock: as many coders may begin at once."""
_SPARED_BYTES = 64 * 1024**2
"""A larger snapshot is copied when it is asked for: a stock of it would cost too much disk."""
_UNUSED_S = 7 * 86_400.0


class Snapshots:
    """The snapshots of one level below one root. All methods block."""

    def __init__(self, store: DirectoryStore, *, separate_owner: bool) -> None:
        self._store = store
        self._kept = store.root / ".kept"
        self._separate_owner = separate_owner

    def place(self, record: Record) -> Path:
        """Where the next snapshot of a sandbox goes, empty, owned like its workspace."""
        place = self._kept / f"{record.id}-{secrets.token_hex(4)}"
        with kept():
            (place / "workspace").mkdir(mode=0o700, parents=True)
            _give(place / "workspace", record.owner)
            self._describe(place, dict(record.spec.labels), None)
        return place / "workspace"

    def fill(self, record: Record, snapshot: str) -> Record:
        """Give a new sandbox the snapshot's files: a spare copy, or one made now.

        Raises:
            NotFoundError: there is no such snapshot.
            SandboxUnavailableError: it cannot be copied whole.
        """
        place = self._found(snapshot)
        with contextlib.suppress(OSError):
            os.utime(place)
        for spare in place.glob("spare-*"):
            with contextlib.suppress(OSError):
                spare.rename(record.workspace)
                owner = record.workspace.stat().st_uid if self._separate_owner else None
                return self._store.adopt(record, owner)
        _copy(place / "workspace", record.workspace, record.owner)
        return record

    def stock(self, snapshot: str) -> None:
        """Make spare copies up to the number wanted; quietly none if that fails."""
        with contextlib.suppress(NotFoundError, OSError):
            place = self._found(snapshot)
            while len(list(place.glob("spare-*"))) < SPARES and self._is_small(place):
                self._add_spare(place)

    def sweep(self, labels: Mapping[str, str], keep: Sequence[str]) -> None:
        """Remove the snapshots of sandboxes with these labels, and those long unused."""
        for place, owned in self._all():
            meant = place.name.partition("-")[0] not in keep and labels.items() <= owned.items()
            if meant or time.time() - place.stat().st_mtime > _UNUSED_S:
                delete_tree(place)

    def _add_spare(self, place: Path) -> None:
        building = place / f".building-{secrets.token_hex(4)}"
        building.mkdir(mode=0o700)
        owner = new_owner() if self._separate_owner else None
        try:
            _give(building, owner)
            _copy(place / "workspace", building, owner, hurry=False)
            building.rename(place / f"spare-{secrets.token_hex(4)}")
        except OSError:
            delete_tree(building)
            raise

    def _is_small(self, place: Path) -> bool:
        """Measured once; its files do not change any more."""
        about = json.loads((place / "snapshot.json").read_text())
        if about["bytes"] is None:
            about["bytes"] = used(place / "workspace")
            self._describe(place, about["labels"], about["bytes"])
        return about["bytes"] <= _SPARED_BYTES

    def _describe(self, place: Path, labels: Mapping[str, str], size: int | None) -> None:
        temporary = place / f".snapshot-{secrets.token_hex(4)}"
        temporary.write_text(json.dumps({"labels": dict(labels), "bytes": size}))
        temporary.rename(place / "snapshot.json")

    def _found(self, snapshot: str) -> Path:
        place = self._kept / snapshot
        if not snapshot.replace("-", "").isalnum() or not (place / "workspace").is_dir():
            raise NotFoundError(f"there is no snapshot {snapshot[:80]!r}", "prepare it again")
        return place

    def _all(self) -> Iterator[tuple[Path, dict[str, str]]]:
        for place in self._kept.iterdir() if self._kept.is_dir() else ():
            with contextlib.suppress(OSError, ValueError, KeyError):
                yield place, json.loads((place / "snapshot.json").read_text())["labels"]


def _give(path: Path, owner: int | None) -> None:
    if owner is not None:
        os.chown(path, owner, owner)


def _copy(source: Path, target: Path, owner: int | None, *, hurry: bool = True) -> None:
    """Copy files that nobody inside can see now, and give them to their new owner."""
    copy_tree(source, target, hurry=hurry)
    if owner is not None:
        run_quietly("chown", "-Rh", "-P", f"{owner}:{owner}", "--", str(target))
