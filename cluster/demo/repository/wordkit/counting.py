"""Counting words."""

import re

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


def words(text: str) -> list[str]:
    """The words of a text in order, lower-cased; an apostrophe inside a word belongs to it."""
    return [match.group().lower() for match in _WORD.finditer(text)]


def count_words(text: str) -> int:
    """How many words a text has."""
    return len(words(text))
