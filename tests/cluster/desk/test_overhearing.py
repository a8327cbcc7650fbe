"""What models say while they say it: shown in place of what they said last, and kept nowhere."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from types import MappingProxyType

from actors.models.speech import Words
from cluster.desk.overhearing import Doing, Speaking, listening, overheard
from cluster.desk.speaking import SHOWN, doing, spoken
from cluster.runs.view import Act, Row, RunView
from cluster.web.streaming import with_words
from orchestration.errors import StoreError
from orchestration.ids import RunId

KEY = "round#1/tasks/build[greet]/write_code"
OTHER = "round#1/tasks/build[greet]/write_code_again"


def view() -> RunView:
    acts = {key: Act("writing code", "coder-1", "thinking", key) for key in (KEY, OTHER)}
    row = Row("greet", running=MappingProxyType(acts))
    return replace(RunView(), rows=MappingProxyType({"greet": row}))


def said(text: str, conversation: str = KEY) -> Doing:
    return Doing(words=(Speaking(role="coder", conversation=conversation, text=text),))


def test_an_agent_is_shown_with_its_newest_words_and_the_others_as_they_were() -> None:
    heard = overheard(view(), said("Let me look.").words)
    running = heard.rows["greet"].running
    assert (running[KEY].said, running[OTHER].said) == ("Let me look.", "thinking")
    assert overheard(view(), ()).rows["greet"].running[KEY].said == "thinking"


def test_a_steps_second_conversation_is_its_own_too() -> None:
    heard = overheard(view(), said("Let me lint.", f"{KEY}:linter").words)
    assert heard.rows["greet"].running[KEY].said == "Let me lint."


def test_what_a_model_says_is_harmless_and_one_line() -> None:
    words = spoken(Words("coder", KEY, "a\x1b[31m\n" + "word " * 100))
    assert len(words.text) == SHOWN
    assert words.text.startswith("…")
    assert "\x1b" not in words.text
    assert "\n" not in words.text


async def test_without_a_cluster_nobody_is_overheard() -> None:
    assert await doing(RunId("run")) == Doing(words=())


async def test_only_news_are_told_and_trouble_ends_nothing() -> None:
    answers = [said("a"), said("a"), StoreError("away", "wait"), said("b"), Doing(words=())]

    async def overhear() -> Doing:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, StoreError):
            raise answer
        return answer

    async with aclosing(listening(overhear, 0)) as heard, asyncio.timeout(5):
        assert [await anext(heard) for _ in range(3)] == [said("a"), said("b"), Doing(words=())]


async def test_words_stand_between_events_without_a_number_and_end_with_them() -> None:
    go_on = asyncio.Event()

    async def events() -> AsyncGenerator[str]:
        yield "id: 7\ndata: {}\n\n"
        await go_on.wait()
        yield "id: 8\ndata: {}\n\n"

    async def overhear() -> Doing:
        return said("Let me look.")

    lines: list[str] = []
    async with asyncio.timeout(5):
        async for line in with_words(events(), overhear):
            lines.append(line)
            if line.startswith("event: delta"):
                go_on.set()
    assert [line.partition("\n")[0] for line in lines if line.startswith("id:")] == [
        "id: 7",
        "id: 8",
    ]
    (delta,) = [line for line in lines if line.startswith("event: delta")]
    assert Doing.model_validate_json(delta.partition("data: ")[2]) == said("Let me look.")


async def test_a_stream_that_is_left_leaves_nothing_running() -> None:
    closed: list[str] = []

    async def events() -> AsyncGenerator[str]:
        try:
            yield "id: 1\n\n"
            await asyncio.Event().wait()
        finally:
            closed.append("events")

    async def overhear() -> Doing:
        return Doing(words=())

    before = len(asyncio.all_tasks())
    async with aclosing(with_words(events(), overhear)) as lines:
        await anext(lines)
    assert closed == ["events"]
    assert len(asyncio.all_tasks()) == before
