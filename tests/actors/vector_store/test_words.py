import pytest

from actors.vector_store.words import stem, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("parseOptions", ["parseoptions", "pars", "option"]),
        ("parse_options", ["parse_options", "pars", "option"]),
        ("HTTPServerError2", ["httpservererror2", "http", "server", "error", "2"]),
        ("__init__", ["init"]),
        ("os.path.join(a)", ["os", "path", "join"]),
        ("naïve Größe 日本", ["naïve", "größe", "日本"]),
        ("The price is in the cart", ["pric", "cart"]),
        ("", []),
        ("x" * 65 + " y", ["y"]),
    ],
)
def test_identifiers_become_themselves_and_their_parts(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(
    "family",
    [
        ("parse", "parsed", "parsing", "parses"),
        ("run", "runs", "running"),
        ("query", "queries"),
        ("option", "options"),
        ("pass", "passed", "passing"),
        ("argument", "arguments", "arg", "args"),
        ("authentication", "authenticated", "auth"),
        ("exception", "error", "errors"),
    ],
)
def test_words_of_one_family_meet(family: tuple[str, ...]) -> None:
    assert len({stem(word) for word in family}) == 1


@pytest.mark.parametrize("word", ["class", "status", "this", "sing", "red", "is", "a1s", "https2"])
def test_what_only_looks_like_an_ending_stays(word: str) -> None:
    assert stem(word) == word
