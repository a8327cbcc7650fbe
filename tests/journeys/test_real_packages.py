"""Real requests on real packages from PyPI, played back; their own suites still pass."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.journeys.door import Door
from tests.journeys.packages import fetch

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]
RECORDINGS = Path(__file__).parent / "recordings"


def played(door: Door, repository: Path, name: str, *more: str) -> dict[str, object]:
    """The evidence of the recorded request on a package."""
    request = (RECORDINGS / f"{name}.txt").read_text(encoding="utf-8")
    recording = str(RECORDINGS / f"{name}.jsonl")
    here = ("--repo", str(repository), "--replay", recording, "--run-id", name)
    said = door.manta("run", request, *here, *more)
    assert said.code == 0, said.err
    return json.loads(door.manta("show", name, "--evidence").out)


def passing(report: object) -> None:
    """The whole suite passed; the report in the evidence names only what did not."""
    assert isinstance(report, dict)
    assert (report["exit_code"], report["problem"], report["cases"]) == (0, "", [])


def in_branch(repository: Path, name: str, path: str) -> str:
    shown = ["git", "show", f"manta/{name}:{path}"]
    return subprocess.run(shown, cwd=repository, capture_output=True, text=True, check=True).stdout


def test_a_wrong_edge_case_of_inflection_is_mended(door: Door, tmp_path: Path) -> None:
    repository = fetch("inflection", tmp_path / "inflection")
    evidence = played(door, repository, "inflection")
    passing(evidence["final"])
    tasks = evidence["tasks"]
    assert isinstance(tasks, list)
    assert len(tasks) == 1
    assert "string[0].lower()" not in in_branch(repository, "inflection", "inflection/__init__.py")


@pytest.mark.long
def test_three_missing_features_of_roman_numerals_two_at_a_time(door: Door, tmp_path: Path) -> None:
    repository = fetch("roman-numerals", tmp_path / "roman-numerals")
    evidence = played(door, repository, "roman-numerals")
    passing(evidence["final"])
    tasks = evidence["tasks"]
    assert isinstance(tasks, list)
    after = {task["task"]["id"]: task["task"]["after"] for task in tasks}
    assert sorted(map(len, after.values())) == [0, 0, 2]
    text = in_branch(repository, "roman-numerals", "roman_numerals/__init__.py")
    assert "def __le__" in text
    assert "def roman_range" in text
