import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.tools.editing import Replacement, apply
from actors.tools.tool import ToolError

TEXT = "def greet(name):\n    return name\n\n\ndef part(name):\n    return None\n"


def test_an_exact_text_is_replaced():
    edited = apply(TEXT, [Replacement("return name", "return f'hi {name}'")])
    assert edited.text == TEXT.replace("return name", "return f'hi {name}'")
    ((start, end),) = edited.touched
    assert edited.text[start:end] == "return f'hi {name}'"


def test_several_edits_apply_in_order_and_know_where_they_ended_up():
    wishes = [Replacement("return None", "pass"), Replacement("def greet(name)", "def hi(x)")]
    edited = apply(TEXT, wishes)
    assert [edited.text[a:b] for a, b in edited.touched] == ["def hi(x)", "pass"]


def test_a_failing_edit_is_named_and_undoes_all():
    with pytest.raises(ToolError, match=r"^Edit 2 of 2: the old text was not found"):
        apply(TEXT, [Replacement("return None", "pass"), Replacement("nowhere", "x")])


def test_a_text_in_several_places_is_refused_with_its_lines():
    with pytest.raises(ToolError, match=r"2 places \(lines 1, 5\)"):
        apply(TEXT, [Replacement("(name):", "():")])


def test_every_replaces_all():
    edited = apply(TEXT, [Replacement("(name):", "():", every=True)])
    assert edited.text == TEXT.replace("(name):", "():")
    assert [edited.text[a:b] for a, b in edited.touched] == ["():", "():"]


def test_other_white_space_is_shown_as_the_file_has_it():
    with pytest.raises(ToolError, match="white space") as caught:
        apply(TEXT, [Replacement("def part(name):\n  return None", "x")])
    assert "     5\tdef part(name):\n     6\t    return None" in str(caught.value)


def test_a_near_miss_shows_the_nearest_lines():
    with pytest.raises(ToolError, match="Nearest") as caught:
        apply(TEXT, [Replacement("def parts(names):\n    return None", "x")])
    assert "     5\tdef part(name):" in str(caught.value)


def test_line_numbers_copied_from_read_are_noticed():
    with pytest.raises(ToolError, match="carries line numbers"):
        apply(TEXT, [Replacement("     1\tdef greet(name):\n     2\t    return name", "x")])


@pytest.mark.parametrize(
    "wish",
    [
        Replacement("return name", "return f'{name}'"),
        Replacement("    return name\n", "    return name\n    # said\n"),
        Replacement("(name):", "(name, loud=False):", every=True),
    ],
)
def test_an_edit_made_twice_changes_nothing_more(wish: Replacement):
    once = apply(TEXT, [wish])
    twice = apply(once.text, [wish])
    assert twice.text == once.text
    assert (twice.touched, twice.already) == ((), 1)


def test_windows_line_ends_are_met_and_kept():
    edited = apply("a = 1\r\nb = 2\r\n", [Replacement("a = 1\nb = 2", "a = 1\nc = 3")])
    assert edited.text == "a = 1\r\nc = 3\r\n"


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from(["ab", "cd\n", "ef "]), min_size=1, max_size=30), st.data())
def test_a_unique_text_is_always_found_and_only_it_changes(parts: list[str], data: st.DataObject):
    place = data.draw(st.integers(0, len(parts)))
    before, after = "".join(parts[:place]), "".join(parts[place:])
    edited = apply(f"{before}UNIQUE{after}", [Replacement("UNIQUE", "new")])
    assert edited.text == f"{before}new{after}"
    ((start, end),) = edited.touched
    assert (start, edited.text[start:end]) == (len(before), "new")
