"""A coder that finds a frozen test wrong says so, and the task is planned anew at once."""

from pathlib import Path

import pytest

from actors.models.gateway import ModelReply, ModelRequest
from orchestration.workflow.journal import RecordKind, RunStatus
from tests.journeys.bench import RUN, finish, minds, plan, steady, task

pytestmark = pytest.mark.slow


async def test_a_task_whose_frozen_test_is_wrong_is_planned_anew_without_further_rounds(
    tmp_path: Path,
) -> None:
    asked: list[str] = []
    plans: list[str] = []

    def mind(request: ModelRequest) -> ModelReply:
        asked.append(request.conversation)
        if request.role == "architect":
            plans.append(str(request.messages[1]["content"]))
            return plan(task("left" if len(plans) == 1 else "right"))
        if "build[left]" in request.conversation and request.conversation.endswith("write_code"):
            return finish(title="Blocked", blocked="test_left.py:4 wants 'left', the task 'right'")
        return steady(request)

    bench = minds(tmp_path, mind)
    outcome = await bench.drive(await bench.request(replans=1, repairs=5))

    assert outcome.status is RunStatus.DONE, outcome
    assert sum("build[left]" in each and "write_code" in each for each in asked) == 1
    assert "the coder cannot do it as it stands: test_left.py:4 wants" in plans[1]
    notes = [r.body for r in await bench.journal.read(RUN) if r.kind is RecordKind.NOTE]
    assert any("planning anew: left failed" in body for body in notes)
