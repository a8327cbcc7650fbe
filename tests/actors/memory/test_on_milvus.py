from pathlib import Path

import pytest

from actors.memory import Lesson
from actors.memory.memory import Memory
from actors.vector_store.milvus import MilvusStore
from orchestration.clock import SystemClock
from tests.actors.memory.test_memory import SHIP, TAX, files, sources

pytestmark = pytest.mark.slow


async def test_memory_on_milvus_outlives_its_process(tmp_path: Path) -> None:
    def opened() -> Memory:
        clock = SystemClock()
        store = MilvusStore(str(tmp_path / "memory"), clock=clock)
        return Memory(store, clock=clock, timeout_s=30)

    memory = opened()
    await memory.index("shop", "c1", files(tax=TAX, ship=SHIP))
    await memory.remember("shop", Lesson("k", "parcel without weight", "weigh", "c1", ("ship.py",)))
    assert set(await sources(memory, "weigh parcel")) == {
        "ship.py:1-2 function ship",
        "lesson about ship.py",
    }
    await memory.close()
    memory = opened()
    assert set(await memory.manifest("shop")) == {"tax.py", "ship.py"}
    report = await memory.index("shop", "c2", files(tax="import os\n" + TAX), removed=["ship.py"])
    assert report.dropped == 3
    assert await sources(memory, "weigh parcel") == []
    assert (await sources(memory, "tax price"))[0] == "tax.py:5-6 function tax"
    await memory.close()


async def test_an_index_that_another_process_holds_costs_recall_and_nothing_more(
    tmp_path: Path,
) -> None:
    holder = MilvusStore(str(tmp_path / "memory"), clock=SystemClock())
    await holder.open()
    other = MilvusStore(str(tmp_path / "memory"), clock=SystemClock())
    memory = Memory(other, clock=SystemClock(), timeout_s=30)

    report = await memory.recall("shop", "tax")
    assert (report.found, report.consulted) == ((), False)
    assert "memory is in use by another process" in report.note
    await holder.close()
    assert await memory.ready() == ""
    assert (await memory.recall("shop", "tax")).consulted
    await memory.close()
