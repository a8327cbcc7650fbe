from actors.memory.ranking import best
from actors.vector_store.protocol import Hit, Row


def hit(
    rank: int,
    source: str,
    text: str = "refund the card",
    *,
    by_words: float = 1.0,
    by_vector: float = 0.0,
    symbol: str = "refund",
) -> Hit:
    row = Row(f"r{rank}", "shop", "code", source, "c0", text, symbol, "function")
    return Hit(row, rank, by_words, by_vector)


def shown(*hits: Hit, question: str = "refund card", limit: int = 8) -> list[str]:
    return [row.source for row in best(hits, question, limit)]


def test_a_text_that_merely_shares_a_word_is_left_out() -> None:
    far = hit(2, "b.py:1-2", "card", by_words=0.1)
    assert shown(hit(1, "a.py:1-2"), far) == ["a.py:1-2"]


def test_what_comes_far_behind_the_best_is_left_out_and_all_after_it() -> None:
    found = shown(
        hit(1, "a.py:1-2", "refund card"),
        hit(2, "b.py:1-2", "refund cards", by_words=0.6),
        hit(3, "c.py:1-2", "refund a card", by_words=0.5),
    )
    assert found == ["a.py:1-2", "b.py:1-2"]


def test_the_floor_is_that_of_the_best_answer_not_of_the_one_before() -> None:
    steps = [hit(n, f"{n}.py:1-2", f"refund card {n}", by_words=1 - n / 10) for n in range(6)]
    assert shown(*steps) == [f"{n}.py:1-2" for n in range(5)]


def test_a_poor_best_answer_does_not_silence_its_equals() -> None:
    tests = [hit(n, f"tests/test_{n}.py:1-2", f"refund card {n}", by_words=0.4) for n in range(3)]
    assert len(shown(*tests)) == 3


def test_a_long_question_wants_several_words_in_common() -> None:
    question = "refund the money of orders that were cancelled before shipping began yesterday"
    assert shown(hit(1, "a.py:1-2", "licence of the money", symbol=""), question=question) == []
    assert shown(hit(1, "a.py:1-2", "refund money of orders"), question=question) == ["a.py:1-2"]


def test_the_nearest_by_meaning_counts_without_a_common_word() -> None:
    near = hit(1, "a.py:1-2", "pay back", by_words=0.0, by_vector=0.8, symbol="")
    far = hit(2, "b.py:1-2", "weigh", by_words=0.0, by_vector=0.3, symbol="")
    assert shown(near, far) == ["a.py:1-2"]


def test_code_comes_before_its_tests_and_tests_before_old_news() -> None:
    found = shown(
        hit(1, "CHANGES.rst:1-9", "refund card one", symbol=""),
        hit(2, "tests/test_pay.py:1-9", "refund card two", by_words=0.9),
        hit(3, "pay.py:1-9", "refund card three", by_words=0.5),
    )
    assert found == ["pay.py:1-9", "tests/test_pay.py:1-9", "CHANGES.rst:1-9"]


def test_nothing_is_shown_twice() -> None:
    found = shown(
        hit(1, "a.py:1-60", "refund card, first part"),
        hit(2, "a.py:51-110", "refund card, second part"),
        hit(3, "copy/a.py:1-60", "refund  card,\nfirst part"),
    )
    assert found == ["a.py:1-60"]


def test_one_file_does_not_take_all_the_room() -> None:
    many = [hit(n, f"a.py:{n}0-{n}9", f"refund card {n}") for n in range(1, 9)]
    assert shown(*many, hit(9, "b.py:1-2", "refund card b"))[-1] == "b.py:1-2"
    assert len(shown(*many)) == 5
