"""The same commands at the store itself and, by --hall, from another machine: the same output."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from actors.journal.opening import open_journal
from cluster.cli import main
from cluster.desk.near import NearDesk, shared_store
from cluster.settings import Settings
from cluster.web.access import Access
from cluster.web.application import application
from cluster.web.hall import Hall
from orchestration.messages import Limits
from orchestration.stories import played
from orchestration.workflow.engine import Engine
from orchestration.workflow.retry import Retry
from tests.cluster.desk.conftest import served
from tests.cluster.web.stage import EVIL, RUN, TOKEN, HostileCrew, hostile_request

pytestmark = pytest.mark.slow
Manta = Callable[..., Result]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory with a run that waits at its plan, and nothing of this person's."""
    place = tmp_path / "state"
    place.mkdir()
    for name in ("MANTA_HALL", "MANTA_HALL_TOKEN", "MANTA_ADDRESS", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("USER", "ada")

    async def play() -> None:
        journal = await open_journal(place / "runs")
        crew = HostileCrew()
        engine = Engine(journal, owner="the test")
        flow = played("", crew, Limits(), Retry())
        await engine.start(flow, hostile_request(crew, RUN, "plan"), run_id=RUN, title=EVIL)
        await journal.close()

    asyncio.run(play())
    return place


@pytest.fixture
def hall(state: Path) -> Iterator[str]:
    """The address of a hall over that state directory, in a thread of its own."""
    address: list[str] = []
    listens, over = threading.Event(), threading.Event()

    async def serve() -> None:
        settings = Settings(state_dir=state)
        desk = NearDesk(settings, shared_store(settings))
        async with served(application(Hall(desk, Access(TOKEN)))) as url:
            address.append(url)
            listens.set()
            await asyncio.to_thread(over.wait)
        await desk.store.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert listens.wait(20)
    yield address[0]
    over.set()
    thread.join(20)


@pytest.fixture
def near(state: Path) -> Manta:
    return lambda *words: manta(*words, "--state-dir", str(state))


@pytest.fixture
def afar(hall: str, monkeypatch: pytest.MonkeyPatch) -> Manta:
    monkeypatch.setenv("MANTA_HALL_TOKEN", TOKEN)
    return lambda *words: manta(*words, "--hall", hall)


def manta(*words: str) -> Result:
    return CliRunner().invoke(main, words)


LOOKING = (
    ["runs"], ["runs", "--json"], ["show", RUN], ["show", RUN, "--json"], ["show", RUN, "--plan"],
    ["show", RUN, "--log"], ["show", RUN, "--log", "--json"], ["show", RUN, "--graph"],
    ["watch", RUN], ["watch", RUN, "--after", "5", "--json"],
    # refused:
    ["show", RUN, "--diff"], ["show", "No Way"], ["watch", "nobody", "--json"], ["fetch", RUN],
    ["fetch", RUN, "--patch", "-"], ["approve", RUN, "--label", "lunch"],
    ["resume", RUN, "--budget", "9usd"], ["cancel", "nobody"],
)  # fmt: skip


def test_looking_and_every_refusal_read_alike_near_and_afar(near: Manta, afar: Manta) -> None:
    for words in LOOKING:
        here, there = near(*words), afar(*words)
        assert here.output == there.output, words
        assert here.exit_code == there.exit_code, words
        assert isinstance(here.exception, SystemExit | None), words


def test_a_decision_made_afar_is_the_one_that_stands_near(near: Manta, afar: Manta) -> None:
    said = afar("approve", RUN, "--no-resume")
    assert said.output == f"approve: recorded. Go on with `manta resume {RUN}`.\n"
    for again in (near("approve", RUN), afar("reject", RUN)):
        assert again.exit_code == 2
        assert f"'plan' of run {RUN} was decided already: approve, by ada" in again.output


def test_a_run_is_cancelled_from_afar(near: Manta, afar: Manta) -> None:
    assert afar("cancel", RUN).output == f"{RUN} is being cancelled.\n"
    assert near("cancel", RUN).output == f"{RUN} had already ended.\n"
    assert near("watch", RUN).exit_code == afar("watch", RUN).exit_code == 1


def test_a_wrong_token_and_no_hall_are_a_sentence_and_a_fix(
    hall: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MANTA_HALL_TOKEN", "w" * 43)
    for words in (["runs"], ["watch", RUN], ["approve", RUN], ["cancel", RUN], ["fetch", RUN]):
        refused = manta(*words, "--hall", hall)
        assert refused.exit_code == 5
        assert "refuses this token\n  fix: " in refused.output
        nobody = manta(*words, "--hall", "http://127.0.0.1:9")
        assert nobody.exit_code == 5
        assert "no hall answers" in nobody.output
