"""Old records are read by new code, from stored samples; newer ones are refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from orchestration.errors import StoreError
from orchestration.ids import RunId
from orchestration.workflow.journal import NO_STEP, NewRecord, Record, RecordKind
from orchestration.workflow.migrations import Migration, migrated
from tests.orchestration.workflow.samples import write
from tests.orchestration.workflow.samples.write import sample_flow
from tests.orchestration.workflow.stage import RUN, Stage

SAMPLES = sorted(Path(write.__file__).parent.glob("v*.jsonl"))

SAMPLE_LINES = {path.name: path.read_text().splitlines() for path in SAMPLES}


def record(version: int, body: str = "{}") -> Record:
    return Record(RunId("r"), 1, RecordKind.DONE, NO_STEP, 1, 1, 0.0, body, version)


def appending(letter: str) -> Migration:
    return lambda old: replace(old, body=old.body + letter)


def test_a_record_is_taken_from_version_to_version() -> None:
    steps = {1: appending("b"), 2: appending("c")}
    assert migrated(record(1, "a"), steps, current=3) == record(3, "abc")
    assert migrated(record(2, "a"), steps, current=3) == record(3, "ac")
    assert migrated(record(3, "a"), steps, current=3) == record(3, "a")


def test_a_record_of_a_newer_version_is_refused() -> None:
    with pytest.raises(StoreError, match="version 4, newer than this program reads"):
        migrated(record(4), {}, current=3)
    with pytest.raises(StoreError, match="older"):
        migrated(record(1), {}, current=3)


async def test_a_run_with_newer_records_is_refused_and_stays_as_it_is(stage: Stage) -> None:
    flow = sample_flow()
    await stage.engine().start(flow, [1, 2], run_id=RUN, steps=1)
    row = stage.journal._runs[RUN]  # pyright: ignore[reportPrivateUsage]
    row.records[-1] = replace(row.records[-1], version=99)
    with pytest.raises(StoreError, match="version 99"):
        await stage.resume(flow)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda p: p.name)
async def test_a_stored_run_of_every_version_can_be_continued_from_anywhere(path: Path) -> None:
    lines = [json.loads(line) for line in SAMPLE_LINES[path.name]]
    flow = sample_flow()
    for cut in range(1, len(lines)):
        stage = Stage()
        kept = [
            NewRecord(RecordKind(r["kind"]), r["step_key"], r["attempt"], r["body"])
            for r in lines[1:cut]
            if r["kind"] not in {"claimed", "finished"}
        ]
        await stage.journal.create_run(
            RUN,
            workflow=flow.id,
            definition=flow.definition,
            title="",
            body=lines[0]["body"],
            records=kept,
        )
        row = stage.journal._runs[RUN]  # pyright: ignore[reportPrivateUsage]
        version = lines[0]["version"]
        row.records[:] = [replace(r, version=version) for r in row.records]
        outcome = await stage.resume(flow)
        if outcome.suspensions:
            await stage.answer(flow, "5")
            outcome = await stage.resume(flow)
        assert outcome.output == write.OUTPUT


def test_there_is_a_sample_of_every_version() -> None:
    assert [path.name for path in SAMPLES] == ["v1.jsonl"]
