"""A run forked at a step, in one process and at the door."""

import json
from pathlib import Path

import pytest

from actors.models.gateway import ModelReply, ModelRequest
from actors.supervisor import Supervisor
from orchestration.ids import RunId, StepKey
from orchestration.stories import request_of, unplayed
from orchestration.workflow.forking import fork
from orchestration.workflow.journal import RunStatus
from orchestration.workflow.outcome import outcome_of
from tests.journeys.bench import RUN, Bench, delivered, minds, plan, steady, task
from tests.journeys.conftest import recorded
from tests.journeys.door import Door

pytestmark = pytest.mark.slow
FORK = RunId("fork-1")


async def drive_fork(bench: Bench) -> None:
    supervisor = Supervisor(FORK, bench, owner="the bench")
    await supervisor.start(None)
    await supervisor.finished()


async def test_a_fork_keeps_the_past_and_delivers_under_its_own_name(tmp_path: Path) -> None:
    asked: list[str] = []

    def mind(request: ModelRequest) -> ModelReply:
        asked.append(request.conversation)
        return plan(task("red")) if request.role == "architect" else steady(request)

    bench = minds(tmp_path, mind)
    first = delivered(await bench.drive(await bench.request()))
    turns = len(asked)
    await fork(bench.journal, RUN, at=StepKey("round#1/closing/conclude"), into=FORK)
    await drive_fork(bench)
    second = delivered(await outcome_of(bench.journal, unplayed(), FORK))
    assert len(asked) == turns, "no model is asked again for what was done before the fork"
    assert (second.run_id, second.branch) == (FORK, f"manta/{FORK}")
    assert second.tree.commit == first.tree.commit
    evidence = json.loads(await bench.journal.get_blob(second.evidence))
    assert (evidence["run_id"], evidence["models"]) == (FORK, ["scripted"])
    assert (await request_of(bench.journal, FORK)).run_id == FORK
    assert (await bench.journal.info(FORK)).parent == RUN
    assert delivered(await outcome_of(bench.journal, unplayed(), RUN)) == first


async def test_a_fork_at_a_task_builds_it_anew_on_the_merges_before_it(tmp_path: Path) -> None:
    asked: list[str] = []

    def mind(request: ModelRequest) -> ModelReply:
        asked.append(request.conversation)
        if request.role == "architect":
            return plan(task("red"), task("blue", "red"))
        return steady(request)

    bench = minds(tmp_path, mind)
    delivered(await bench.drive(await bench.request()))
    asked.clear()
    await fork(bench.journal, RUN, at=StepKey("round#1/tasks/build[blue]"), into=FORK)
    await drive_fork(bench)
    outcome = await outcome_of(bench.journal, unplayed(), FORK)
    assert outcome.status is RunStatus.DONE
    assert {text.partition("[")[2].partition("]")[0] for text in asked} == {"blue"}
    assert delivered(outcome).summary.startswith("red: Add red\nblue: Add blue")


@pytest.mark.long
@pytest.mark.ray
@pytest.mark.timeout(400)
def test_a_run_is_forked_and_driven_at_the_door(door: Door, wordkit: Path) -> None:
    assert door.manta(*recorded(wordkit, "--run-id", "origin")).code == 0
    nowhere = door.manta("fork", "origin", "--at", "round#9/plan", "--run-id", "astray")
    assert nowhere.code == 2
    assert "round#1/closing/conclude" in nowhere.err
    said = door.manta(
        "fork", "origin", "--at", "round#1/closing/conclude", "--run-id", "offspring", "--json"
    )
    assert said.code == 0, said.err
    assert (said.of("forked")["parent"], said.of("delivered")["branch"]) == (
        "origin", "manta/offspring",
    )  # fmt: skip
    shown = door.manta("show", "offspring", "--json").of("run")
    assert (shown["status"], shown["parent"]) == ("done", "origin")
    assert door.manta("fork", "origin", "--at", "deliver", "--run-id", "offspring").code == 5
