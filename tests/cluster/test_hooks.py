"""Hooks: real processes, called when a run comes to rest."""

import asyncio
import json
import os
import select
import sys
from pathlib import Path

import pytest

from cluster.hooks import Bell, ring
from orchestration.ids import RunId
from tests.cluster.web.stage import RUN, Stage

pytestmark = pytest.mark.slow

NOTE = (
    "import json, os, sys, pathlib; told = json.load(sys.stdin); "
    "pathlib.Path(sys.argv[1]).open('a').write(json.dumps([os.environ['MANTA_HOOK'], "
    "os.environ['MANTA_RUN'], told['run']['status'], os.environ.get('OPENAI_API_KEY')]) + '\\n')"
)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path / "state")


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes"


def noting(notes: Path) -> tuple[str, ...]:
    return (sys.executable, "-c", NOTE, str(notes))


def read(notes: Path) -> list[list[str | None]]:
    return [json.loads(line) for line in notes.read_text().splitlines()] if notes.exists() else []


async def test_a_hook_hears_what_waits_and_is_told_no_key(
    stage: Stage, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a secret")
    await stage.start()
    complaints: list[str] = []
    await ring({"waiting": noting(notes)}, await stage.desk.run(RUN), complaints.append)
    assert (read(notes), complaints) == ([["waiting", RUN, "suspended", None]], [])


async def test_a_moment_without_a_hook_calls_nobody(stage: Stage, notes: Path) -> None:
    await stage.start()
    await ring({"delivered": noting(notes)}, await stage.desk.run(RUN), pytest.fail)
    assert read(notes) == []


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (("/nowhere/at-all",), "cannot be started"),
        ((sys.executable, "-c", "raise SystemExit(3)"), "exit code 3"),
        ((sys.executable, "-c", "import time; time.sleep(600)"), "did not end"),
    ],
)
async def test_a_hook_that_fails_is_told_of_and_changes_nothing(
    stage: Stage, command: tuple[str, ...], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.hooks.TIMEOUT_S", 0.5)
    await stage.start()
    before, complaints = await stage.happened(), list[str]()
    await ring({"waiting": command}, await stage.desk.run(RUN), complaints.append)
    (complaint,) = complaints
    assert why in complaint
    assert await stage.happened() == before


async def test_what_a_hook_leaves_behind_is_ended_with_it(stage: Stage, notes: Path) -> None:
    code = (
        "import subprocess, sys, pathlib; "
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
        "pathlib.Path(sys.argv[1]).write_text(str(child.pid))"
    )
    await stage.start()
    command = (sys.executable, "-c", code, str(notes))
    await ring({"waiting": command}, await stage.desk.run(RUN), pytest.fail)
    assert ends(int(await asyncio.to_thread(notes.read_text)))


def ends(pid: int) -> bool:
    """Whether a process is gone within seconds; a zombie is."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 5.0)[0])
    finally:
        os.close(handle)


async def test_a_hall_rings_for_what_comes_to_rest_while_it_is_open_once(
    stage: Stage, notes: Path
) -> None:
    stage.drives = True
    await stage.start(RunId("before"))
    hook = noting(notes)
    bell = Bell(stage.desk, {"waiting": hook, "delivered": hook}, pytest.fail)
    await bell.listen()
    await stage.start(RUN, "plan")
    await bell.listen()
    await bell.listen()
    assert [line[:3] for line in read(notes)] == [["waiting", RUN, "suspended"]]
