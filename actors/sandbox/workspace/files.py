"""Files of a workspace directory, read and written from outside while untrusted code owns it.

Every path is resolved by the kernel from the directory's descriptor and may not leave it:
`openat2` with RESOLVE_BENEATH, or, where that is missing, one component at a time without
following links. Only plain files are opened. All functions block; they take microseconds.
"""

import contextlib
import ctypes
import errno
import os
import secrets
import shutil
import stat
import struct
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Literal

from actors.sandbox.protocol import (
    WORKSPACE,
    FileMissingError,
    FileStat,
    NoSpaceError,
    PathRefusedError,
    SandboxError,
    SandboxUnavailableError,
)
from actors.sandbox.workspace.disk import host_full

_OPENAT2 = 437
_NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x02, 0x04, 0x08
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_PATH = getattr(os, "O_PATH", os.O_RDONLY) | os.O_CLOEXEC
_RACES = 32
_LIBC = ctypes.CDLL(None, use_errno=True)


def relative(path: str) -> str:
    """A path within the workspace, as the resolver takes it.

    Raises:
        PathRefusedError: NUL, not encodable, or absolute outside the workspace.
    """
    if "\0" in path or not _encodable(path):
        raise PathRefusedError(f"the path {path[:200]!r} cannot name a file", "leave out NUL")
    if path == WORKSPACE or path.startswith(f"{WORKSPACE}/"):
        path = path.removeprefix(WORKSPACE).lstrip("/")
    if path.startswith("/"):
        raise _outside(path)
    return path or "."


def _encodable(path: str) -> bool:
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return True


def _outside(path: str) -> PathRefusedError:
    return PathRefusedError(
        f"{path[:200]!r} is not inside the workspace",
        f"use a path relative to {WORKSPACE}, and no link that leads out of it",
    )


def _translated(error: OSError, path: str) -> SandboxError:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return FileMissingError(f"there is no file {path[:200]!r}", "list the directory")
    if error.errno in (errno.EXDEV, errno.ELOOP):
        return _outside(path)
    if error.errno == errno.ENOSPC:
        return host_full()
    if error.errno in (errno.EDQUOT, errno.EFBIG):
        return NoSpaceError(f"no space left for {path[:200]!r}", "remove files, or raise the limit")
    reason = os.strerror(error.errno or 0)
    return PathRefusedError(f"{path[:200]!r} is refused: {reason}", "name a plain file")


@contextlib.contextmanager
def _told(path: str) -> Generator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, SandboxError):
            raise
        raise _translated(error, path) from None


def _openat2(root: int, path: bytes, flags: int, resolve: int) -> int:
    how = struct.pack("=QQQ", flags, 0, resolve)
    for _ in range(_RACES):
        fd = _LIBC.syscall(_OPENAT2, root, path, how, len(how))
        if fd >= 0:
            return fd
        number = ctypes.get_errno()
        if number != errno.EAGAIN:
            raise OSError(number, os.strerror(number))
    raise OSError(errno.EXDEV, "the directory keeps moving")


def _walk(root: int, path: bytes, flags: int) -> int:
    """Without openat2: one component at a time, no links at all, no way up."""
    parts = [part for part in path.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise OSError(errno.EXDEV, "way up")
    fd = os.dup(root)
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        try:
            below = os.open(part, (flags if last else _DIRECTORY) | os.O_NOFOLLOW, dir_fd=fd)
        finally:
            os.close(fd)
        fd = below
    return fd


def _has_openat2() -> bool:
    if not sys.platform.startswith("linux"):
        return False
    _LIBC.syscall(_OPENAT2, -1, b"", b"", 0)
    return ctypes.get_errno() != errno.ENOSYS


class WorkspaceFiles:
    """The files below one directory. With `owner`, what is made belongs to that uid and gid."""

    def __init__(self, directory: Path, *, owner: int | None, largest: int) -> None:
        self._directory = directory
        self._owner = owner
        self._largest = largest
        self._resolve = _has_openat2()
        self._root = os.open(directory, _PATH | os.O_DIRECTORY)

    def close(self) -> None:
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    def _open(self, path: str, flags: int, *, links: bool = True) -> int:
        if not self._resolve:
            return _walk(self._root, os.fsencode(path), flags)
        how = _BENEATH | _NO_MAGICLINKS | (0 if links else _NO_SYMLINKS)
        return _openat2(self._root, os.fsencode(path), flags | os.O_CLOEXEC, how)

    def size(self, path: str) -> int:
        """Bytes of a plain file: enough to decide whether reading it may take long."""
        with _told(path):
            fd = self._open(relative(path), _PATH)
            try:
                return os.fstat(fd).st_size
            finally:
                os.close(fd)

    def read(self, path: str, offset: int, limit: int) -> bytes:
        with _told(path):
            fd = self._open(relative(path), _READ)
            try:
                return _read_plain(fd, path, offset, limit)
            finally:
                os.close(fd)

    def write(self, path: str, data: bytes, mode: int) -> None:
        if len(data) > self._largest:
            raise NoSpaceError(
                f"{path[:200]!r} would be {len(data)} bytes",
                f"the largest file here is {self._largest} bytes",
            )
        with _told(path):
            folder, name = self._parent(self._target(relative(path)), make=True)
            try:
                self._replace(folder, name, data, mode)
            finally:
                os.close(folder)

    def _target(self, path: str) -> str:
        """Where a write lands: a link that stays inside is followed, any other is refused."""
        try:
            fd = self._open(path, _PATH)
        except FileNotFoundError:
            return path
        try:
            kind = os.fstat(fd).st_mode
            if not stat.S_ISREG(kind):
                raise PathRefusedError(f"{path[:200]!r} is not a plain file", "choose another name")
            if not self._resolve:
                return path
            real = Path(f"/proc/self/fd/{fd}").readlink()
        finally:
            os.close(fd)
        home = Path(f"/proc/self/fd/{self._root}").readlink()
        return str(real.relative_to(home)) if real.is_relative_to(home) else path

    def _parent(self, path: str, *, make: bool) -> tuple[int, str]:
        """The descriptor of the directory that holds `path`, and the last name."""
        head, _, name = path.rstrip("/").rpartition("/")
        if name in ("", ".", ".."):
            raise PathRefusedError(f"{path[:200]!r} is not a name", "name a file")
        try:
            return self._open(head or ".", _DIRECTORY), name
        except FileNotFoundError:
            if not make:
                raise
        self._make_directories(head)
        return self._open(head, _DIRECTORY), name

    def _make_directories(self, path: str) -> None:
        head, _, name = path.rstrip("/").rpartition("/")
        try:
            folder = self._open(head or ".", _DIRECTORY)
        except FileNotFoundError:
            self._make_directories(head)
            folder = self._open(head, _DIRECTORY)
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o755, dir_fd=folder)
                self._give(name, folder)
        finally:
            os.close(folder)

    def _give(self, name: str, folder: int) -> None:
        if self._owner is not None:
            os.chown(name, self._owner, self._owner, dir_fd=folder, follow_symlinks=False)

    def _replace(self, folder: int, name: str, data: bytes, mode: int) -> None:
        if stat.S_ISLNK(_mode(name, folder)):
            raise _outside(name)
        temporary = f".manta-{secrets.token_hex(6)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(temporary, flags, 0o600, dir_fd=folder)
        try:
            if self._owner is not None:
                os.fchown(fd, self._owner, self._owner)
            os.fchmod(fd, mode & 0o777)
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
            raise
        finally:
            os.close(fd)

    def stat(self, path: str) -> FileStat:
        with _told(path):
            plain = relative(path)
            if plain.rstrip("/").rpartition("/")[2] in ("", ".", ".."):
                fd = self._open(plain, _PATH)
                try:
                    return _described(plain, os.fstat(fd))
                finally:
                    os.close(fd)
            folder, name = self._parent(plain, make=False)
            try:
                return _described(plain, os.stat(name, dir_fd=folder, follow_symlinks=False))
            finally:
                os.close(folder)

    def list(self, path: str, depth: int, limit: int) -> list[FileStat]:
        start = relative(path).rstrip("/") or "."
        with _told(path):
            found = self._below("" if start == "." else start, depth, limit)
        return sorted(found, key=lambda entry: entry.path)

    def _below(self, start: str, depth: int, limit: int) -> "list[FileStat]":
        found: list[FileStat] = []
        waiting = [(start, depth)]
        while waiting and len(found) < limit:
            folder, left = waiting.pop()
            entries = self._entries(folder, top=folder == start)
            found += entries
            if left > 1:
                deeper = [(entry.path, left - 1) for entry in entries if entry.kind == "directory"]
                waiting += reversed(deeper)
        return found[:limit]

    def _entries(self, folder: str, *, top: bool) -> "list[FileStat]":
        try:
            fd = self._open(folder or ".", _DIRECTORY, links=top)
        except OSError:
            if top:
                raise
            return []
        prefix = f"{folder}/" if folder else ""
        try:
            entries: list[FileStat] = []
            with os.scandir(fd) as found:
                names = sorted(entry.name for entry in found)
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                    entries.append(_described(prefix + name, status))
            return entries
        finally:
            os.close(fd)

    def remove(self, path: str) -> None:
        with _told(path), contextlib.suppress(FileNotFoundError):
            folder, name = self._parent(relative(path), make=False)
            try:
                if not stat.S_ISDIR(_mode(name, folder)):
                    os.unlink(name, dir_fd=folder)
                    return
                grave = self._directory.with_name(f".removed-{secrets.token_hex(6)}")
                os.rename(name, grave, src_dir_fd=folder)
            finally:
                os.close(folder)
            delete_tree(grave)


def delete_tree(path: Path) -> None:
    """Remove a tree that hostile code made: any depth, any mode, no link followed.

    `rm` walks by descriptors without recursion; Python's own rmtree ends at 1,000 levels.
    """
    try:
        shutil.rmtree(path)
    except (OSError, RecursionError):
        if not path.exists():
            return
        run_quietly("chmod", "-R", "u+rwX", "--", str(path))
        run_quietly("rm", "-rf", "--", str(path))


def copy_tree(source: Path, target: Path, *, hurry: bool = True) -> None:
    """Copy a tree that nobody changes meanwhile, sharing blocks where the file system can.

    Without `hurry` everybody else's work goes first.

    Raises:
        SandboxUnavailableError: it could not be copied whole.
    """
    sharing = ("--reflink=auto",) if sys.platform.startswith("linux") else ("-c",)
    if not run_quietly("cp", "-a", *sharing, "--", f"{source}/.", str(target)):
        raise SandboxUnavailableError(
            f"cannot copy {source.parent.name}", "free disk space and try again"
        )


def run_quietly(*argv: str) -> bool:
    """Run a small tool of the host's to its end; True if it succeeded."""
    done = subprocess.run(argv, check=False, capture_output=True, env={"PATH": os.defpath})
    return done.returncode == 0


def _mode(name: str, folder: int) -> int:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return 0


def _read_plain(fd: int, path: str, offset: int, limit: int) -> bytes:
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise PathRefusedError(f"{path[:200]!r} is not a plain file", "name a plain file")
    return os.pread(fd, max(0, min(limit, status.st_size - offset)), offset)


def _described(path: str, status: os.stat_result) -> FileStat:
    kinds: dict[int, Literal["file", "directory", "symlink"]] = {
        stat.S_IFREG: "file",
        stat.S_IFDIR: "directory",
        stat.S_IFLNK: "symlink",
    }
    return FileStat(
        path=path,
        kind=kinds.get(stat.S_IFMT(status.st_mode), "other"),
        size=status.st_size,
        mode=stat.S_IMODE(status.st_mode),
        mtime_ns=status.st_mtime_ns,
    )
