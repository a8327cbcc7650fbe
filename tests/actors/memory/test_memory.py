import asyncio
from collections.abc import Sequence

import pytest

from actors.memory import Lesson, SourceFile
from actors.memory.memory import Memory
from actors.vector_store.in_memory import InMemoryStore
from actors.vector_store.protocol import Hit, Row
from orchestration.clock import ManualClock
from orchestration.errors import ModelError, StoreError

TAX = "RATE = 2\n\n\ndef tax(price):\n    return price * RATE\n"
SHIP = "def ship(parcel):\n    return parcel.weigh()\n"


class CountingStore(InMemoryStore):
    """Remembers what was sent, and can be broken or slow."""

    def __init__(self, *, dimension: int | None = None) -> None:
        super().__init__(dimension=dimension)
        self.sent: list[str] = []
        self.broken = ""
        self.asked = asyncio.Event()
        self.answering = asyncio.Event()
        self.answering.set()

    async def open(self) -> None:
        self._refuse("open")
        await super().open()

    async def upsert(self, rows: Sequence[Row]) -> None:
        if self.broken == "upsert":
            await super().upsert(rows[:-1])
        self._refuse("upsert")
        self.sent += [row.source for row in rows if row.kind != "file"]
        await super().upsert(rows)

    async def delete(self, repository: str, *, ids: Sequence[str]) -> None:
        self._refuse("delete")
        await super().delete(repository, ids=ids)

    async def search(self, repository: str, text: str, **wanted: object) -> list[Hit]:  # type: ignore[override]
        self.asked.set()
        await self.answering.wait()
        return await super().search(repository, text, **wanted)  # type: ignore[arg-type]

    def _refuse(self, verb: str) -> None:
        if verb == self.broken:
            raise StoreError(f"cannot {verb}", "mend it")


class LetterEmbedder:
    """A vector of how often a, e and z occur."""

    def __init__(self) -> None:
        self.failing = self.closed = False
        self.texts: list[str] = []

    async def close(self) -> None:
        self.closed = True

    async def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        if self.failing:
            raise ModelError("the embedding model is away")
        self.texts += texts
        return [tuple(float(text.count(c)) for c in "aez") for text in texts]


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def memory(store: CountingStore, clock: ManualClock) -> Memory:
    memory = Memory(store, clock=clock)
    assert await memory.ready() == ""
    return memory


def files(**texts: str) -> dict[str, SourceFile]:
    return {f"{name}.py": SourceFile(f"blob of {text}", text) for name, text in texts.items()}


async def sources(memory: Memory, query: str, repository: str = "shop") -> list[str]:
    return [found.source for found in (await memory.recall(repository, query)).found]


async def test_code_is_recalled_by_meaningful_words_with_its_place_and_commit(
    memory: Memory,
) -> None:
    report = await memory.index("shop", "c1", files(tax=TAX, ship=SHIP))
    assert (report.files, report.sent, report.kept, report.dropped) == (2, 3, 0, 0)
    recalled = await memory.recall("shop", "how is the tax of a price computed?")
    assert recalled.note == ""
    first = recalled.found[0]
    assert first.source == "tax.py:4-5 function tax"
    assert first.commit == "c1"
    assert first.text == "def tax(price):\n    return price * RATE"


async def test_only_what_changed_is_sent(memory: Memory, store: CountingStore) -> None:
    await memory.index("shop", "c1", files(tax=TAX, ship=SHIP))
    assert await memory.manifest("shop") == {
        "tax.py": f"blob of {TAX}",
        "ship.py": f"blob of {SHIP}",
    }
    store.sent.clear()
    report = await memory.index("shop", "c2", files(tax=TAX.replace("* RATE", "* RATE / 100")))
    assert store.sent == ["tax.py:4-5"]
    assert (report.sent, report.kept, report.dropped) == (1, 1, 1)
    assert len(await store.ids("shop", "code")) == 3


async def test_a_symbol_that_moved_is_recalled_at_its_new_place(memory: Memory) -> None:
    await memory.index("shop", "c1", files(tax=TAX))
    await memory.index("shop", "c2", files(tax="import os\n" + TAX))
    assert "tax.py:5-6 function tax" in await sources(memory, "tax price")


async def test_a_removed_file_is_forgotten(memory: Memory, store: CountingStore) -> None:
    await memory.index("shop", "c1", files(tax=TAX, ship=SHIP))
    report = await memory.index("shop", "c2", {}, removed=["ship.py", "never-there.py"])
    assert report.dropped == 1
    assert await sources(memory, "ship parcel") == []
    assert set(await memory.manifest("shop")) == {"tax.py"}
    assert len(await store.rows("shop", "file")) == 1


async def test_a_fresh_actor_knows_what_an_earlier_one_indexed(
    memory: Memory, store: CountingStore, clock: ManualClock
) -> None:
    await memory.index("shop", "c1", files(tax=TAX))
    later = Memory(store, clock=clock)
    assert await later.manifest("shop") == await memory.manifest("shop")
    store.sent.clear()
    await later.index("shop", "c1", files(tax=TAX))
    assert store.sent == []


@pytest.mark.parametrize("broken", ["upsert", "delete"])
async def test_indexing_that_was_cut_short_is_done_again_and_leaves_no_rubbish(
    memory: Memory, store: CountingStore, broken: str
) -> None:
    await memory.index("shop", "c1", files(tax=TAX))
    store.broken = broken
    with pytest.raises(StoreError):
        await memory.index("shop", "c2", files(tax=TAX.replace("price", "sum")))
    store.broken = ""
    changed = files(tax=TAX.replace("price", "total"))
    await memory.index("shop", "c3", changed)
    assert await memory.manifest("shop") == {"tax.py": changed["tax.py"].blob}
    assert len(await store.ids("shop", "code")) == 2


async def test_chunks_that_belong_to_no_file_are_swept_away(
    store: CountingStore, clock: ManualClock
) -> None:
    await store.open()
    await store.upsert([Row("stray", "shop", "code", "gone.py:1-2", "c0", "tax")])
    assert await Memory(store, clock=clock).manifest("shop") == {}
    assert await store.ids("shop", "code") == set()


async def test_repositories_do_not_see_each_other(memory: Memory) -> None:
    await memory.index("shop", "c1", files(tax=TAX))
    assert await sources(memory, "tax price", repository="rival") == []
    assert await memory.manifest("rival") == {}


@pytest.mark.parametrize(
    ("path", "text"),
    [("\udcff.py", TAX), ("x" * 2000, TAX), ("big.txt", "x\n" * 50_000)],
)
async def test_what_cannot_be_indexed_whole_is_named(memory: Memory, path: str, text: str) -> None:
    report = await memory.index("shop", "c1", {path: SourceFile("b", text)})
    assert report.partly == (path,)


async def test_a_lesson_is_recalled_as_one_and_told_again_replaces_itself(memory: Memory) -> None:
    for fix in ("guess", "round half to even"):
        await memory.remember("shop", Lesson("run-1/tax", "tax is off by a cent", fix, "c1"))
    recalled = await memory.recall("shop", "off by one cent")
    assert [found.source for found in recalled.found] == ["lesson"]
    assert recalled.found[0].text == "Problem: tax is off by a cent\nFix: round half to even"
    assert recalled.found[0].commit == "c1"


async def test_a_lesson_goes_with_the_last_of_its_files(memory: Memory) -> None:
    await memory.remember("shop", Lesson("k", "cent", "round", "c1", ("a.py", "b.py")))
    await memory.remember("shop", Lesson("general", "cents", "always", "c1"))
    assert await memory.forget("shop", ["a.py"]) == 0
    assert len(await sources(memory, "cent")) == 2
    report = await memory.index("shop", "c2", {}, removed=["b.py"])
    assert report.dropped == 1
    recalled = await memory.recall("shop", "cent")
    assert [found.text for found in recalled.found] == ["Problem: cents\nFix: always"]


async def test_recalled_text_is_capped_and_cannot_act_on_its_reader(memory: Memory) -> None:
    evil = "tax \x1b]0;title\x07\x1b[31mred \u202egnp\n" + "filler\n" * 3000
    await memory.index("shop", "c\x1b[1m1", {"a\n\x1b[2J.md": SourceFile("b", evil)})
    (found,) = (await memory.recall("shop", "tax")).found
    assert "\x1b" not in found.text + found.source + found.commit
    assert "\u202e" not in found.text
    assert "\n" not in found.source
    assert len(found.text) < 5000


async def test_recall_that_takes_too_long_is_given_up_with_a_note(
    memory: Memory, store: CountingStore, clock: ManualClock
) -> None:
    store.answering.clear()
    recalling = asyncio.create_task(memory.recall("shop", "tax"))
    await store.asked.wait()
    await clock.advance(1.4)
    assert not recalling.done()
    await clock.advance(0.2)
    recalled = await asyncio.wait_for(recalling, 1)
    assert recalled.found == ()
    assert recalled.note == "memory took longer than 1.5 s; not consulted"


async def test_a_broken_store_costs_recall_and_no_more_and_mends_by_itself(
    store: CountingStore, clock: ManualClock
) -> None:
    memory = Memory(store, clock=clock)
    store.broken = "open"
    assert await memory.ready() == "memory is unavailable: cannot open — mend it"
    recalled = await memory.recall("shop", "tax")
    assert (recalled.found, recalled.note) == ((), "memory is unavailable: cannot open — mend it")
    store.broken = ""
    await memory.index("shop", "c1", files(tax=TAX))
    assert await sources(memory, "tax price") != []


@pytest.mark.parametrize("query", ["", "\0", "\ud800", "tax " * 100_000])
async def test_any_query_is_answered(memory: Memory, query: str) -> None:
    await memory.index("shop", "c1", files(tax=TAX))
    assert (await memory.recall("shop", query, limit=0)).note == ""


async def test_with_an_embedder_meaning_counts_besides_words(clock: ManualClock) -> None:
    embedder = LetterEmbedder()
    memory = Memory(CountingStore(dimension=3), clock=clock, embedder=embedder)
    await memory.index("shop", "c1", files(zoo="zzz = zz\n", tree="eee = ee\n"))
    assert (await sources(memory, "zzzz"))[0] == "zoo.py:1-1"
    await memory.close()
    assert embedder.closed


async def test_an_embedder_that_fails_or_hangs_leaves_words(clock: ManualClock) -> None:
    embedder = LetterEmbedder()
    memory = Memory(CountingStore(dimension=3), clock=clock, embedder=embedder)
    await memory.index("shop", "c1", files(tax=TAX))
    embedder.failing = True
    recalled = await memory.recall("shop", "tax price")
    assert recalled.found[0].source == "tax.py:4-5 function tax"
    assert recalled.note == (
        "recalled by words alone, the embedding model failed: the embedding model is away"
    )


async def test_what_was_kept_without_its_vectors_gets_them_the_next_time(
    clock: ManualClock,
) -> None:
    embedder = LetterEmbedder()
    memory = Memory(CountingStore(dimension=3), clock=clock, embedder=embedder)
    embedder.failing = True
    report = await memory.index("shop", "c1", files(zoo="zzz = zz\n", tree="eee = ee\n"))
    assert "the embedding model is away" in report.note
    assert await memory.manifest("shop") == {"zoo.py": "", "tree.py": ""}
    assert await sources(memory, "zzz") == ["zoo.py:1-1"]
    embedder.failing = False
    await memory.index("shop", "c1", files(zoo="zzz = zz\n", tree="eee = ee\n"))
    assert (await sources(memory, "zzzz"))[0] == "zoo.py:1-1"
    assert await memory.manifest("shop") == {
        "zoo.py": "blob of zzz = zz\n",
        "tree.py": "blob of eee = ee\n",
    }
