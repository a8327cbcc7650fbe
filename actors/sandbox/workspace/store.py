"""Sandboxes as directories of this machine: one each, found again by their labels.

root/<id>/sandbox.json   what it is        root/<id>/workspace/   what it owns
root/.gone/<id>          being deleted     root/.etc/             files shown as its /etc
root/.kept/              snapshots         root/.egress/          logs of sandboxes that ended
"""

import contextlib
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from actors.sandbox.protocol import (
    Level,
    SandboxLimits,
    SandboxLostError,
    SandboxRef,
    SandboxSpec,
    SandboxUnavailableError,
)
from actors.sandbox.workspace.files import delete_tree

_FIRST_UID = 0x70000000
_UIDS = 0x08000000
"""A range that Linux distributions leave to nobody."""
_MADE_WITHIN_S = 600.0
_LOGS_S = 30 * 86_400.0
"""How long what a sandbox asked of the network is kept after its end."""


@dataclass(frozen=True, slots=True)
class Record:
    """One sandbox on disk. `owner` is the uid its processes have, None for our own."""

    id: str
    level: Level
    spec: SandboxSpec
    owner: int | None
    home: Path
    expires: float | None = None
    """Wall-clock seconds since the epoch."""

    @property
    def workspace(self) -> Path:
        return self.home / "workspace"

    @property
    def pause_mark(self) -> Path:
        """Exists while the sandbox is paused, so that every process of ours knows."""
        return self.home / "paused"

    @property
    def end_mark(self) -> Path:
        """Exists from the moment on that somebody ends the sandbox."""
        return self.home / "ended"

    @property
    def egress_log(self) -> Path:
        """One line per decision of its proxy."""
        return self.home / "egress.jsonl"

    @property
    def ref(self) -> SandboxRef:
        return SandboxRef(self.level, self.id, dict(self.spec.labels))


class DirectoryStore:
    """The directories of one level below one root. Methods block for a millisecond or so."""

    def __init__(self, root: Path, level: Level, *, separate_owner: bool) -> None:
        self.root = root.absolute()
        self._level: Level = level
        self._separate_owner = separate_owner

    def create(self, spec: SandboxSpec, now: float) -> Record:
        """A new, empty sandbox.

        Raises:
            SandboxUnavailableError: the directory cannot be made.
        """
        name = secrets.token_hex(8)
        record = Record(
            id=name,
            level=self._level,
            spec=spec,
            owner=new_owner() if self._separate_owner else None,
            home=self.root / name,
            expires=None if spec.ttl_s is None else now + spec.ttl_s,
        )
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            record.home.mkdir(mode=0o700)
            record.workspace.mkdir(mode=0o700)
            if record.owner is not None:
                os.chown(record.workspace, record.owner, record.owner)
            self.save(record)
        except OSError as error:
            raise SandboxUnavailableError(
                f"cannot make a sandbox below {self.root}: {error}",
                "choose a writable state directory with free space",
            ) from None
        return record

    def save(self, record: Record) -> None:
        """Write what a sandbox is, atomically."""
        body = {**asdict(record), "home": str(record.home)}
        temporary = record.home / ".sandbox.json"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(body, file)
        temporary.rename(record.home / "sandbox.json")

    def load(self, name: str) -> Record:
        """Find one by id.

        Raises:
            SandboxLostError: there is none.
        """
        if not name.isalnum():
            raise lost(name)
        try:
            body = json.loads((self.root / name / "sandbox.json").read_text())
            record = _record(body, self.root / name)
        except (OSError, ValueError, KeyError, TypeError):
            raise lost(name) from None
        if record.level != self._level:
            raise lost(name)
        return record

    def all(self) -> Iterator[Record]:
        """Every sandbox that is whole."""
        if not self.root.is_dir():
            return
        for path in sorted(self.root.iterdir()):
            with contextlib.suppress(SandboxLostError):
                yield self.load(path.name)

    def find(self, labels: Mapping[str, str]) -> list[Record]:
        wanted = labels.items()
        return [record for record in self.all() if wanted <= dict(record.spec.labels).items()]

    def renew(self, record: Record, expires: float | None) -> Record:
        renewed = replace(record, expires=expires)
        self.save(renewed)
        return renewed

    def remove(self, record: Record) -> None:
        """Delete a sandbox whose processes are dead. Gone at once, emptied after."""
        grave, logs = self.root / ".gone", self.root / ".egress"
        grave.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            if record.egress_log.exists():
                logs.mkdir(mode=0o700, exist_ok=True)
                record.egress_log.rename(logs / f"{record.id}.jsonl")
            record.home.rename(grave / record.id)
        delete_tree(grave / record.id)

    def bury(self) -> None:
        """Empty what was half removed or half made, by a process that died midway, long ago."""
        grave = self.root / ".gone"
        grave.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in (*self.root.iterdir(), *grave.iterdir()):
            whole = path.name.startswith(".") or (path / "sandbox.json").exists()
            if path.parent == grave or (not whole and _older(path, _MADE_WITHIN_S)):
                delete_tree(path)
        for log in (self.root / ".egress").glob("*.jsonl"):
            if _older(log, _LOGS_S):
                log.unlink(missing_ok=True)

    def adopt(self, record: Record, owner: int | None) -> Record:
        """The sandbox's workspace belongs to somebody else from now on."""
        adopted = replace(record, owner=owner)
        self.save(adopted)
        return adopted


def _older(path: Path, seconds: float) -> bool:
    """False too if somebody else has removed it meanwhile."""
    with contextlib.suppress(FileNotFoundError):
        return time.time() - path.stat().st_mtime > seconds
    return False


def _record(body: dict[str, Any], home: Path) -> Record:  # Any: JSON of our own file
    known = {item.name for item in fields(SandboxSpec)}
    spec = {key: value for key, value in body["spec"].items() if key in known}
    for name in ("egress", "toolchains"):
        spec[name] = tuple(spec.get(name, ()))
    limits = {item.name for item in fields(SandboxLimits)}
    kept = {key: value for key, value in spec.pop("limits", {}).items() if key in limits}
    return Record(
        id=body["id"],
        level=body["level"],
        owner=body["owner"],
        home=home,
        expires=body["expires"],
        spec=SandboxSpec(**spec, limits=SandboxLimits(**kept)),
    )


def lost(name: str) -> SandboxLostError:
    """The error of a sandbox that is not there."""
    return SandboxLostError(f"sandbox {name[:80]!r} is gone", "make a new one")


def new_owner() -> int:
    """An unused uid for one sandbox, from a range this machine (or container) maps."""
    first, size = _FIRST_UID, _UIDS
    lines = Path("/proc/self/uid_map").read_text().splitlines()
    mapped = max((int(line.split()[0]) + int(line.split()[2]) for line in lines), default=1 << 32)
    if mapped < first + size:
        first, size = mapped // 2, mapped // 3
    return first + secrets.randbelow(size)
