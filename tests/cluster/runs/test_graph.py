"""Looking at a run's workflow, and watching on from where one stopped."""

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from actors.journal.opening import open_journal
from cluster.cli import main
from cluster.configuration.sources import variable_names
from cluster.runs.graph import graph, standing
from orchestration.clock import SystemClock
from orchestration.errors import UsageError
from orchestration.ids import CommitId, RunId, StepKey
from orchestration.messages import FeatureRequest, TreeRef
from orchestration.stories import unplayed
from orchestration.workflow.engine import Engine
from orchestration.workflow.in_memory import InMemoryJournal
from orchestration.workflow.journal import Journal, Record, RecordKind, RunStatus
from tests.cluster.delivery_page import PLACE, page

RUN = RunId("run-1")
BASE = TreeRef(commit=CommitId("1" * 40), bundles=())


async def fail(journal: Journal, workflow: str = "") -> None:
    """A run without players: it fails at its first step."""
    request = FeatureRequest(
        run_id=RUN, text="Do it.", repository="wordkit", base=BASE, workflow=workflow
    )
    await Engine(journal, owner="the test").start(unplayed(), request, run_id=RUN)


def record(seq: int, kind: RecordKind, key: str) -> Record:
    return Record(RUN, seq, kind, StepKey(key), attempt=1, epoch=1, at=0.0, body="{}")


async def test_a_graph_shows_the_workflow_and_every_steps_standing() -> None:
    journal = InMemoryJournal(SystemClock())
    await fail(journal)
    text, facts = await graph(journal, RUN)
    assert "├─ round  ↻ until is_agreed, at most 5" in text
    assert "failed    round#1/recall" in text
    assert facts["steps"] == {"open_dossier": "done", "round#1/recall": "failed"}
    assert facts["workflow"]["definition"] == unplayed().definition
    assert [node["id"] for node in facts["workflow"]["nodes"]] == [
        "open_dossier",
        "round",
        "delivered",
    ]


async def test_a_graph_of_a_workflow_that_is_not_here_says_which() -> None:
    journal = InMemoryJournal(SystemClock())
    await fail(journal, "gone_away:story")
    with pytest.raises(UsageError, match="gone_away:story"):
        await graph(journal, RUN)


@pytest.mark.parametrize(
    ("status", "running", "waiting"),
    [
        (RunStatus.RUNNING, "running", "waiting"),
        (RunStatus.SUSPENDED, "left off", "waiting"),
        (RunStatus.CANCELLED, "left off", "left off"),
    ],
)
def test_a_step_runs_only_where_somebody_drives(
    status: RunStatus, running: str, waiting: str
) -> None:
    records = [
        record(1, RecordKind.STARTED, "a"),
        record(2, RecordKind.DONE, "a"),
        record(3, RecordKind.DONE, "a="),
        record(4, RecordKind.STARTED, "b"),
        record(5, RecordKind.STARTED, "c"),
        record(6, RecordKind.SUSPENDED, "c"),
    ]
    assert standing(records, status) == {"a": "done", "b": running, "c": waiting}


def test_the_page_of_the_delivery_is_what_the_code_says() -> None:
    assert PLACE.read_text(encoding="utf-8") == page(), (
        "write it anew: python -m tests.cluster.delivery_page"
    )


# --- at the door -------------------------------------------------------------------------------


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory with one failed run in it."""
    for name in (*variable_names(), "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    state = tmp_path / "state"

    async def make() -> None:
        journal = await open_journal(state / "runs")
        await fail(journal)
        await journal.close()

    asyncio.run(make())
    return state


def manta(state: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--state-dir", str(state)])


def test_show_draws_the_graph_and_gives_it_as_data(state: Path) -> None:
    drawn = manta(state, "show", RUN, "--graph")
    assert (drawn.exit_code, drawn.stdout.splitlines()[0]) == (0, "delivery")
    data = json.loads(manta(state, "show", RUN, "--graph", "--json").stdout)
    assert (data["type"], data["workflow"]["id"]) == ("graph", "delivery")
    assert data["steps"]["round#1/recall"] == "failed"


def test_watch_goes_on_after_the_event_seen_last(state: Path) -> None:
    def numbers(*more: str) -> list[int]:
        said = manta(state, "watch", RUN, "--json", *more)
        assert said.exit_code == 1, said.output
        return [line["seq"] for line in map(json.loads, said.stdout.splitlines()) if "seq" in line]

    whole = numbers()
    assert len(whole) > 2
    assert numbers("--after", str(whole[1])) == whole[2:]
    assert manta(state, "watch", RUN, "--after", "-1").exit_code == 2
