"""Sandboxes over the life of a run: made ready once, at rest while it waits, gone at its end."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from actors.hands import Hands
from actors.models.gateway import ModelReply, ModelRequest
from actors.models.scripted import FunctionGateway
from actors.sandbox.protocol import Suspended
from actors.supervisor import Stage
from orchestration.ids import RunId
from orchestration.messages import Preparation
from orchestration.workflow.journal import RecordKind, RunStatus
from tests.journeys.bench import RUN, Bench, delivered, plan, steady, task

pytestmark = pytest.mark.slow


@dataclass
class Careful(Bench):
    """A bench that was told what to do with sandboxes."""

    suspended: Suspended = "keep"
    setup: Preparation | None = None

    async def hands(self, name: str) -> Hands:
        return replace(await super().hands(name), setup=self.setup)

    async def stage(self, run_id: RunId) -> Stage:
        return replace(await super().stage(run_id), suspended=self.suspended)

    def left(self) -> list[Path]:
        return list((self.place / "sandboxes").glob("*/sandbox.json"))


def mind(request: ModelRequest) -> ModelReply:
    return plan(task("alpha")) if request.role == "architect" else steady(request)


@pytest.mark.parametrize(("policy", "kept", "paused"), [("pause", 1, 1), ("discard", 0, 0)])
async def test_a_waiting_run_gives_up_its_sandboxes_and_goes_on_all_the_same(
    tmp_path: Path, policy: Suspended, kept: int, paused: int
) -> None:
    bench = Careful(tmp_path, FunctionGateway(mind), suspended=policy)
    outcome = await bench.drive(await bench.request("plan"))
    assert outcome.status is RunStatus.SUSPENDED
    assert len(bench.left()) == kept
    assert len(list((tmp_path / "sandboxes").glob("*/paused"))) == paused
    await bench.decide(answer="approve")
    outcome = await bench.drive()
    assert delivered(outcome).branch
    assert bench.left() == []


async def test_a_run_is_made_ready_once_and_leaves_nothing(tmp_path: Path) -> None:
    ready = "mkdir -p .pytest_cache/ready; echo '*' > .pytest_cache/.gitignore; echo once"
    bench = Careful(tmp_path, FunctionGateway(mind), setup=Preparation(command=ready))
    outcome = await bench.drive(await bench.request())
    assert delivered(outcome).branch
    facts = [record.body for record in await bench.journal.read(RUN, kinds=[RecordKind.SANDBOX])]
    assert len([fact for fact in facts if '"state":"snapshot"' in fact.replace(" ", "")]) == 1
    assert bench.left() == []
    assert list((tmp_path / "sandboxes" / ".kept").iterdir()) == []
