"""Servers that misbehave are answers to the model and sentences to people; never a hang."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from actors.mcp import host as host_room
from actors.mcp import transport
from actors.mcp.config import ServerConfig
from actors.mcp.host import ServerHost
from actors.mcp.pins import Pins
from actors.mcp.protocol import RemoteAnswer

pytestmark = pytest.mark.slow  # each starts a process or two
RUDE = Path(__file__).with_name("rude_server.py")
TOKEN = "tok-4711-secret"
Hosting = Callable[..., ServerHost]


@pytest.fixture
async def hosting(tmp_path: Path) -> AsyncGenerator[Hosting]:
    made: list[ServerHost] = []

    def make(manner: str = "", pins: Pins | None = None, **changes: object) -> ServerHost:
        command = (sys.executable, "-I", "-S", str(RUDE), manner, str(tmp_path / "state"))
        config = ServerConfig("rude", command, env={"TOKEN": TOKEN}, call_timeout_s=5)
        config = replace(config, **changes)  # pyright: ignore[reportArgumentType] - any field
        made.append(ServerHost([config], pins=pins))
        return made[-1]

    yield make
    for each in made:
        await each.close()


async def call(host: ServerHost, tool: str, **arguments: object) -> RemoteAnswer:
    return await host.call("run", "coder", "rude", tool, dict(arguments))


async def ready(host: ServerHost) -> ServerHost:
    offer = await host.offer("run", "coder")
    assert offer.troubles == ()
    return host


async def test_a_tool_is_listed_and_called(hosting: Hosting):
    host = hosting("banner")
    offer = await host.offer("run", "coder")
    assert offer.tools[0].name == "echo"
    assert offer.tools[0].description == "Says it back."
    assert await call(host, "echo", text="hello") == RemoteAnswer("hello")
    assert await call(host, "fail") == RemoteAnswer("it did not work", ok=False)


async def test_a_role_gets_what_it_may_call_and_nothing_else(hosting: Hosting):
    host = hosting(roles={"coder": ("echo", "h*"), "reviewer": ("fail",)})
    assert [t.name for t in (await host.offer("run", "coder")).tools] == ["echo", "hang", "huge"]
    assert [t.name for t in (await host.offer("run", "reviewer")).tools] == ["fail"]
    assert (await host.offer("run", "architect")).tools == ()
    assert "may not call secret" in (await call(host, "secret")).text
    assert "may not call" in (await host.call("run", "coder", "other", "echo", {})).text


async def test_a_call_that_hangs_is_given_up(hosting: Hosting):
    host = await ready(hosting(call_timeout_s=0.2))
    answer = await call(host, "hang")
    assert answer == RemoteAnswer("hang did not answer within 0.2 s.", ok=False)


async def test_a_server_that_says_nothing_at_all_costs_its_own_time_alone(hosting: Hosting):
    host = hosting("mute", start_timeout_s=0.3)
    assert "did not start within 0.3 s" in (await host.offer("run", "coder")).troubles[0]
    again = await host.offer("run", "coder")
    assert "tried again in" in again.troubles[0]


async def test_a_server_that_dies_says_its_last_words_without_its_secret(
    hosting: Hosting, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(host_room, "BACKOFF_S", (0.0,))
    host = await ready(hosting())
    answer = await call(host, "die")
    assert not answer.ok
    assert "rude: out of my mind, (hidden)" in answer.text
    assert await call(host, "echo", text="again") == RemoteAnswer("again")


async def test_a_server_that_keeps_failing_is_left_alone_for_longer(hosting: Hosting):
    host = await ready(hosting("once"))
    await call(host, "die")
    answer = await call(host, "echo", text="x")
    assert "tried again in 1 s" in answer.text


async def test_a_server_that_never_starts_is_a_sentence(hosting: Hosting):
    offer = await hosting("stillborn").offer("run", "coder")
    assert offer.tools == ()
    assert offer.troubles == ("MCP server rude: it has ended; its last words: rude: no",)


async def test_a_program_that_is_not_there_is_a_sentence(hosting: Hosting):
    offer = await hosting(command=("no-such-program",)).offer("run", "coder")
    assert "No such file" in offer.troubles[0]


@pytest.mark.parametrize("manner", ["flood", "chatter"])
async def test_a_server_that_floods_is_ended(
    hosting: Hosting, manner: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(transport, "LARGEST", 200_000)
    monkeypatch.setattr(transport, "UNASKED", 400_000)
    host = await ready(hosting())
    answer = await call(host, manner)
    assert not answer.ok
    assert "it sends without measure" in answer.text


async def test_an_answer_of_the_wrong_form_is_a_failure(hosting: Hosting):
    host = await ready(hosting())
    assert not (await call(host, "wrong")).ok
    assert await call(host, "echo", text="still here") == RemoteAnswer("still here")


async def test_what_is_no_text_is_named(hosting: Hosting):
    host = await ready(hosting())
    assert (await call(host, "picture")).text == "[image: not text, left out]"


async def test_a_server_gets_its_secret_and_no_other_and_cannot_tell_it(
    hosting: Hosting, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-never")
    host = await ready(hosting())
    text = (await call(host, "secret")).text
    assert text.startswith("my token is (hidden), I know [")
    assert "'PATH'" in text
    assert "OPENAI_API_KEY" not in text


async def test_only_so_many_tools_are_taken(hosting: Hosting):
    assert len((await hosting("many").offer("run", "coder")).tools) == 200


async def test_tools_that_change_are_withheld_until_a_person_accepts(
    hosting: Hosting, tmp_path: Path
):
    pins = Pins(tmp_path / "pins.json")
    host = await ready(hosting("pull", pins))
    assert await call(host, "change") == RemoteAnswer("changed")
    refused = await call(host, "echo", text="x")
    assert not refused.ok
    assert "not what it was" in refused.text
    later = await hosting("pull", Pins(tmp_path / "pins.json")).offer("run", "coder")
    assert "describes echo differently" in later.troubles[0]
    assert "echo" not in [tool.name for tool in later.tools]
    assert pins.forget("rude")
    accepted = await hosting("pull", Pins(tmp_path / "pins.json")).offer("run", "coder")
    assert accepted.troubles == ()
    assert "ssh" in accepted.tools[0].description


async def test_a_damaged_memory_of_tools_offers_nothing(hosting: Hosting, tmp_path: Path):
    (tmp_path / "pins.json").write_text("{")
    offer = await hosting("", Pins(tmp_path / "pins.json")).offer("run", "coder")
    assert offer.tools == ()
    assert "is damaged" in offer.troubles[0]


async def test_runs_share_no_process(hosting: Hosting, tmp_path: Path):
    host = await ready(hosting())
    await host.offer("other", "coder")
    assert len(running(tmp_path)) == 2
    await call(host, "die")
    answer = await host.call("other", "coder", "rude", "echo", {"text": "x"})
    assert answer == RemoteAnswer("x")


async def test_calls_at_the_same_time_start_one_process(hosting: Hosting):
    host = hosting("once")
    async with asyncio.TaskGroup() as group:
        offers = [group.create_task(host.offer("run", "coder")) for _ in range(4)]
    assert all(not task.result().troubles for task in offers)


async def test_a_cancelled_call_leaves_the_server_usable(hosting: Hosting):
    host = await ready(hosting())
    calling = asyncio.create_task(call(host, "echo", text="x"))
    await asyncio.sleep(0)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert await call(host, "echo", text="y") == RemoteAnswer("y")


async def test_an_idle_server_is_ended_and_comes_back(tmp_path: Path):
    command = (sys.executable, "-I", "-S", str(RUDE), "", str(tmp_path / "state"))
    host = ServerHost([ServerConfig("rude", command)], idle_s=0.05)
    await ready(host)
    watch = host._watch  # pyright: ignore[reportPrivateUsage] - to wait for it
    assert watch
    await asyncio.wait_for(watch, 5)
    assert running(tmp_path) == []
    assert await call(host, "echo", text="x") == RemoteAnswer("x")
    await host.close()


async def test_nothing_is_left_running_after_the_end(hosting: Hosting, tmp_path: Path):
    host = await ready(hosting("gone"))
    assert len(running(tmp_path)) == 1
    await host.close()
    assert running(tmp_path) == []


def running(mark: Path) -> list[str]:
    """Processes that were told of a file below `mark`."""
    found: list[str] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if str(mark / "state").encode() in path.read_bytes():
                found.append(path.parent.name)
    return found
