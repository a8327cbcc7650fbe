"""The desk from afar, over real HTTP on loopback; and whatever may be wrong with a hall."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path

import pytest
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp

from cluster.commands.web import listen
from cluster.desk.afar import AfarDesk
from cluster.desk.calling import Caller, LostError
from cluster.desk.listening import Rest, told
from cluster.desk.opening import open_desk
from cluster.desk.protocol import Desk
from cluster.desk.troubles import error_of, status_of, trouble_of
from cluster.desk.wire import API_HEADER, EventItem, Trouble
from cluster.intake import Order
from cluster.settings import Settings
from orchestration.errors import (
    InfrastructureError,
    MantaError,
    NotFoundError,
    RunOwnedError,
    StoreError,
    UsageError,
)
from orchestration.events import Event, EventKind
from tests.cluster.desk.conftest import served
from tests.cluster.web.stage import RUN, TOKEN, Stage
from tests.contracts.desk import TEXT, DeskContract, told_by

pytestmark = pytest.mark.slow


@asynccontextmanager
async def calling(address: str, token: str = TOKEN) -> AsyncGenerator[AfarDesk]:
    caller = Caller(address, token)
    yield AfarDesk(caller, pause_s=0.01)
    await caller.close()


class TestAfarDesk(DeskContract):
    @pytest.fixture
    async def desk(self, stage: Stage) -> AsyncGenerator[Desk]:
        async with served(stage.app) as address, calling(address) as desk:
            yield desk


# --- what is no hall, or none of ours ----------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (PlainTextResponse("Welcome to nginx!"), "no Manta hall"),
        (PlainTextResponse("Not Found", 404), "no Manta hall"),
        (RedirectResponse("https://elsewhere.example/"), "no Manta hall"),
        (PlainTextResponse("Bad Gateway", 502), "no hall answers behind"),
        (PlainTextResponse("{}", 200, {API_HEADER: "2"}), "version 2 of the API"),
        (PlainTextResponse("{}", 200, {API_HEADER: "1"}), "cannot be read"),
        (PlainTextResponse("Oh no", 500, {API_HEADER: "1"}), "HTTP 500"),
    ],
)
async def test_a_page_that_is_not_this_hall_is_one_sentence_and_a_fix(
    answer: Response, told: str
) -> None:
    async with served(answer) as address, calling(address) as desk:
        for ask in (desk.runs(), desk.run(RUN), desk.cancel(RUN, by="Ada")):
            with pytest.raises(MantaError, match=told) as refused:
                await ask
            assert refused.value.fix


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_what_a_hall_says_leaves_at_once(host: str) -> None:
    with listen(host, 0) as door, socket.create_connection(door.getsockname()[:2]):
        accepted, _ = door.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_nobody_there_is_one_sentence_and_a_fix() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with calling(address) as desk:
        with pytest.raises(LostError, match="no hall answers") as refused:
            await desk.runs()
        assert "manta web" in refused.value.fix
        with pytest.raises(LostError, match="no hall answers"):
            await anext(desk.events(RUN))


async def test_a_hall_that_does_not_speak_tls_is_told() -> None:
    async with (
        served(PlainTextResponse("hello")) as address,
        calling(address.replace("http:", "https:")) as desk,
    ):
        with pytest.raises(LostError, match="does not speak TLS"):
            await desk.runs()


@pytest.mark.parametrize(("token", "told"), [("wrong" * 9, "refuses"), ("", "wants a token")])
async def test_a_wrong_token_changes_nothing_and_says_where_the_right_one_is(
    stage: Stage, repository: Path, token: str, told: str
) -> None:
    await stage.start()
    before = await stage.happened()
    async with served(stage.app) as address, calling(address, token) as desk:
        order = Order(TEXT, str(repository))
        for ask in (desk.runs(), desk.cancel(RUN, by="Eve"), desk.submit(order), desk.resume(RUN)):
            with pytest.raises(InfrastructureError, match=told) as refused:
                await ask
            assert "web-token" in refused.value.fix
        with pytest.raises(InfrastructureError, match=told):
            await anext(desk.events(RUN))
    assert (await stage.happened(), stage.started, stage.resumed) == (before, [], [])


@pytest.mark.parametrize(
    "address",
    [
        "hall.example",
        "ftp://hall.example",
        "http://",
        "http://u:p@h",
        "http://h?x=1",
        "http://[",
        "",
    ],
)
def test_what_is_no_address_is_refused_before_anybody_is_called(address: str) -> None:
    with pytest.raises(UsageError, match="no address"):
        Caller(address, TOKEN)


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "naïve"])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(UsageError, match="no token"):
        Caller("http://127.0.0.1", token)


def test_a_token_is_not_shown() -> None:
    assert TOKEN not in repr(Caller("http://127.0.0.1", TOKEN).__dict__)


async def test_a_redirect_does_not_get_the_token() -> None:
    seen: list[str] = []

    async def elsewhere(scope: object, receive: object, send: object) -> None:
        seen.append("called")

    async with (
        served(elsewhere) as other,
        served(RedirectResponse(other)) as address,
        calling(address) as desk,
    ):
        with pytest.raises(UsageError, match="no Manta hall") as refused:
            await desk.runs()
    assert (seen, other in refused.value.fix) == ([], True)


# --- errors on their way -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        NotFoundError("no run x", "look"),
        UsageError("no", "yes"),
        RunOwnedError("owned", "watch"),
        StoreError("away", "wait"),
        MantaError("odd", "report"),
    ],
)
def test_an_error_arrives_as_what_it_was(error: MantaError) -> None:
    again = error_of(trouble_of(error), status_of(error))
    assert (type(again), again.what, again.fix) == (type(error), error.what, error.fix)


def test_an_error_that_only_the_hall_knows_arrives_as_its_nearest_kind() -> None:
    class DiskError(StoreError):
        pass

    assert trouble_of(DiskError("full", "empty it")).kind == "StoreError"
    assert type(error_of(Trouble(what="w", fix="f", kind="Unheard"), 404)) is NotFoundError
    assert type(error_of(Trouble(what="w", fix="f"), 503)) is InfrastructureError


# --- streams -----------------------------------------------------------------------------------


class Hall:
    """A hall that can be killed and started again on its port."""

    def __init__(self, app: ASGIApp) -> None:
        self._app, self._stack, self.port = app, AsyncExitStack(), 0

    async def open(self) -> str:
        address = await self._stack.enter_async_context(served(self._app, self.port))
        self.port = int(address.rpartition(":")[2])
        return address

    async def kill(self) -> None:
        await self._stack.aclose()


async def test_a_hall_that_dies_under_a_stream_and_comes_back_is_heard_to_the_end(
    stage: Stage,
) -> None:
    await stage.start()
    lease = await stage.journal.claim(RUN, "somebody")
    hall = Hall(stage.app)
    heard: list[Event] = []
    async with calling(await hall.open()) as desk, asyncio.timeout(20):
        claimed = len(await told_by(stage))
        async with aclosing(desk.events(RUN)) as events:
            while len(heard) < claimed:
                heard.append(await anext(events))
            rest = asyncio.ensure_future(_rest(events))
            await hall.kill()
            await stage.journal.request_cancel(RUN, by="Ada")
            await hall.open()
            await stage.obey(lease)
            heard += await rest
    await hall.kill()
    assert heard == await told_by(stage)
    assert [event.kind for event in heard[-2:]] == ["cancel", "finished"]


async def _rest(events: AsyncGenerator[Event]) -> list[Event]:
    return [event async for event in events]


async def test_a_hall_that_stays_away_is_given_up_after_a_while(stage: Stage) -> None:
    await stage.start()
    await stage.journal.claim(RUN, "somebody")
    hall = Hall(stage.app)
    caller = Caller(await hall.open(), TOKEN)
    desk = AfarDesk(caller, pause_s=0.01, patience_s=0.05)
    async with asyncio.timeout(20), aclosing(desk.events(RUN)) as events:
        await anext(events)
        await hall.kill()
        with pytest.raises(LostError, match="no hall answers"):
            await _rest(events)
    await caller.close()


async def _pieces(text: bytes, size: int) -> AsyncGenerator[bytes]:
    for start in range(0, len(text), size):
        yield text[start : start + size]


@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_messages_are_read_whatever_pieces_they_come_in(size: int) -> None:
    item = EventItem.of(Event(RUN, 3, 1.0, EventKind.NOTE, text="a\u2028b\x85c\n\nd"))
    text = f"retry: 4000\n\n: still here\n\nid: 3\ndata: {item.model_dump_json()}\n\n"
    text += 'event: unheard\ndata: {}\n\nevent: rest\ndata: {"status":"suspended"}\n\n'
    assert [said async for said in told(_pieces(text.encode(), size))] == [item, Rest()]


@pytest.mark.parametrize("text", [b"data: {}\n\n", b"data: nonsense\n\n", b"x" * 5_000_000])
async def test_a_stream_that_makes_no_sense_is_refused(text: bytes) -> None:
    with pytest.raises(InfrastructureError, match="cannot be read"):
        [said async for said in told(_pieces(text, 1_000_000))]


async def test_trouble_in_a_stream_is_the_error_it_was() -> None:
    trouble = trouble_of(StoreError("the store is away", "wait")).model_dump_json()
    with pytest.raises(StoreError, match="away"):
        [said async for said in told(_pieces(f"event: trouble\ndata: {trouble}\n\n".encode(), 9))]


# --- which desk --------------------------------------------------------------------------------


async def test_a_hall_in_the_settings_is_called_with_the_token_of_its_file(
    stage: Stage, tmp_path: Path
) -> None:
    await stage.start()
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o600)
    async with served(stage.app) as address:
        settings = Settings(state_dir=tmp_path, hall=f"{address}/", hall_token_path=file)
        async with open_desk(settings) as desk:
            assert (await desk.run(RUN)).run.run_id == RUN


async def test_a_token_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(0o644)
    settings = Settings(state_dir=tmp_path, hall="http://127.0.0.1:1", hall_token_path=file)
    with pytest.raises(UsageError, match="others can read"):
        async with open_desk(settings):
            pass
    missing = settings.model_copy(update={"hall_token_path": tmp_path / "nowhere"})
    with pytest.raises(UsageError, match="cannot be read"):
        async with open_desk(missing):
            pass
