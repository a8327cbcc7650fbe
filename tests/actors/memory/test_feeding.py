from collections.abc import Sequence

import pytest

from actors.git.records import FileEntry
from actors.memory.feeding import MAX_BYTES, Snapshot, feed
from actors.memory.memory import Memory
from actors.vector_store.in_memory import InMemoryStore
from orchestration.clock import ManualClock


class Objects(dict[str, bytes]):
    """Blobs; remembers which were read."""

    def __init__(self, **blobs: bytes) -> None:
        super().__init__(blobs)
        self.read: list[str] = []

    async def blobs(self, ids: Sequence[str]) -> dict[str, bytes]:
        self.read += ids
        return {each: self[each] for each in ids}


def snapshot(objects: Objects, commit: str = "c1", **entries: str) -> Snapshot:
    files = [
        FileEntry(f"{name}.py", "100644", blob, len(objects[blob]))
        for name, blob in entries.items()
    ]
    return Snapshot(commit, files, objects)


@pytest.fixture
def memory() -> Memory:
    return Memory(InMemoryStore(), clock=ManualClock())


async def test_only_what_changed_is_read_and_what_is_gone_is_forgotten(memory: Memory) -> None:
    objects = Objects(b1=b"def tax(): ...", b2=b"def ship(): ...", b3=b"def pay(): ...")
    await feed(memory, "shop", snapshot(objects, a="b1", b="b2"))
    objects.read.clear()
    report = await feed(memory, "shop", snapshot(objects, "c2", b="b3"))
    assert objects.read == ["b3"]
    assert (report.files, report.sent, report.dropped) == (1, 1, 2)
    assert await memory.manifest("shop") == {"b.py": "b3"}


async def test_the_same_commit_again_costs_nothing(memory: Memory) -> None:
    objects = Objects(b1=b"def tax(): ...")
    await feed(memory, "shop", snapshot(objects, a="b1"))
    objects.read.clear()
    assert (await feed(memory, "shop", snapshot(objects, a="b1"))).files == 0
    assert objects.read == []


async def test_huge_files_links_and_submodules_are_left_alone(memory: Memory) -> None:
    objects = Objects()
    files = [
        FileEntry("huge.py", "100644", "b1", MAX_BYTES + 1),
        FileEntry("link", "120000", "b2", 4),
        FileEntry("module", "160000", "b3", 0),
    ]
    await feed(memory, "shop", Snapshot("c1", files, objects))
    assert objects.read == []


async def test_feeding_stops_in_time_says_what_is_left_and_goes_on_the_next_time(
    memory: Memory,
) -> None:
    objects = Objects(**{f"b{n}": b"x = 1" for n in range(300)})
    entries = {f"f{n}": f"b{n}" for n in range(300)}
    report = await feed(memory, "shop", snapshot(objects, **entries), budget_s=0)
    assert report.note == "memory was given 0 s; 300 of 300 files are to follow"
    await feed(memory, "shop", snapshot(objects, **entries))
    assert len(await memory.manifest("shop")) == 300


async def test_bytes_that_are_no_text_are_no_trouble(memory: Memory) -> None:
    objects = Objects(b1=b"\xff\xfe\x00\x01", b2=b"caf\xe9 = 1  # price\n")
    report = await feed(memory, "shop", snapshot(objects, a="b1", b="b2"))
    assert (report.files, report.left_out, report.sent) == (2, 1, 1)
