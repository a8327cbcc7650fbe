from wordkit.counting import count_words, words


def test_words_are_lower_cased_and_in_order() -> None:
    assert words("The cat. THE hat!") == ["the", "cat", "the", "hat"]


def test_an_apostrophe_inside_a_word_belongs_to_it() -> None:
    assert words("don't 'quote' me") == ["don't", "quote", "me"]


def test_count_words_of_an_empty_text_is_zero() -> None:
    assert count_words("") == 0
