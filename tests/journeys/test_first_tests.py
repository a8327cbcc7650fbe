"""A repository without tests, and tests that somebody else writes."""

import json
from pathlib import Path

import pytest

from actors.architect import Architect
from actors.assignments import CodeJob, Handed
from actors.coder import Coder
from actors.models.gateway import ModelReply, ModelRequest
from actors.reviewer import Reviewer
from actors.security import SecurityAnalyst
from cluster.demo.sample import git
from orchestration.ids import StepGrant
from orchestration.workflow.journal import RecordKind, RunStatus
from tests.journeys import bench as bench_room
from tests.journeys.bench import RUN, Bench, delivered, minds, plan, says, steady, task

pytestmark = pytest.mark.slow
COMMAND = "python -m pytest"


@pytest.fixture
def untested(tmp_path: Path) -> Path:
    """A package and nothing else."""
    place = tmp_path / "wordkit-untested"
    package = place / "wordkit"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('"""Words."""\n')
    (package / "old.py").write_text("def old() -> str:\n    return 'old'\n")
    git(place, "init", "--quiet")
    git(place, "add", "--all")
    git(place, "commit", "--quiet", "--message=first")
    return place


async def test_the_first_test_of_a_repository_is_red_and_then_green(
    tmp_path: Path, untested: Path
) -> None:
    def mind(request: ModelRequest) -> ModelReply:
        return plan(task("red")) if request.role == "architect" else steady(request)

    bench = minds(tmp_path, mind, untested)
    request = (await bench.request()).model_copy(update={"test_command": COMMAND})
    delivery = delivered(await bench.drive(request))
    (proof,) = json.loads(await bench.journal.get_blob(delivery.evidence))["tasks"]
    assert (proof["red"]["exit_code"], proof["green"]["exit_code"]) == (1, 0)
    assert list(proof["test_files"]) == ["tests/test_red.py"]


FIRST = task("first") | {"title": "Add a first test", "changes_behaviour": False}
PINS = "def test_old() -> None:\n    from wordkit.old import old\n\n    assert old() == 'old'\n"


def adding(text: str, path: str = "tests/test_old.py"):
    """A mind that adds this as the first test."""

    def mind(request: ModelRequest) -> ModelReply:
        if request.role == "architect":
            return plan(FIRST)
        if request.role == "coder" and request.turn == 1:
            assert "no tests yet" in str(request.messages[1]["content"])
            return says(("write", {"path": path, "content": text}))
        return steady(request)

    return mind


async def first_test(tmp_path: Path, untested: Path, text: str, path: str = "tests/test_old.py"):
    bench = minds(tmp_path, adding(text, path), untested)
    request = (await bench.request(repairs=1)).model_copy(update={"test_command": COMMAND})
    return await bench.drive(request)


async def test_first_tests_may_pin_what_the_code_does_already(
    tmp_path: Path, untested: Path
) -> None:
    delivery = delivered(await first_test(tmp_path, untested, PINS))
    assert "The whole suite passes" in delivery.summary


@pytest.mark.parametrize(
    ("text", "path", "told"),
    [
        (PINS.replace("'old'", "'new'"), "tests/test_old.py", "fails"),
        ("OLD = 1\n", "tests/test_old.py", "no test ran and passed"),
        ("", "conftest.py", "decides how tests run"),
    ],
    ids=["a failing one", "one that holds none", "runner settings"],
)
async def test_first_tests_that_prove_nothing_are_sent_back(
    tmp_path: Path, untested: Path, text: str, path: str, told: str
) -> None:
    outcome = await first_test(tmp_path, untested, text, path)
    assert outcome.status is RunStatus.FAILED
    assert outcome.error is not None
    assert told in outcome.error.what


async def workspaces(bench: Bench, step: str) -> set[str]:
    """Which sandboxes a step of the task used."""
    records = await bench.journal.read(RUN, kinds=[RecordKind.SANDBOX])
    return {json.loads(r.body)["id"] for r in records if r.step_key.endswith(step)}


@pytest.mark.parametrize("apart", [True, False])
async def test_a_test_is_written_by_another_coder_in_another_workspace_if_asked(
    tmp_path: Path, apart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrote: dict[str, str] = {}

    class Signing(Coder):
        async def write_test(self, job: CodeJob, grant: StepGrant) -> Handed:
            wrote["test"] = self.name
            return await super().write_test(job, grant)

        async def write_code(self, job: CodeJob, grant: StepGrant) -> Handed:
            wrote["code"] = self.name
            return await super().write_code(job, grant)

    monkeypatch.setattr(bench_room, "PLAYERS", (Architect, Signing, Reviewer, SecurityAnalyst))

    def mind(request: ModelRequest) -> ModelReply:
        return plan(task("red")) if request.role == "architect" else steady(request)

    bench = minds(tmp_path, mind)
    request = (await bench.request()).model_copy(update={"independent_tests": apart})
    assert delivered(await bench.drive(request))
    test, code = await workspaces(bench, "/write_test"), await workspaces(bench, "/write_code")
    assert (len(test), len(code)) == (1, 1)
    assert test.isdisjoint(code) is apart
    assert wrote == {"test": "coder-1", "code": "coder-2" if apart else "coder-1"}
