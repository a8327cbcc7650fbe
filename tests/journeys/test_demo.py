"""The main job from the front door: request in, tested branch out."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.journeys.door import Door

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]


def git(repository: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=repository, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_the_demo_delivers_a_tested_branch_and_says_that_it_is_a_recording(door: Door) -> None:
    first = door.manta("demo")
    assert first.code == 0, first.err
    assert "recording" in first.out.splitlines()[0]
    repository = door.state / "demo" / "wordkit"
    run_id = next(line.split()[1] for line in first.out.splitlines() if line.startswith("Run "))
    branch = f"manta/{run_id}"
    titles = git(repository, "log", "--format=%s", branch).splitlines()
    assert sorted(t for t in titles if t.startswith("Merge")) == [
        "Merge task reading-time: "
        + next(t for t in titles if "reading-time" in t).partition(": ")[2],
        "Merge task summary-command: "
        + next(t for t in titles if "summary-command" in t).partition(": ")[2],
        "Merge task top-words: " + next(t for t in titles if "top-words" in t).partition(": ")[2],
    ]
    assert (git(repository, "branch", "--show-current"), git(repository, "status", "-s")) == (
        "main",
        "",
    )
    evidence = json.loads(door.manta("show", run_id, "--evidence").out)
    assert {t["red"]["exit_code"] for t in evidence["tasks"]} == {1}
    assert {t["green"]["exit_code"] for t in evidence["tasks"]} == {0}
    assert evidence["final"]["exit_code"] == 0
    assert all(model.startswith("recording:") for model in evidence["models"])
    assert door.sandboxes() == []


def test_independent_tasks_are_worked_on_at_the_same_time(door: Door) -> None:
    said = door.manta("demo", "--json")
    assert said.code == 0, said.err
    writing = [
        (line["task"], line["status"])
        for line in said.lines
        if line.get("step") == "write_test" and line.get("kind") == "step"
    ]
    assert sorted(writing[:2]) == [("reading-time", "started"), ("top-words", "started")]
    began = [task for task, status in writing if status == "started"]
    assert began[-1] == "summary-command"
    assert said.of("watching")["recorded"] is True


@pytest.mark.long
def test_a_second_run_remembers_the_lessons_of_the_first(door: Door) -> None:
    door.manta("demo")
    said = door.manta("demo", "--json")
    notes = [line["text"] for line in said.lines if line.get("kind") == "note"]
    assert any("pieces recalled" in text for text in notes)
    assert said.code == 0
