"""What a newcomer does wrong: one sentence and a fix each, and never a traceback."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cluster.cli import main
from cluster.configuration.sources import variable_names
from cluster.demo.sample import lay_out
from cluster.lines.published import LINES
from cluster.settings import FOREIGN_VARIABLES
from cluster.terminal.mishaps import in_words
from cluster.terminal.options import common, door
from orchestration.errors import InfrastructureError, UsageError

MODEL = ("--model", "openai/none", "--api-base", "http://127.0.0.1:9/v1")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place to stand, with a repository, a folder that is none, and one without a commit."""
    for name in (*variable_names(), *FOREIGN_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("MANTA_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path / "wordkit")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("words\n")
    subprocess.run(["git", "init", "--quiet", "empty"], check=True, cwd=tmp_path)
    return tmp_path


RUN = ("run", "Add it", "--repo", "wordkit", *MODEL)
WRONG = [
    (("run", "Add it", "--repo", "folder", *MODEL), 2, "is not a git repository"),
    (("run", "Add it", "--repo", "gone", *MODEL), 2, "there is no directory"),
    (("run", "Add it", "--repo", "empty", *MODEL), 2, "has no commits"),
    (("run", " ", "--repo", "wordkit", *MODEL), 2, "the request is empty"),
    (("run", "Add it", "--repo", "wordkit"), 2, "no model is chosen"),
    (("run", "Add it", "--repo", "wordkit", "--model", "openai/x"), 2, "OPENAI_API_KEY is not set"),
    ((*RUN, "--ref", "gone"), 2, "has no 'gone'"),
    ((*RUN, "--budget", "5bananas"), 2, "is no budget"),
    ((*RUN, "--approve", "plans"), 2, "--approve: input should be 'plan'"),
    ((*RUN, "--sandbox", "steel"), 2, "--sandbox: input should be 'local'"),
    ((*RUN, "--rule", "what"), 2, "--rule: 'what' is not of the form"),
    ((*RUN, "--run-id", "Mine!"), 2, "is not a run id"),
    ((*RUN, "--workflow", "gone:gone"), 2, "there is no workflow"),
    ((*RUN, "--mcp", "gone.json"), 2, "gone.json"),
    ((*RUN, "--replay", "gone"), 2, "there is no recording"),
    ((*RUN, "--record", "file"), 2, "is no recording"),
    ((*RUN, "--address", "nonsense"), 2, "is no address"),
    ((*RUN, "--state-dir", "file"), 5, "file"),
    ((*RUN, "--state-dir", "/proc/none"), 5, "/proc/none"),
    (("runs", "--state-dir", "file"), 5, "file"),
    (("show", "nobody"), 2, "there is no run nobody"),
    (("watch", "nobody"), 2, "there is no run nobody"),
    (("approve", "nobody"), 2, "there is no run nobody"),
    (("reject", "nobody"), 2, "there is no run nobody"),
    (("cancel", "nobody"), 2, "there is no run nobody"),
    (("fetch", "nobody"), 2, "there is no run nobody"),
    (("show", "No Body"), 2, "is not a run id"),
    (("replay", "file"), 2, "is no recording"),
    (("init", "--repo", "folder"), 2, "is not a git repository"),
]


@pytest.mark.parametrize(("words", "code", "told"), WRONG, ids=lambda value: str(value)[:60])
def test_what_is_wrong_is_said_in_one_sentence_with_its_fix(
    words: tuple[str, ...], code: int, told: str
) -> None:
    done = CliRunner().invoke(main, words)

    assert told in done.stderr
    assert "Traceback" not in done.output
    assert re.fullmatch(r"(?s)(note: [^\n]*\n)*manta: [^\n]+\n  fix: [^\n]+\n", done.stderr)
    assert done.exit_code == code


@pytest.mark.parametrize(
    ("hall", "warns"), [("http://0.0.0.0:9", True), ("http://127.0.0.1:9", False)]
)
def test_a_token_that_others_could_read_on_its_way_is_warned_of(hall: str, warns: bool) -> None:
    looked = CliRunner().invoke(main, ("runs", "--hall", hall))
    assert ("the token too" in looked.stderr) is warns
    assert looked.exit_code == 5
    assert "no hall answers" in looked.stderr


def test_programs_get_an_error_as_a_line() -> None:
    done = CliRunner().invoke(main, ["show", "nobody", "--json"])

    (line,) = done.stdout.splitlines()
    assert LINES.validate_json(line)
    assert json.loads(line)["exit_code"] == done.exit_code == 2


def test_a_mistyped_command_is_guessed() -> None:
    done = CliRunner().invoke(main, ["shwo"])

    assert done.exit_code == 2
    assert "Did you mean show?" in done.stderr


def test_a_fault_of_ours_is_one_sentence_and_its_story_is_kept() -> None:
    @click.command()
    @common
    @door
    async def broken(**_: object) -> int:
        raise ZeroDivisionError("division\nby zero")

    done = CliRunner().invoke(broken)

    assert done.exit_code == 1
    assert "this is a fault of Manta: ZeroDivisionError: division by zero" in done.stderr
    (story,) = re.findall(r"report it with (\S+);", done.stderr)
    assert "raise ZeroDivisionError" in Path(story).read_text()
    Path(story).unlink()


def test_a_full_disk_is_told_with_what_helps() -> None:
    error = in_words(OSError(28, "No space left on device", "/state/runs/store.db"))

    assert isinstance(error, InfrastructureError)
    assert error.what == "No space left on device: /state/runs/store.db"
    assert "MANTA_STATE_DIR" in error.fix


def test_of_several_errors_the_one_of_ours_is_told() -> None:
    ours = UsageError("the plan is empty", "write one")
    group = ExceptionGroup("some", [ValueError("x"), ExceptionGroup("more", [ours])])

    assert in_words(group) is ours


@pytest.mark.slow
def test_who_reads_no_further_ends_a_command_quietly() -> None:
    done = subprocess.run(
        f"{sys.executable} -P -m cluster.cli doctor --settings | head -1",
        shell=True, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip

    assert done.stdout.startswith("state_dir")
    assert done.stderr == ""
