"""A blob's name is the SHA-256 of its content, wherever it is kept."""

import hashlib

from orchestration.errors import NotFoundError, StoreError
from orchestration.ids import BlobId


def address(content: bytes) -> BlobId:
    """The name of this content."""
    return BlobId(hashlib.sha256(content).hexdigest())


def checked(blob: BlobId, content: bytes, where: str) -> bytes:
    """The content, if it is what its address says.

    Raises:
        StoreError: it is not.
    """
    if address(content) != blob:
        raise StoreError(
            f"blob {blob[:12]} is damaged ({where})",
            "restore it from a backup, or fork the run before the step that wrote it",
        )
    return content


def missing(blob: BlobId) -> NotFoundError:
    """The error for a blob that is not there."""
    return NotFoundError(
        f"blob {blob[:12]} is not in the store", "was the state directory moved apart?"
    )
