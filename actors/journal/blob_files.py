"""Blobs as files named by their content, for an embedded store.

A blob is written beside its place, synced, and moved there: it is whole under its name or it is
not there.
"""

import os
import re
import secrets
from pathlib import Path

from actors.journal.blobs import address, checked, missing
from orchestration.errors import StoreError
from orchestration.ids import BlobId

_ADDRESS = re.compile(r"[0-9a-f]{64}")


class BlobFiles:
    """Blobs below one directory. Its methods block: call them from a thread."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._unfinished = directory / "unfinished"

    def open(self) -> None:
        """Make the directory, and drop what a killed process left half written.

        Raises:
            StoreError: it cannot be written.
        """
        try:
            self._unfinished.mkdir(parents=True, exist_ok=True)
            for orphan in self._unfinished.iterdir():
                orphan.unlink()
            _sync_directory(self._directory.parent)
        except OSError as error:
            raise StoreError(
                f"{self._directory} cannot be written: {error.strerror}", "make it writable"
            ) from error

    def put(self, content: bytes) -> BlobId:
        """Store the content; durable on return. A damaged copy of it is healed.

        Raises:
            StoreError: it could not be written; nothing stays behind.
        """
        blob = address(content)
        path = self._directory / blob
        if path.exists() and path.read_bytes() == content:
            return blob
        unfinished = self._unfinished / secrets.token_hex(8)
        try:
            _write_synced(unfinished, content)
            unfinished.replace(path)
            _sync_directory(self._directory)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise StoreError(
                f"a blob of {len(content)} bytes could not be written below {self._directory}: "
                f"{error.strerror}",
                "free some space there, then resume",
            ) from error
        return blob

    def get(self, blob: BlobId) -> bytes:
        """Read a blob and check it.

        Raises:
            NotFoundError: there is none of this name.
            StoreError: the file is torn.
        """
        if not _ADDRESS.fullmatch(blob):
            raise missing(blob)
        path = self._directory / blob
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise missing(blob) from None
        except OSError as error:
            raise StoreError(
                f"{path} cannot be read: {error.strerror}", "check the disk and its permissions"
            ) from error
        return checked(blob, content, str(path))


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
