"""Deliveries of one's own: the example in one process, and one at the door."""

import json
from pathlib import Path

import pytest

from actors.models.gateway import ModelReply, ModelRequest
from actors.supervisor import Supervisor
from orchestration.ids import RunId, StepKey
from orchestration.stories import unplayed
from orchestration.workflow.forking import fork
from orchestration.workflow.journal import RunStatus
from orchestration.workflow.outcome import decide
from tests.journeys.bench import RUN, Bench, delivered, finish, minds, plan, steady, task
from tests.journeys.conftest import recorded
from tests.journeys.door import Door

pytestmark = pytest.mark.slow
EXAMPLE = Path(__file__).parents[2] / "examples" / "standard_tasks"
TO_STAGING = "standard_tasks:to_staging"
AGAIN = RunId("run-2")
SCANNED = finish(
    approved=False,
    summary="One thing.",
    findings=[{"file": "wordkit/red.py", "line": 1, "severity": "low", "why": "It is red."}],
)


@pytest.fixture(autouse=True)
def staging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example can be imported, and staging is a folder of this test."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data" / "staging"


def mind(request: ModelRequest) -> ModelReply:
    """Builds one task; the security analyst finds a trifle in the whole change."""
    if request.role == "architect":
        return plan(task("red"))
    return SCANNED if request.conversation == "scan" else steady(request)


async def asked(bench: Bench) -> str:
    """Drive the example up to its deploy gate; what it shows there."""
    request = await bench.request()
    waiting = await bench.drive(request.model_copy(update={"workflow": TO_STAGING}))
    assert waiting.status is RunStatus.SUSPENDED, waiting
    assert [one.label for one in waiting.suspensions] == ["deploy"]
    return json.loads(waiting.suspensions[0].payload)["body"]


async def say(bench: Bench, run_id: RunId = RUN, **decision: str) -> None:
    text = json.dumps(decision)
    await decide(bench.journal, unplayed(TO_STAGING), run_id, text, by="tester")


async def drive(bench: Bench, run_id: RunId) -> None:
    supervisor = Supervisor(run_id, bench, owner="the bench")
    await supervisor.start(None)
    await supervisor.finished()


def deployed(staging: Path) -> dict[str, str] | None:
    """What staging is told to run, if anything."""
    place = staging / "wordkit.json"
    return json.loads(place.read_text(encoding="utf-8")) if place.exists() else None


async def test_a_yes_brings_the_delivered_commit_to_staging(tmp_path: Path, staging: Path) -> None:
    bench = minds(tmp_path, mind)
    body = await asked(bench)
    assert "wordkit/red.py:1: It is red." in body
    assert "+def red()" in body
    assert deployed(staging) is None, "nothing is deployed before the answer"
    await say(bench, answer="approve", by="alice")
    delivery = delivered(await bench.drive())
    assert deployed(staging) == {
        "run": RUN,
        "branch": f"manta/{RUN}",
        "commit": delivery.tree.commit,
        "approved_by": "alice",
    }
    assert delivery.summary.endswith(f"Deployed: {staging / 'wordkit.json'}")


async def test_a_no_leaves_staging_alone_until_a_fork_asks_again(
    tmp_path: Path, staging: Path
) -> None:
    bench = minds(tmp_path, mind)
    await asked(bench)
    await say(bench, answer="reject", by="alice")
    assert delivered(await bench.drive()).summary.endswith("Not deployed.")
    assert deployed(staging) is None

    await fork(bench.journal, RUN, at=StepKey("deploy"), into=AGAIN)
    await drive(bench, AGAIN)
    await say(bench, AGAIN, answer="approve", by="bob")
    await drive(bench, AGAIN)
    manifest = deployed(staging)
    assert manifest is not None
    assert (manifest["branch"], manifest["approved_by"]) == (f"manta/{RUN}", "bob")


OWN = """
from dataclasses import replace
from orchestration.delivery import delivery

def renamed(crew, limits, retry):
    return replace(delivery(crew, limits, retry), id="my-own")
"""


@pytest.mark.long
@pytest.mark.ray
@pytest.mark.timeout(400)
def test_the_door_keeps_to_the_workflow_a_run_began_with(tmp_path: Path, wordkit: Path) -> None:
    (tmp_path / "my_stories.py").write_text(OWN, encoding="utf-8")
    door = Door(tmp_path, PYTHONPATH=str(tmp_path))
    try:
        arguments = recorded(wordkit, "--run-id", "mine", "--approve", "plan", "--json")
        wrong = door.manta(*arguments, "--workflow", "my_stories:missing")
        assert wrong.code == 2
        assert "my_stories:missing" in wrong.err
        asked = door.manta(*arguments, "--workflow", "my_stories:renamed")
        assert (asked.code, asked.of("waiting")["labels"]) == (3, ["plan"]), asked.err
        assert door.manta("show", "mine", "--graph").out.startswith("my-own\n")
        assert door.manta("approve", "mine", "--no-resume").code == 0
        done = door.manta("resume", "mine", "--json")
        assert done.code == 0, done.err
        assert done.of("delivered")["branch"] == "manta/mine"
        assert door.manta("show", "mine", "--diff").code == 0
    finally:
        door.close()
