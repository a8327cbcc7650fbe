"""A run is played again from its journal: the same replies, real tools and gates, the same tree."""

from dataclasses import replace
from pathlib import Path

import pytest

from actors.models.gateway import ModelReply, ModelRequest
from actors.models.recording import begin_recording, read_recording
from actors.models.scripted import ScriptedGateway
from actors.run_repository import RunRepository
from cluster.brain import Brain
from cluster.runs.replaying import about, again, order_of
from cluster.settings import Settings
from orchestration.errors import NotFoundError, UsageError
from orchestration.ids import RunId
from orchestration.messages import Delivery
from tests.cluster.web.stage import Stage
from tests.journeys.bench import RUN, Bench, delivered, minds, plan, steady, task


def mind(request: ModelRequest) -> ModelReply:
    if request.conversation.endswith("plan"):
        return plan(task("red"))
    reply = steady(request)
    # More than a journal's record holds, so that it lies in a blob.
    return replace(reply, text="thinking " * 4_000) if request.turn == 1 else reply


async def content(bench: Bench, delivery: Delivery) -> str:
    repository = await RunRepository.open(bench.place / "look.git", bench.journal)
    return await repository.content(delivery.tree)


@pytest.mark.slow
async def test_a_run_played_again_delivers_the_same_tree(tmp_path: Path) -> None:
    first = minds(tmp_path / "first", mind)
    made = delivered(await first.drive(await first.request()))
    settings = Settings(state_dir=tmp_path / "state")

    asked = await again(first.journal, settings, RUN, RunId("second"))
    brain = Brain.model_validate_json(asked.brain)
    recording = read_recording(Path(brain.replay))
    second = Bench(tmp_path / "second", ScriptedGateway(recording))
    await second.request()  # stores the base
    played = delivered(await second.drive(asked.model_copy(update={"run_id": RUN})))

    assert asked.run_id == "second"
    assert recording.about["request"] == "Do it."
    assert {reply.role for reply in recording.replies.values()} == {
        "architect", "coder", "reviewer", "security",
    }  # fmt: skip
    assert played.summary == made.summary
    assert await content(second, played) == await content(first, made)


async def test_a_run_in_which_no_model_answered_has_nothing_to_play(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    await stage.start()

    with pytest.raises(NotFoundError, match="no model has answered"):
        await again(stage.journal, Settings(state_dir=tmp_path / "state"), RUN, None)


async def test_a_recording_says_what_was_asked_of_which_commit(tmp_path: Path) -> None:
    bench = minds(tmp_path, mind)
    request = await bench.request(text="Add red.")
    request = request.model_copy(update={"origin": str(bench.repository)})
    file = tmp_path / "recording.jsonl"
    begin_recording(file, about(request))

    order = order_of(file, None, "again")

    assert (order.text, order.repository) == ("Add red.", str(bench.repository))
    assert (order.ref, order.run_id, order.replay) == (request.base.commit, "again", file)


def test_a_recording_whose_repository_is_gone_wants_a_copy(tmp_path: Path) -> None:
    file = tmp_path / "recording.jsonl"
    begin_recording(file, {"request": "Add red.", "repository": "/nowhere/at/all"})

    with pytest.raises(UsageError, match="/nowhere/at/all"):
        order_of(file, None, None)
    assert order_of(file, ".", None).repository == "."


def test_an_old_recording_is_told_how_to_be_played(tmp_path: Path) -> None:
    file = tmp_path / "recording.jsonl"
    begin_recording(file, {})

    with pytest.raises(UsageError) as told:
        order_of(file, ".", None)
    assert "manta run REQUEST" in told.value.fix


def test_another_file_is_never_recorded_into(tmp_path: Path) -> None:
    file = tmp_path / "thesis.txt"
    file.write_text("ten years of work\n")

    with pytest.raises(UsageError, match="is no recording"):
        begin_recording(file, {})
    assert file.read_text() == "ten years of work\n"
