"""A run whose disk is full is not failed by it: with room again it goes on where it was."""

import os
from pathlib import Path

import pytest

from actors.models.gateway import ModelReply, ModelRequest
from orchestration.workflow.journal import RecordKind, RunStatus
from tests.actors.sandbox.workspace.small_disk import SmallDisk
from tests.journeys.bench import RUN, delivered, minds, plan, steady, task

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk"),
]


async def test_a_full_disk_leaves_the_run_to_be_resumed(tmp_path: Path) -> None:
    disk = SmallDisk(tmp_path / "sandboxes")
    asked: list[str] = []

    def mind(request: ModelRequest) -> ModelReply:
        asked.append(request.key)
        if request.role == "architect":
            return plan(task("alpha"))
        if request.conversation.endswith("write_code") and request.turn == 1:
            disk.fill()
        return steady(request)

    bench = minds(tmp_path, mind)
    try:
        outcome = await bench.drive(await bench.request())
        assert outcome.status is RunStatus.RUNNING, "left as it was, by nobody's fault"
        notes = [record.body for record in await bench.journal.read(RUN, kinds=[RecordKind.NOTE])]
        assert any("lost its ground" in note and "full" in note for note in notes)
        disk.empty()
        disk.enlarge()
        outcome = await bench.drive()
        assert outcome.status is RunStatus.DONE
        assert delivered(outcome).branch
        assert len(asked) == len(set(asked)), "no reply was asked for again"
    finally:
        disk.close()
