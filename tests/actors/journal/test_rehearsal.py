"""The rehearsal at opening leaves nothing behind, and nothing to be done for the first time."""

from pathlib import Path

import pytest
from sqlalchemy.dialects.sqlite import dialect

from actors.journal.compiling import Compiler
from actors.journal.sqlite import SqliteJournal
from orchestration.ids import RunId
from orchestration.workflow.builder import Workflow, step
from orchestration.workflow.engine import Engine
from orchestration.workflow.journal import RunStatus
from orchestration.workflow.step import StepContext, Suspension

RUN = RunId("the-run")


async def _gate(value: int, ctx: StepContext) -> int:
    await ctx.note("asks")
    if ctx.answer is None:
        ctx.suspend(Suspension(label="gate", payload='"go on?"'))
    return value


GATED = Workflow("gated", int).then(step(_gate, id="gate", answers=bool)).commit()


async def test_opening_a_store_leaves_nothing_in_it(tmp_path: Path) -> None:
    for _ in range(2):
        journal = await SqliteJournal(tmp_path / "state").open()
        assert await journal.runs() == []
        await journal.close()


async def test_a_run_finds_its_statements_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = Compiler(dialect(paramstyle="named"))
    monkeypatch.setattr("actors.journal.sqlite_connection._compiler", lambda: compiler)
    journal = await SqliteJournal(tmp_path / "state").open()

    def late(*_: object) -> None:
        raise AssertionError("compiled only now")

    monkeypatch.setattr(compiler, "_compile", late)
    engine = Engine(journal, owner="test")
    asked = await engine.start(GATED, 1, run_id=RUN)
    assert asked.status is RunStatus.SUSPENDED
    await journal.decide(RUN, "gate", "true", by="me")
    assert (await engine.resume(GATED, RUN)).output == 1
    await journal.close()
