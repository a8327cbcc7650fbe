"""Blobs: content by its address."""

import asyncio
import hashlib

import pytest

from orchestration.errors import NotFoundError
from orchestration.ids import BlobId
from tests.contracts.journal.conftest import Store


@pytest.mark.parametrize("content", [b"", b"\0\xff\n", b"x" * 300_000], ids=["none", "few", "many"])
async def test_a_blob_comes_back_as_it_was(store: Store, content: bytes) -> None:
    blob = await store.journal.put_blob(content)
    assert blob == hashlib.sha256(content).hexdigest()
    assert await store.journal.get_blob(blob) == content


async def test_the_same_content_is_stored_once(store: Store) -> None:
    async with asyncio.TaskGroup() as group:
        puts = [group.create_task(store.journal.put_blob(b"same")) for _ in range(8)]
    assert len({put.result() for put in puts}) == 1
    assert await store.journal.get_blob(puts[0].result()) == b"same"


@pytest.mark.parametrize("blob", ["0" * 64, "", "../../store.db", "nothing"])
async def test_an_unknown_blob_is_an_error(store: Store, blob: str) -> None:
    with pytest.raises(NotFoundError):
        await store.journal.get_blob(BlobId(blob))
