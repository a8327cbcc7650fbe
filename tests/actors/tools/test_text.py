import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.tools.text import cap, decode, neutralise, one_line


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("plain", "plain"),
        ("tab\tand\nnewline", "tab\tand\nnewline"),
        ("naïve 日本語 🎉", "naïve 日本語 🎉"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;owned\x07title", "title"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPpayload\x1b\\after", "after"),
        ("\x1bcreset", "reset"),
        ("\x1b]0;no end\nhidden?", "0;no end\nhidden?"),
        ("10%\r50%\r100%\ndone", "100%\ndone"),
        ("dos\r\nlines\r\n", "dos\nlines\n"),
        ("a\x00b\x08c\x7f", "a<U+0000>b<U+0008>c<U+007F>"),
        ("\x9b31mC1", "<U+009B>31mC1"),
        ("if \u202eelse\u2066", "if <U+202E>else<U+2066>"),
        ("hid\U000e0041den", "hid<U+E0041>den"),
        ("half \ud800", "half <U+D800>"),
    ],
)
def test_what_acts_on_its_reader_is_taken_out(printed: str, shown: str):
    assert neutralise(printed) == shown


def test_undecodable_bytes_are_replaced():
    assert decode(b"caf\xe9 \xff") == "caf\ufffd \ufffd"


@settings(deadline=None, max_examples=50)
@given(st.text(st.characters(), max_size=300))
def test_neutral_text_has_nothing_left_to_take_out(text: str):
    once = neutralise(text)
    assert neutralise(once) == once
    assert not any(ord(c) < 32 and c not in "\t\n" for c in once)
    once.encode("utf-8")


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=2000), st.integers(60, 500))
def test_capped_text_keeps_head_and_tail_and_says_how_much_is_gone(text: str, limit: int):
    shown = cap(text, limit, "hint")
    if len(text) <= limit:
        assert shown == text
    else:
        assert "left out; hint" in shown
        assert len(shown) < limit + 100
        assert text.endswith(shown[-limit // 4 :])


def test_one_line_joins_and_shortens():
    assert one_line("a\n  b\tc", 10) == "a b c"
    assert one_line("abcdefgh", 5) == "abcd…"
