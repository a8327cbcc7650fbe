import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.vector_store.chunks import MAX_CHUNKS, MAX_FILE_CHARS, chunks_of

MODULE = '''"""A shop."""

import os

RATE = 2


@cached
def tax(price):
    return price * RATE


class Cart:
    def add(self, item):
        self.items.append(item)

    async def pay(self): ...
'''


def places(path: str, text: str) -> list[tuple[str, int, int]]:
    return [(chunk.symbol, chunk.first, chunk.last) for chunk in chunks_of(path, text)]


def test_python_is_cut_by_symbol_with_its_decorators() -> None:
    assert places("shop.py", MODULE) == [("", 1, 7), ("tax", 8, 10), ("Cart", 13, 17)]
    assert chunks_of("shop.py", MODULE)[1].text.startswith("@cached\ndef tax")


def test_a_large_class_is_cut_by_method() -> None:
    filler = "\n".join(f"        x{n} = {n}" for n in range(40))
    text = f"class Big:\n    size = 1\n\n    def a(self):\n{filler}\n\n    def b(self):\n{filler}\n"
    assert places("big.py", text) == [("Big", 1, 3), ("Big.a", 4, 44), ("Big.b", 46, 86)]


def test_a_long_function_is_cut_in_overlapping_pieces() -> None:
    text = "def long():\n" + "\n".join(f"    x{n} = {n}" for n in range(120))
    assert places("long.py", text) == [("long", 1, 60), ("long", 51, 110), ("long", 101, 121)]


@pytest.mark.parametrize(
    "text",
    ["def broken(:\n    pass", "x = " + "(" * 5000, "x = 1\n" + "-" * 200_000 + "1", "\ud800 = 1"],
)
def test_python_that_does_not_parse_is_cut_like_any_text(text: str) -> None:
    assert [chunk.symbol for chunk in chunks_of("bad.py", text)] == [""]


def test_python_with_doubtful_escapes_warns_nobody() -> None:
    assert places("odd.py", 'x = "\\d"\ndef f(): return 1 is 1\n') == [("", 1, 1), ("f", 2, 2)]


def test_other_languages_are_cut_in_overlapping_pieces() -> None:
    text = "\n".join(f"line {n}" for n in range(1, 101))
    assert places("a.go", text) == [("", 1, 60), ("", 51, 100)]


@pytest.mark.parametrize("text", ["", "\n \n", "a\0b", "x" * (MAX_FILE_CHARS + 1)])
def test_empty_binary_and_huge_files_have_no_chunks(text: str) -> None:
    assert chunks_of("a.txt", text) == []


def test_long_lines_and_long_files_are_cut_short() -> None:
    assert len(chunks_of("min.js", "x" * 10_000)[0].text) == 400
    assert len(chunks_of("data.txt", "x\n" * 400_000)) == MAX_CHUNKS


def test_a_chunk_can_always_be_stored() -> None:
    (chunk,) = chunks_of("a.txt", "\ud800 " + "🐟" * 300 + "\n" + ("🐟" * 400 + "\n") * 50)
    assert len(chunk.text.encode()) < 60_000


_LINES = st.lists(
    st.sampled_from(
        ["def f():", "class A:", "    def g(self):", "    pass", "x = 1", "", "@d", "("]
    ),
    max_size=90,
)


@given(_LINES, st.sampled_from(["\n", "\r\n", "\r"]))
def test_every_line_is_in_a_chunk_at_its_own_number(lines: list[str], newline: str) -> None:
    seen: dict[int, str] = {}
    for chunk in chunks_of("a.py", newline.join(lines)):
        seen |= dict(enumerate(chunk.text.split("\n"), chunk.first))
    assert {n: line for n, line in enumerate(lines, 1) if line} == {
        n: line for n, line in seen.items() if line
    }
