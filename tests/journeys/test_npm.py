"""Real requests on real packages from npm."""

from pathlib import Path

import pytest

from tests.journeys.door import Door
from tests.journeys.packages import fetch_npm
from tests.journeys.test_real_packages import in_branch, passing, played

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.mark.long
def test_a_bug_and_a_feature_of_process_warning_with_its_own_tests_under_node(
    door: Door, tmp_path: Path
) -> None:
    """A recording: the model was played by hand. Git, sandboxes, node and all gates are real."""
    repository = fetch_npm("process-warning", tmp_path / "npm")
    evidence = played(door, repository, "process-warning", "--test-command", "node --test")
    passing(evidence["final"])
    tasks = evidence["tasks"]
    assert isinstance(tasks, list)
    assert [task["task"]["id"] for task in tasks] == ["falsy-arguments", "reset"]
    for task in tasks:
        failing = task["red"]["cases"]
        assert [case["outcome"] for case in failing] == ["failed"] * 3
        assert {case["id"].partition("::")[0] for case in failing} == set(task["test_files"])
    in_types = in_branch(repository, "process-warning", "types/index.d.ts")
    assert "reset(): void;" in in_types
