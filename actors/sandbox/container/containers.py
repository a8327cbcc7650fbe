"""Containers of one provider, in an engine: started, found, woken and removed. All of it blocks."""

import functools
import json
import os
import socket
import time
from contextlib import suppress
from pathlib import Path

from actors.sandbox.container.argv import DOOR, ROOT_LABEL, Box, copy_argv, keeper_argv, name_of
from actors.sandbox.local.cgroups import Groups, memory_group
from actors.sandbox.protocol import SandboxLostError
from actors.sandbox.workspace.store import Record, lost

_STARTS_WITHIN_S = 60.0
_LOOKS_EVERY_S = 0.05
_STARTING = ("", "created", "configured", "initialized")
_STANDING = ("running", "paused")
_COPIES_WITHIN_S = 600.0


class Containers:
    """Those made from one image, for the sandboxes below one directory."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self._ask = box.engine.ask

    @functools.cached_property
    def image_words(self) -> list[str]:
        """The environment that the image sets, as NAME=VALUE.

        Raises:
            SandboxUnavailableError: there is no such image here; says how to build it.
        """
        words = self._ask("image", "inspect", "--format", "{{json .Config.Env}}", self.box.image)
        return json.loads(words) or []

    def start(self, record: Record) -> Groups:
        """The container of a sandbox runs on return, made by us or by another process of ours.
        Returns the group that counts its memory, where that can be seen.

        Raises:
            SandboxLostError: it ran once, and has ended.
            SandboxError: the engine refuses.
        """
        try:
            _mark(record).touch(exist_ok=False)
        except FileExistsError:
            return self._found(record)
        door = _door(record) if record.spec.egress else None
        try:
            # Podman's monitor leaves a file where it was started when memory runs out.
            self._ask(*keeper_argv(self.box, record, door=door), cwd=record.home)
        except BaseException:
            self.remove(record)
            _mark(record).unlink(missing_ok=True)
            raise
        return self._found(record)

    def _found(self, record: Record) -> Groups:
        deadline = _mark(record).stat().st_mtime + _STARTS_WITHIN_S
        state, pid = self._state(record)
        while state in _STARTING and time.time() < deadline:
            time.sleep(_LOOKS_EVERY_S)
            state, pid = self._state(record)
        if state not in _STANDING:
            raise lost(record.id)
        return memory_group(pid) if self.box.engine.same_kernel else Groups()

    def _state(self, record: Record) -> tuple[str, int]:
        """In the engine's words, "" if there is none; and the host's number of process 1."""
        how = "{{.State.Status}} {{.State.Pid}}"
        try:
            words = self._ask("container", "inspect", "--format", how, name_of(record.id))
        except SandboxLostError:
            return "", 0
        state, pid = words.split()
        return state, int(pid)

    def tasks_allowed(self, record: Record) -> int:
        """What the kernel shall allow the sandbox's user, where no control group counts: those it
        has on this machine now, in other sandboxes too, and those of this one."""
        if "pids" in self.box.engine.limits:
            return 0
        uid = os.geteuid() if record.owner is None else record.owner
        return record.spec.limits.processes + _tasks_of(uid)

    def stands(self, record: Record) -> bool:
        """Whether the container is there, or was never needed yet."""
        return not _mark(record).exists() or self._state(record)[0] in (*_STARTING[1:], *_STANDING)

    def thaw(self, record: Record) -> None:
        """Undo a pause, if there is one."""
        if self._state(record)[0] == "paused":
            self._ask("unpause", name_of(record.id))

    def copy(self, record: Record, place: Path) -> None:
        """Copy a workspace into an empty directory of the same owner."""
        self._ask(*copy_argv(self.box, record, place), timeout_s=_COPIES_WITHIN_S)

    def remove(self, record: Record) -> None:
        """End everything inside, and the container itself; fine if it is gone."""
        if _mark(record).exists():
            self._remove(name_of(record.id))

    def _remove(self, name: str) -> None:
        with suppress(SandboxLostError):
            self._ask(*self.box.engine.dialect.remove, name)

    def remove_strays(self, known: set[str]) -> None:
        """Remove containers of ours whose sandbox is not among these any more."""
        of_ours = f"label={ROOT_LABEL}={self.box.root}"
        names = self._ask("ps", "--all", "--filter", of_ours, "--format", "{{.Names}}").split()
        for name in set(names) - {name_of(record_id) for record_id in known}:
            self._remove(name)


def _tasks_of(uid: int) -> int:
    """Threads of a user on this machine."""
    found = 0
    for path in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):
            lines = path.read_text().splitlines()
            facts = {
                name: rest.split() for name, _, rest in (line.partition(":") for line in lines)
            }
            found += int(facts["Threads"][0]) if facts["Uid"][0] == str(uid) else 0
    return found


def _mark(record: Record) -> Path:
    """Exists once a container was asked for."""
    return record.home / "container"


def _door(record: Record) -> Path:
    return record.home / "door"


def open_door(record: Record) -> socket.socket:
    """A listening socket in the directory that is shown to the sandbox. Whoever uses the sandbox
    last answers at it."""
    folder = _door(record)
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    listener = socket.socket(socket.AF_UNIX)
    handle = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        (folder / DOOR).unlink(missing_ok=True)
        listener.bind(f"/proc/self/fd/{handle}/{DOOR}")  # a path may be too long for a socket
    except BaseException:
        listener.close()
        raise
    finally:
        os.close(handle)
    (folder / DOOR).chmod(0o666)
    listener.listen(64)
    listener.setblocking(False)
    return listener
