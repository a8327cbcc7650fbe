import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from milvus_lite.adapter.grpc.server import start_server_in_thread
from pymilvus import MilvusClient

from actors.vector_store.lite import LiteServer
from actors.vector_store.milvus import MilvusStore
from orchestration.clock import SystemClock
from orchestration.errors import StoreError
from tests.contracts.vector_store import Make, VectorStoreContract, ids, row

pytestmark = pytest.mark.slow


class EventfulClock(SystemClock):
    """Does not wait: something happens meanwhile."""

    def __init__(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.waits: list[float] = []
        self._meanwhile = meanwhile

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self._meanwhile()


def store_at(place: Path | str, clock: SystemClock | None = None) -> MilvusStore:
    return MilvusStore(str(place), dimension=3, clock=clock or EventfulClock())


class TestMilvusLite(VectorStoreContract):
    @pytest.fixture
    def make(self, tmp_path: Path) -> Make:
        return lambda: store_at(tmp_path / "memory")


@pytest.mark.slow
class TestMilvusServer(VectorStoreContract):
    @pytest.fixture
    def make(self, tmp_path: Path):
        server, engine, port = start_server_in_thread(str(tmp_path / "server"))
        yield lambda: store_at(f"http://127.0.0.1:{port}")
        server.stop(grace=1).wait()
        engine.close()


async def test_a_locked_directory_is_named_with_the_way_out(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms = tmp_path_factory.mktemp("r")  # a short name: sockets' paths must be short
    monkeypatch.setattr(tempfile, "tempdir", str(rooms))
    other = LiteServer(tmp_path / "memory")
    clock = EventfulClock()
    with pytest.raises(StoreError, match=r"memory is in use by another process — end the other"):
        await store_at(tmp_path / "memory", clock).open()
    other.close()
    assert list(rooms.iterdir()) == []
    assert len(clock.waits) == 3
    assert sum(clock.waits) < 2


async def test_a_lock_that_is_freed_while_waiting_is_taken(tmp_path: Path) -> None:
    other = LiteServer(tmp_path / "memory")
    store = store_at(tmp_path / "memory", EventfulClock(other.close))
    await store.open()
    assert await store.ids("shop", "code") == set()
    await store.close()


async def test_only_this_user_reaches_the_engine_and_closing_leaves_nothing(tmp_path: Path) -> None:
    lite = LiteServer(tmp_path / "memory")
    room = Path(lite.uri.removeprefix("unix:")).parent
    assert room.stat().st_mode & 0o077 == 0
    lite.close()
    assert not room.exists()
    LiteServer(tmp_path / "memory").close()


async def test_a_file_of_an_old_version_is_a_clear_error_and_stays(tmp_path: Path) -> None:
    old = tmp_path / "memory.db"
    old.write_bytes(b"SQLite format 3\x00")
    with pytest.raises(StoreError, match=r"memory\.db cannot be opened"):
        await store_at(old).open()
    assert old.read_bytes() == b"SQLite format 3\x00"


async def test_a_torn_index_is_a_clear_error(tmp_path: Path) -> None:
    store = store_at(tmp_path / "memory")
    await store.open()
    await store.close()
    for schema in (tmp_path / "memory").rglob("schema.json"):
        schema.write_text("{torn")
    with pytest.raises(StoreError, match=r"cannot be opened.*built anew"):
        await store_at(tmp_path / "memory").open()


async def test_a_server_that_is_away_is_a_clear_error_without_its_password() -> None:
    with pytest.raises(StoreError, match=r"memory at 127\.0\.0\.1 cannot be opened") as caught:
        await store_at("http://root:hunter2@127.0.0.1:9").open()
    assert "hunter2" not in str(caught.value)


async def test_a_half_made_collection_is_finished(tmp_path: Path) -> None:
    store = store_at(tmp_path / "memory")
    await store.open()
    await store.close()
    lite = LiteServer(tmp_path / "memory")
    client = MilvusClient(lite.uri)
    (name,) = cast("list[str]", client.list_collections())
    client.release_collection(name)
    client.drop_index(name, "dense")
    client.close()
    lite.close()
    await store.open()
    await store.upsert([row("a", "apple", vector=(1.0, 0.0, 0.0))])
    near = (1.0, 0.0, 0.0)
    assert ids(await store.search("shop", "", kinds=["code"], limit=1, vector=near)) == ["a"]
    await store.close()


@pytest.mark.slow
async def test_rows_are_found_before_and_after_they_are_flushed(tmp_path: Path) -> None:
    store = store_at(tmp_path / "memory")
    await store.open()
    await store.upsert([row(f"r{n}", f"apple {n}") for n in range(2_100)])
    await store.upsert([row("late", "apple late"), row("r7", "pear")])
    await store.delete("shop", ids=["r8"])
    for query, found in {"7": [], "8": [], "9": ["r9"], "late": ["late"], "pear": ["r7"]}.items():
        assert ids(await store.search("shop", query, kinds=["code"], limit=3)) == found
    assert len(await store.ids("shop", "code")) == 2_100
    await store.close()


_WRITER = """
import asyncio, sys
from actors.vector_store.milvus import MilvusStore
from orchestration.clock import SystemClock
from tests.contracts.vector_store import row

async def write():
    store = MilvusStore(sys.argv[1], dimension=3, clock=SystemClock())
    await store.open()
    await store.upsert([row(f"r{n}", "apple") for n in range(300)])
    print("written", flush=True)
    await asyncio.Event().wait()

asyncio.run(write())
"""


@pytest.mark.slow
async def test_rows_and_lock_survive_a_kill(tmp_path: Path) -> None:
    writer = subprocess.Popen(  # noqa: ASYNC220 - a few seconds in a slow test
        [sys.executable, "-c", _WRITER, str(tmp_path / "memory")], stdout=subprocess.PIPE, text=True
    )
    with writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        with pytest.raises(StoreError, match="in use by another process"):
            await store_at(tmp_path / "memory").open()
        writer.send_signal(signal.SIGKILL)
    store = store_at(tmp_path / "memory")
    await store.open()
    assert len(await store.ids("shop", "code")) == 300
    assert len(await store.search("shop", "apple", kinds=["code"], limit=5)) == 5
    await store.close()
