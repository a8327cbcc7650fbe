"""What a person can get wrong: one sentence, a fix, the right exit code, and nothing lost."""

import subprocess
from pathlib import Path

import pytest

from cluster.demo.sample import git
from tests.journeys.door import Door

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Door:
    """A shell whose commands must fail before any cluster is started."""
    return Door(tmp_path_factory.mktemp("shell"))


def refused(door: Door, *arguments: str, code: int = 2, stdin: str | None = None) -> str:
    said = door.manta(*arguments, stdin=stdin)
    assert said.code == code, said
    assert "Traceback" not in said.err + said.out
    assert said.err.startswith("manta: ")
    assert not (door.state / "cluster" / "address.json").exists(), "a cluster was started for this"
    return said.err


def test_a_folder_that_is_no_repository(shell: Door, tmp_path: Path) -> None:
    told = refused(shell, "run", "Do it", "--repo", str(tmp_path), "--model", "ollama/x")
    assert str(tmp_path) in told
    assert "fix:" in told


def test_a_repository_without_commits(shell: Door, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    assert "commit" in refused(
        shell, "run", "Do it", "--repo", str(tmp_path), "--model", "ollama/x"
    )


def test_a_repository_without_tests(shell: Door, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "a.py").write_text("print(1)\n")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message=first")
    told = refused(shell, "run", "Do it", "--repo", str(tmp_path), "--model", "ollama/x")
    assert 'manta run "Add a first test" --test-command "python -m pytest"' in told


def test_a_pull_request_from_a_repository_without_a_remote(shell: Door, wordkit: Path) -> None:
    asked = ("run", "Do it", "--repo", str(wordkit), "--model", "ollama/x", "--deliver", "pr")
    assert "no remote called origin" in refused(shell, *asked)


def test_an_unknown_ref(shell: Door, wordkit: Path) -> None:
    told = refused(
        shell, "run", "Do it", "--repo", str(wordkit), "--ref", "nope", "--model", "ollama/x"
    )
    assert "nope" in told


@pytest.mark.parametrize("text", ["", "   \n"])
def test_an_empty_request(shell: Door, wordkit: Path, text: str) -> None:
    told = refused(shell, "run", "-", "--repo", str(wordkit), "--model", "ollama/x", stdin=text)
    assert "empty" in told


def test_a_request_of_a_hundred_kilobytes(shell: Door, wordkit: Path) -> None:
    told = refused(
        shell, "run", "-", "--repo", str(wordkit), "--model", "ollama/x", stdin="x" * 100_000
    )
    assert "100000" in told
    assert "file" in told


def test_no_model_at_all(shell: Door, wordkit: Path) -> None:
    assert "--model" in refused(shell, "run", "Do it", "--repo", str(wordkit))


def test_a_recording_that_is_not_there(shell: Door, wordkit: Path) -> None:
    told = refused(shell, "run", "Do it", "--repo", str(wordkit), "--replay", "/nowhere.jsonl")
    assert "/nowhere.jsonl" in told


def test_an_unusable_run_id(shell: Door, wordkit: Path) -> None:
    told = refused(
        shell, "run", "Do it", "--repo", str(wordkit), "--model", "ollama/x", "--run-id", "No Way"
    )
    assert "No Way" in told


@pytest.mark.parametrize("command", ["show", "watch", "approve", "cancel", "fetch"])
def test_an_unknown_run(shell: Door, command: str) -> None:
    assert "nobody-knows" in refused(shell, command, "nobody-knows")


def test_an_unknown_gate(shell: Door, wordkit: Path) -> None:
    told = refused(
        shell, "run", "Do it", "--repo", str(wordkit), "--model", "ollama/x", "--approve", "lunch"
    )
    assert "lunch" in told or "approve" in told


def test_an_unknown_level_of_isolation(shell: Door, wordkit: Path) -> None:
    told = refused(
        shell, "run", "Do it", "--repo", str(wordkit), "--model", "ollama/x", "--sandbox", "paper"
    )
    assert "sandbox" in told


@pytest.mark.ray
def test_what_only_the_model_room_knows_is_told_before_anything_begins(
    door: Door, wordkit: Path
) -> None:
    before = door.manta("runs").out
    unknown = door.manta("run", "Do it", "--repo", str(wordkit), "--model", "nobody/nothing")
    assert unknown.code == 5
    assert "nobody" in unknown.err
    keyless = door.manta("run", "Do it", "--repo", str(wordkit), "--model", "anthropic/claude-x")
    assert keyless.code == 2
    assert "ANTHROPIC_API_KEY" in keyless.err
    nobody = door.manta("resume", "nobody-knows")
    assert nobody.code == 2
    assert "nobody-knows" in nobody.err
    assert door.manta("runs").out == before


def test_a_dirty_working_tree_is_noted_and_left_alone(shell: Door, wordkit: Path) -> None:
    (wordkit / "scratch.txt").write_text("mine")
    told = shell.manta("run", "Do it", "--repo", str(wordkit), "--replay", "/nowhere.jsonl")
    assert told.code == 2
    assert (wordkit / "scratch.txt").read_text() == "mine"
    status = subprocess.run(
        ["git", "status", "--short"], cwd=wordkit, capture_output=True, text=True, check=True
    )
    assert status.stdout == "?? scratch.txt\n"


def test_no_sandbox_at_all_is_warned_of(shell: Door, wordkit: Path) -> None:
    told = shell.manta(
        "run", "Do it", "--repo", str(wordkit), "--replay", "/nowhere.jsonl", "--sandbox", "none"
    )
    assert told.err.startswith("warning: --sandbox none is no sandbox")
