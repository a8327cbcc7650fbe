"""Code and prose as the words that full-text search compares.

`parseOptions`, `parse_options` and "parsing an option" should meet. So an identifier counts as
itself and as each of its parts, all in lower case, and plain English endings are taken off.
Whatever is indexed and whatever is asked goes through here, on every store.
"""

import re

from actors.vector_store.protocol import Row

_IDENTIFIER = re.compile(r"[^\W_]+(?:_+[^\W_]+)*")
_PART = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_EMPTY = frozenset(
    _IDENTIFIER.findall(
        "a an and are as at be but by for from has have if in into is it its no not of on or that "
        "the their then there these this to was were which will with you your "
        "can could did do does how should so such than what when where who why would"
    )
)
_SYMBOL_WEIGHT = 5
"""A definition is a better answer than a mention. Measured in `benchmarks/recall.py`."""
_LONGEST = 64
"""Longer runs of letters are digests and encoded data: nobody asks for them."""


def words(text: str) -> list[str]:
    """Every word of the text but the empty ones, in order, as often as it occurs."""
    found: list[str] = []
    for match in _IDENTIFIER.finditer(text):
        identifier = match.group()
        if len(identifier) > _LONGEST or identifier.lower() in _EMPTY:
            continue
        parts = _PART.findall(identifier) if identifier.isascii() else identifier.split("_")
        if len(parts) > 1:
            found.append(identifier.lower())
        found.extend(stem(part.lower()) for part in parts)
    return found


def words_of(row: Row) -> list[str]:
    """What a row is found by: its path, its symbol and its text. `file` rows: by nothing."""
    if row.kind == "file":
        return []
    place = row.source.rpartition(":")[0] if row.kind == "code" else row.source
    return words(place) + words(row.symbol) * _SYMBOL_WEIGHT + words(row.text)


def stem(word: str) -> str:
    """The same for words that belong together: without endings, and as programs shorten it."""
    plain = _without_ending(word)
    return _SHORT.get(plain, plain)


def _without_ending(word: str) -> str:
    if len(word) < 4 or not word.isascii() or not word.isalpha():
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = _undoubled(word[: -len(ending)])
    return word[:-1] if word.endswith("e") and len(word) > 4 else word


def _undoubled(word: str) -> str:
    """`runn` is `run`; `pass` stays."""
    return word[:-1] if word[-1] == word[-2] and word[-1] not in "slz" else word


_SHORT = {
    _without_ending(long): _without_ending(short)
    for long, short in (
        ("argument", "arg"),
        ("attribute", "attr"),
        ("authenticate", "auth"),
        ("authentication", "auth"),
        ("authorization", "auth"),
        ("authorisation", "auth"),
        ("colour", "color"),
        ("command", "cmd"),
        ("configuration", "config"),
        ("configure", "config"),
        ("database", "db"),
        ("directory", "dir"),
        ("environment", "env"),
        ("exception", "error"),
        ("initialise", "init"),
        ("initialize", "init"),
        ("message", "msg"),
        ("parameter", "param"),
        ("reference", "ref"),
        ("repository", "repo"),
        ("specification", "spec"),
        ("temporary", "temp"),
    )
}
"""Questions say the long form, programs the short one, or the other way round."""
