"""The linter at work in the delivery: a cheap model mends, the gates prove it afterwards."""

from pathlib import Path

import pytest

from actors.models.gateway import ModelReply, ModelRequest
from cluster.demo.sample import git
from orchestration.errors import ReplayDivergedError
from orchestration.workflow.journal import RecordKind
from tests.actors.test_linter import RUFF
from tests.journeys.bench import (
    RUN,
    Bench,
    Mind,
    delivered,
    finish,
    minds,
    plan,
    says,
    steady,
    task,
)

pytestmark = pytest.mark.slow
TABBED = "def red() -> str:\n\treturn 'red'\n"


def bench_with_linter(place: Path, linter: Mind) -> Bench:
    """A repository that brings a linter, and a coder that leaves a tab behind."""

    def mind(request: ModelRequest) -> ModelReply:
        if request.role == "linter":
            return linter(request)
        if request.role == "architect":
            return plan(task("red"))
        if request.conversation.endswith("write_code") and request.turn == 1:
            return says(("write", {"path": "wordkit/red.py", "content": TABBED}))
        return steady(request)

    bench = minds(place, mind)
    ruff = bench.repository / ".venv" / "bin" / "ruff"
    ruff.parent.mkdir(parents=True)
    ruff.write_text(RUFF)
    ruff.chmod(0o755)
    (bench.repository / "ruff.toml").write_text("")
    git(bench.repository, "add", "--all", "--force")
    git(bench.repository, "commit", "--quiet", "--message=linter")
    return bench


async def test_the_linter_mends_new_lines_with_a_model_of_its_own(tmp_path: Path) -> None:
    asked: list[ModelRequest] = []

    def linter(request: ModelRequest) -> ModelReply:
        asked.append(request)
        if request.turn == 1:
            edit = {"old": "\treturn", "new": "    return"}
            return says(
                ("read", {"path": "wordkit/red.py"}),
                ("edit", {"path": "wordkit/red.py", "edits": [edit]}),
            )
        return finish(notes="")

    delivery = delivered(
        await (bench := bench_with_linter(tmp_path, linter)).drive(await bench.request())
    )
    assert "wordkit/red.py:2:1: W191" in str(asked[0].messages[1]["content"])
    assert (asked[0].difficulty, asked[0].conversation[-18:]) == ("easy", "/write_code:linter")
    assert delivery.branch
    turns = await bench.journal.read(RUN, kinds=[RecordKind.TURN])
    assert any("coder-1's linter" in record.body for record in turns)


async def test_a_linter_that_fails_holds_nothing_up(tmp_path: Path) -> None:
    def linter(request: ModelRequest) -> ModelReply:
        raise ReplayDivergedError("no such conversation", "", request.conversation, request.turn)

    bench = bench_with_linter(tmp_path, linter)
    assert delivered(await bench.drive(await bench.request()))
    notes = await bench.journal.read(RUN, kinds=[RecordKind.NOTE])
    assert any("went on without it" in record.body for record in notes)
