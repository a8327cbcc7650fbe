"""Recordings: written, read back, replayed, and refused where the conversation departs."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from actors.models.gateway import ModelReply, ModelRequest
from actors.models.recording import RecordingGateway, read_recording
from actors.models.scripted import FunctionGateway, ScriptedGateway
from orchestration.clock import ManualClock
from orchestration.errors import NotFoundError, ReplayDivergedError, StoreError, UsageError
from tests.contracts.gateway import HELLO, USE_TOOLS, GatewayContract, Make, Subject, a_request


class TestFunctionGateway(GatewayContract):
    @pytest.fixture
    def make(self) -> Make:
        def make(*replies: ModelReply) -> Subject:
            gateway = FunctionGateway(lambda r: replace(replies[r.turn - 1], model="function"))
            return Subject(gateway, lambda: len(gateway.asked))

        return make


class TestScriptedGateway(GatewayContract):
    @pytest.fixture
    def make(self) -> Make:
        def make(*replies: ModelReply) -> Subject:
            script = {a_request().conversation: replies}
            return Subject(ScriptedGateway.of(script), lambda: None)

        return make


class TestRecordingGateway(GatewayContract):
    @pytest.fixture
    def make(self, tmp_path: Path) -> Make:
        def make(*replies: ModelReply) -> Subject:
            inner = FunctionGateway(lambda r: replace(replies[r.turn - 1], model="function"))
            gateway = RecordingGateway(inner, tmp_path / "run.jsonl")
            return Subject(gateway, lambda: len(inner.asked))

        return make


def second_turn(result: str, task: str = "Say hello"):
    """The question after the model used one tool."""
    return a_request(
        "k2",
        turn=2,
        messages=(
            {"role": "system", "content": "You code."},
            {"role": "user", "content": task},
            {"role": "assistant", "content": "", "tool_calls": []},
            {"role": "tool", "tool_call_id": "a", "content": result},
        ),
    )


async def recorded(
    path: Path, *requests: ModelRequest, reply: ModelReply = HELLO
) -> ScriptedGateway:
    """Record these questions, and replay the file."""
    gateway = RecordingGateway(FunctionGateway(lambda _: replace(reply, model="openai/x")), path)
    for request in requests:
        await gateway.complete(request)
    return ScriptedGateway(read_recording(path))


async def test_a_replayed_reply_is_the_recorded_one_and_says_that_it_is_a_recording(
    tmp_path: Path,
):
    replay = await recorded(tmp_path / "run.jsonl", a_request(), reply=USE_TOOLS)

    reply = await replay.complete(a_request())

    assert reply == replace(USE_TOOLS, model="recording:openai/x")
    assert await replay.check("coder") == "recording:openai/x"


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ("failed in 0.12s", "failed in 3.4 s"),
        ("fix commit 1a2b3c4d5e", "fix commit 99887766"),
        ("see /tmp/pytest-1/x.py", "see /tmp/manta/abc/x.py"),
        ("run /home/a/.venv/bin/python", "run /work/b/.venv/bin/python"),
        ("Python 3.11.2, pytest-8.3.3, pluggy-1.5.0", "Python 3.13.0rc1, pytest-9.0, pluggy-2"),
        ("at 2026-01-02T03:04:05Z", "at 2027-11-12 13:14:15.678+02:00"),
        ("branch manta/greet-a1b2c3", "branch manta/greet-0f0f0f"),
        ("at 0x7f12ab, 12345678", "at 0x99, 1234567890abcdef"),
    ],
)
async def test_what_differs_between_two_runs_of_the_same_thing_does_not_matter(
    tmp_path: Path, then: str, now: str
):
    replay = await recorded(tmp_path / "run.jsonl", a_request(task=then))

    assert (await replay.complete(a_request(task=now))).drift == ""


async def test_another_task_is_refused_naming_what_was_expected_and_what_came(tmp_path: Path):
    replay = await recorded(tmp_path / "run.jsonl", a_request(task="Add a --shout option"))

    with pytest.raises(ReplayDivergedError) as caught:
        await replay.complete(a_request(task="Add a --whisper option"))

    assert caught.value.details == ("build[greet]/write_code#1", 1)
    assert "shout" in caught.value.what
    assert "whisper" in caught.value.what
    assert "record it again" in caught.value.fix


@pytest.mark.parametrize(
    ("then", "now"),
    [("[ok]\nfine", "[failed]\nno such file"), ("[exit 0 · 1 s]", "[exit 1 · 1 s]")],
)
async def test_a_tool_that_ends_otherwise_is_refused(tmp_path: Path, then: str, now: str):
    replay = await recorded(tmp_path / "run.jsonl", second_turn(then))

    with pytest.raises(ReplayDivergedError, match="tool result 1 was"):
        await replay.complete(second_turn(now))


async def test_a_missing_tool_result_is_refused(tmp_path: Path):
    replay = await recorded(tmp_path / "run.jsonl", second_turn("[ok]"))
    request = second_turn("[ok]")

    with pytest.raises(ReplayDivergedError, match="expects 1 answer of tools, and 0 came"):
        await replay.complete(replace(request, messages=request.messages[:-1]))


async def test_other_words_of_a_tool_with_the_same_end_are_drift(tmp_path: Path):
    replay = await recorded(tmp_path / "run.jsonl", second_turn("[exit 1 · 0.3 s]\n3 failed"))

    same = await replay.complete(second_turn("[exit 1 · 9.0 s]\n3 failed"))
    other = await replay.complete(second_turn("[exit 1 · 9.0 s]\n4 failed"))

    assert same.drift == ""
    assert "3 failed" in other.drift
    assert "4 failed" in other.drift


async def test_a_changed_prompt_or_tool_is_drift(tmp_path: Path):
    replay = await recorded(tmp_path / "run.jsonl", a_request())

    reply = await replay.complete(a_request(tools=({"type": "function"},)))

    assert reply.drift == "instructions or tools changed"


async def test_an_unknown_conversation_or_turn_is_refused_naming_those_near(tmp_path: Path):
    replay = await recorded(tmp_path / "run.jsonl", a_request())

    with pytest.raises(ReplayDivergedError, match=r"turns 1"):
        await replay.complete(a_request("k9", turn=2))
    with pytest.raises(ReplayDivergedError, match=r"near it are build\[greet\]/write_code#1"):
        await replay.complete(a_request(conversation="build[greet]/write_code#2"))


async def test_a_turn_recorded_again_replaces_the_earlier_one(tmp_path: Path):
    path = tmp_path / "run.jsonl"
    await recorded(path, a_request())

    replay = await recorded(path, a_request(), reply=replace(HELLO, text="later"))

    assert (await replay.complete(a_request())).text == "later"


async def test_a_line_torn_by_a_crash_is_ignored_and_recording_goes_on(tmp_path: Path):
    path = tmp_path / "run.jsonl"
    await recorded(path, a_request())
    with path.open("ab") as file:
        file.write(b'{"role": "coder", "conversation": "to')
    assert len(read_recording(path).replies) == 1

    await recorded(path, second_turn("[ok]"))

    assert sorted(read_recording(path).replies) == [(a_request().conversation, t) for t in (1, 2)]


async def test_a_latency_is_waited_by_the_clock(tmp_path: Path):
    await recorded(tmp_path / "run.jsonl", a_request())
    clock = ManualClock()
    gateway = ScriptedGateway(
        read_recording(tmp_path / "run.jsonl"), latency_s=30.0, clock=_Instant(clock)
    )

    assert (await gateway.complete(a_request())).seconds == 30.0
    assert clock.now() == ManualClock().now() + 30.0


class _Instant:
    """A manual clock whose sleepers do not wait: time moves instead."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock

    def now(self) -> float:
        return self._clock.now()

    def ticks(self) -> float:
        return self._clock.ticks()

    async def sleep(self, seconds: float) -> None:
        await self._clock.advance(seconds)


@pytest.mark.parametrize(
    ("content", "error", "says"),
    [
        (None, NotFoundError, "no recording at"),
        ("", UsageError, "first line is no header"),
        ("[]\n", UsageError, "first line is no header"),
        ('{"manta_recording": 2}\n', UsageError, "version 2"),
        ('{"manta_recording": 1}\n{"role": "coder"}\n', UsageError, "line 2 of"),
    ],
)
def test_a_file_that_cannot_be_replayed_is_refused_with_its_reason(
    tmp_path: Path, content: str | None, error: type[Exception], says: str
):
    path = tmp_path / "run.jsonl"
    if content is not None:
        path.write_text(content)

    with pytest.raises(error, match=says):
        read_recording(path)


async def test_a_file_of_something_else_is_not_written_to(tmp_path: Path):
    path = tmp_path / "notes.txt"
    path.write_text("my notes\n")

    with pytest.raises(UsageError, match="no recording"):
        await RecordingGateway(FunctionGateway(lambda _: HELLO), path).complete(a_request())

    assert path.read_text() == "my notes\n"


async def test_a_recording_that_cannot_be_written_is_a_clear_error(tmp_path: Path):
    (tmp_path / "dir").write_text("a file where a folder should be")
    gateway = RecordingGateway(FunctionGateway(lambda _: HELLO), tmp_path / "dir" / "run.jsonl")

    with pytest.raises(StoreError, match="cannot write the recording"):
        await gateway.complete(a_request())


async def test_the_file_starts_with_a_header_and_what_the_run_is_about(tmp_path: Path):
    path = tmp_path / "run.jsonl"
    inner = FunctionGateway(lambda _: HELLO)
    await RecordingGateway(inner, path, {"request": "greet"}).complete(a_request())

    first = json.loads(path.read_text().splitlines()[0])

    assert first == {"manta_recording": 1, "about": {"request": "greet"}}
    assert read_recording(path).about == {"request": "greet"}
