"""Replies under way are kept as far as people read them, and no longer than they are under way."""

from actors.models.scripted import FunctionGateway
from actors.models.speech import SHOWN, AudibleGateway, Speeches
from tests.contracts.gateway import HELLO, a_request


def test_the_newest_words_of_each_reply_are_kept_and_no_more() -> None:
    speeches = Speeches()
    request = a_request("run/step/1")
    for number in range(1_000):
        speeches.hear(request, f"{number} ")
    (words,) = speeches.doing("run")
    assert len(words.text) == SHOWN
    assert words.text.endswith("998 999 ")


def test_runs_do_not_hear_each_other_and_what_is_over_is_gone() -> None:
    speeches = Speeches()
    one, two = a_request("one/step/1"), a_request("two/step/1")
    speeches.hear(one, "mine")
    speeches.hear(two, "yours")
    assert [words.text for words in speeches.doing("one")] == ["mine"]
    speeches.over(one)
    speeches.over(one)
    assert speeches.doing("one") == ()
    assert [words.text for words in speeches.doing("two")] == ["yours"]


async def test_a_gateway_that_is_overheard_answers_as_ever() -> None:
    speeches = Speeches()
    gateway = AudibleGateway(FunctionGateway(lambda _: HELLO), speeches)
    speeches.hear(a_request("run/step/1"), "hel")
    assert (await gateway.complete(a_request("run/step/1"))).text == "hello"
    assert [words.text for words in await gateway.doing("run")] == ["hel"]
