"""What every vector store promises. A plug's test file subclasses this and says how to make one."""

from collections.abc import Callable

import pytest

from actors.vector_store.protocol import MAX_TEXT_BYTES, Hit, Row, RowKind, VectorStore
from orchestration.errors import StoreError, UsageError

Make = Callable[[], VectorStore]


def row(
    row_id: str,
    text: str,
    *,
    repository: str = "shop",
    kind: RowKind = "code",
    source: str = "a.py:1-2",
    symbol: str = "",
    vector: tuple[float, ...] | None = None,
) -> Row:
    return Row(row_id, repository, kind, source, "c0ffee", text, symbol, vector=vector)


def ids(hits: list[Hit]) -> list[str]:
    return [hit.row.id for hit in hits]


class VectorStoreContract:
    """The fixture `make` returns a store of dimension 3 on the same place each time."""

    @pytest.fixture
    async def store(self, make: Make):
        store = make()
        await store.open()
        yield store
        await store.close()

    async def test_the_text_with_the_words_asked_for_comes_first(self, store: VectorStore) -> None:
        await store.upsert(
            [
                row("tax", "def tax(price): return price * rate"),
                row("ship", "def ship(parcel): return parcel.weigh()"),
                row("pay", "def pay(price): charge the card"),
            ]
        )
        hits = await store.search("shop", "price of tax", kinds=["code"], limit=5)
        assert ids(hits) == ["tax", "pay"]
        assert [hit.rank for hit in hits] == [1, 2]
        assert hits[0].row == row("tax", "def tax(price): return price * rate")

    async def test_a_rare_word_counts_more_than_a_common_one(self, store: VectorStore) -> None:
        rows = [row(f"r{n}", f"order item {n}x") for n in range(8)]
        await store.upsert([*rows, row("rare", "order refund")])
        hits = await store.search("shop", "order refund", kinds=["code"], limit=1)
        assert ids(hits) == ["rare"]

    @pytest.mark.parametrize("query", ["parse option", "parse_options", "parsing", "ParseOptions"])
    async def test_identifiers_are_found_by_their_parts(
        self, store: VectorStore, query: str
    ) -> None:
        await store.upsert([row("camel", "parseOptions(argv)"), row("other", "printHelp()")])
        assert ids(await store.search("shop", query, kinds=["code"], limit=5)) == ["camel"]

    async def test_a_path_is_found_by_its_words(self, store: VectorStore) -> None:
        await store.upsert([row("a", "x = 1", source="billing/invoice.py:1-1"), row("b", "y = 2")])
        assert ids(await store.search("shop", "invoice", kinds=["code"], limit=5)) == ["a"]

    async def test_a_definition_comes_before_a_mention(self, store: VectorStore) -> None:
        await store.upsert(
            [
                row("mention", "refund refund", symbol="cancel"),
                row("definition", "def refund", symbol="Order.refund"),
            ]
        )
        hits = await store.search("shop", "refund", kinds=["code"], limit=2)
        assert ids(hits) == ["definition", "mention"]

    @pytest.mark.parametrize("query", ["", "   ", "!?", "the", "zebra"])
    async def test_words_that_occur_nowhere_find_nothing(
        self, store: VectorStore, query: str
    ) -> None:
        await store.upsert([row("a", "apple")])
        assert await store.search("shop", query, kinds=["code"], limit=5) == []

    async def test_an_empty_store_finds_nothing(self, store: VectorStore) -> None:
        assert await store.search("shop", "apple", kinds=["code"], limit=5) == []
        assert await store.ids("shop", "code") == set()
        assert await store.rows("shop", "code") == []

    async def test_a_search_stays_in_its_repository(self, store: VectorStore) -> None:
        await store.upsert([row("a", "apple"), row("b", "apple", repository="rival")])
        assert ids(await store.search("shop", "apple", kinds=["code"], limit=5)) == ["a"]
        assert await store.ids("rival", "code") == {"b"}

    @pytest.mark.parametrize(
        "name", ['x" or owner != "', "x' or 1 == 1 or '", "a\\", "line\nbreak", "é 🐟", "%"]
    )
    async def test_a_repository_name_is_never_part_of_the_question(
        self, store: VectorStore, name: str
    ) -> None:
        await store.upsert([row("mine", "apple", repository=name), row("theirs", "apple")])
        assert ids(await store.search(name, "apple", kinds=["code"], limit=5)) == ["mine"]
        await store.delete(name, ids=["theirs", '"] or key != "'])
        assert await store.ids("shop", "code") == {"theirs"}

    async def test_equal_ids_in_two_repositories_are_two_rows(self, store: VectorStore) -> None:
        await store.upsert([row("a", "apple"), row("a", "pear", repository="rival")])
        await store.delete("rival", ids=["a"])
        assert await store.rows("shop", "code") == [row("a", "apple")]
        assert await store.rows("rival", "code") == []

    async def test_only_the_kinds_asked_for_are_found(self, store: VectorStore) -> None:
        await store.upsert([row("a", "apple"), row("l", "apple", kind="lesson")])
        assert ids(await store.search("shop", "apple", kinds=["lesson"], limit=5)) == ["l"]
        both = await store.search("shop", "apple", kinds=["lesson", "code"], limit=5)
        assert sorted(ids(both)) == ["a", "l"]
        assert await store.search("shop", "apple", kinds=[], limit=5) == []

    async def test_file_rows_are_kept_but_never_found_by_words(self, store: VectorStore) -> None:
        await store.upsert([row("f", "apple", kind="file")])
        assert await store.search("shop", "apple", kinds=["file", "code"], limit=5) == []
        assert await store.rows("shop", "file") == [row("f", "apple", kind="file")]

    async def test_an_unknown_kind_is_refused(self, store: VectorStore) -> None:
        kinds: list[RowKind] = ['code"] or kind in ["lesson']  # pyright: ignore[reportAssignmentType] the attack
        with pytest.raises(UsageError, match="unknown kinds"):
            await store.search("shop", "apple", kinds=kinds, limit=5)

    async def test_an_upsert_replaces_the_row_of_the_same_id(self, store: VectorStore) -> None:
        await store.upsert([row("a", "apple")])
        await store.upsert([row("a", "pear", source="b.py:3-4")])
        assert await store.rows("shop", "code") == [row("a", "pear", source="b.py:3-4")]
        assert await store.search("shop", "apple", kinds=["code"], limit=5) == []

    async def test_a_deleted_row_is_gone(self, store: VectorStore) -> None:
        await store.upsert([row("a", "apple"), row("b", "apple")])
        await store.delete("shop", ids=["a", "never-there"])
        await store.delete("shop", ids=[])
        assert ids(await store.search("shop", "apple", kinds=["code"], limit=5)) == ["b"]

    async def test_at_most_limit_rows_come_back(self, store: VectorStore) -> None:
        await store.upsert([row(f"r{n}", "apple") for n in range(9)])
        assert len(await store.search("shop", "apple", kinds=["code"], limit=4)) == 4

    async def test_many_rows_are_all_there(self, store: VectorStore) -> None:
        await store.upsert([row(f"r{n}", f"apple {n}") for n in range(450)])
        assert await store.ids("shop", "code") == {f"r{n}" for n in range(450)}
        assert ids(await store.search("shop", "321", kinds=["code"], limit=9)) == ["r321"]
        await store.delete("shop", ids=[f"r{n}" for n in range(449)])
        assert await store.ids("shop", "code") == {"r449"}

    async def test_text_survives_letter_by_letter(self, store: VectorStore) -> None:
        text = "tab\there, quote \" ' \\ backslash, nul \x00, fish 🐟, bidi \u202e\n\n"
        await store.upsert([row("a", text)])
        assert (await store.rows("shop", "code"))[0].text == text

    async def test_the_largest_text_fits_and_a_larger_one_is_refused(
        self, store: VectorStore
    ) -> None:
        await store.upsert([row("a", "é" * (MAX_TEXT_BYTES // 2))])
        with pytest.raises(UsageError, match="'b': its text has"):
            await store.upsert([row("b", "é" * (MAX_TEXT_BYTES // 2 + 1))])
        with pytest.raises(UsageError, match="Unicode"):
            await store.upsert([row("c", "\ud800")])
        assert await store.ids("shop", "code") == {"a"}

    async def test_a_near_vector_is_found_without_a_common_word(self, store: VectorStore) -> None:
        await store.upsert(
            [
                row("car", "automobile", vector=(1.0, 0.1, 0.0)),
                row("pie", "pastry", vector=(0.0, 0.0, 1.0)),
                row("plain", "no vector"),
            ]
        )
        near = (0.9, 0.2, 0.0)
        hits = await store.search("shop", "vehicle", kinds=["code"], limit=5, vector=near)
        assert ids(hits)[0] == "car"
        assert "plain" not in ids(hits)

    async def test_a_row_found_by_words_and_by_vector_beats_one_found_by_either(
        self, store: VectorStore
    ) -> None:
        await store.upsert(
            [
                row("words", "engine engine engine", vector=(0.0, 0.0, 1.0)),
                row("both", "engine of a car and many other parts", vector=(0.9, 0.1, 0.0)),
                row("vector", "motor", vector=(1.0, 0.0, 0.0)),
            ]
        )
        near = (1.0, 0.0, 0.0)
        hits = await store.search("shop", "engine", kinds=["code"], limit=2, vector=near)
        assert ids(hits)[0] == "both"

    async def test_a_vector_of_another_length_is_refused(self, store: VectorStore) -> None:
        with pytest.raises(UsageError, match="dimension 3"):
            await store.upsert([row("a", "apple", vector=(1.0,))])
        with pytest.raises(UsageError, match="dimension 3"):
            await store.search("shop", "apple", kinds=["code"], limit=1, vector=(1.0, 2.0))

    async def test_hits_say_how_much_they_have_in_common_with_the_question(
        self, store: VectorStore
    ) -> None:
        await store.upsert(
            [
                row("all", "engine oil", vector=(1.0, 0.0, 0.0)),
                row("half", "engine room of a large ship and what it needs"),
                row("near", "motor", vector=(0.6, 0.8, 0.0)),
            ]
        )
        near = (1.0, 0.0, 0.0)
        found = await store.search("shop", "engine oil", kinds=["code"], limit=5, vector=near)
        hits = {hit.row.id: hit for hit in found}
        assert (hits["all"].by_words, hits["near"].by_words) == (1.0, 0.0)
        assert 0 < hits["half"].by_words < 1
        assert (hits["all"].by_vector, hits["half"].by_vector) == (pytest.approx(1.0), 0.0)
        assert hits["near"].by_vector == pytest.approx(0.6)

    async def test_opening_twice_is_no_harm(self, store: VectorStore) -> None:
        await store.upsert([row("a", "apple")])
        await store.open()
        assert await store.ids("shop", "code") == {"a"}

    async def test_a_store_that_is_not_open_says_so(self, make: Make) -> None:
        store = make()
        with pytest.raises(StoreError, match="not open"):
            await store.search("shop", "apple", kinds=["code"], limit=1)
        with pytest.raises(StoreError, match="not open"):
            await store.upsert([row("a", "apple")])

    async def test_rows_outlive_a_close(self, store: VectorStore) -> None:
        await store.upsert([row("a", "apple")])
        await store.close()
        with pytest.raises(StoreError, match="not open"):
            await store.ids("shop", "code")
        await store.open()
        assert ids(await store.search("shop", "apple", kinds=["code"], limit=5)) == ["a"]
