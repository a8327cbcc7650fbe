import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.memory.chunks import MAX_CHUNKS, chunks_of

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
    assert places("shop.py", MODULE) == [("", 1, 5), ("tax", 8, 10), ("Cart", 13, 17)]
    assert chunks_of("shop.py", MODULE)[1].text.startswith("@cached\ndef tax")


def test_a_large_class_is_cut_by_method() -> None:
    filler = "\n".join(f"        x{n} = {n}" for n in range(40))
    text = f"class Big:\n    size = 1\n\n    def a(self):\n{filler}\n\n    def b(self):\n{filler}\n"
    assert places("big.py", text) == [("Big", 1, 2), ("Big.a", 4, 44), ("Big.b", 46, 86)]


def test_a_long_function_is_cut_in_overlapping_pieces() -> None:
    text = "def long():\n" + "\n".join(f"    x{n} = {n}" for n in range(120))
    assert places("long.py", text) == [("long", 1, 60), ("long", 51, 110), ("long", 101, 121)]


@pytest.mark.parametrize("text", ["x = " + "(" * 1900, "x = 1\n" + "-" * 1_900 + "1", "\ud800 = 1"])
def test_text_without_a_definition_is_cut_like_any_text(text: str) -> None:
    assert [chunk.symbol for chunk in chunks_of("bad.py", text)] == [""]


def test_what_can_be_read_of_broken_code_is_cut_by_symbol() -> None:
    text = "def broken(:\n    pass\n\n\ndef whole():\n    pass\n"
    assert ("whole", 5, 6) in places("bad.py", text)


def test_other_languages_are_cut_in_overlapping_pieces() -> None:
    text = "\n".join(f"line {n}" for n in range(1, 101))
    assert places("a.go", text) == [("", 1, 60), ("", 51, 100)]


@pytest.mark.parametrize("text", ["", "\n \n", "a\0b"])
def test_empty_and_binary_files_have_no_chunks(text: str) -> None:
    assert chunks_of("a.txt", text) == []


def test_long_lines_and_long_files_are_cut_short() -> None:
    assert len(chunks_of("a.js", "x" * 1_000)[0].text) == 400
    assert len(chunks_of("data.txt", "x\n" * 400_000)) == MAX_CHUNKS


def test_the_licence_at_the_top_of_a_source_file_is_left_out() -> None:
    licence = "#!/bin/python\n# Copyright 2020 Somebody\n# Licensed under the Ark License\n"
    text = f"{licence}\n# How to pay.\nimport os\n"
    assert [(c.first, c.text) for c in chunks_of("a.py", text)] == [(5, "# How to pay.\nimport os")]


def test_an_honest_comment_at_the_top_of_a_source_file_stays() -> None:
    assert chunks_of("a.py", "# How to pay.\nimport os\n")[0].first == 1


def test_a_chunk_can_always_be_stored() -> None:
    (chunk,) = chunks_of("a.txt", "\ud800 " + "🐟" * 200 + "\n" + ("🐟" * 200 + "\n") * 50)
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
