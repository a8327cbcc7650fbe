"""As a shell asks: `manta` in a process of its own, with the words so far in the environment."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from cluster.cli import COMMANDS, door_named
from cluster.commands.completing import HOW
from cluster.terminal.completing import TAKE_RUNS, state_dir

pytestmark = pytest.mark.slow

HEAVY = {"ray", "pydantic", "sqlalchemy", "litellm", "rich"}
SHOW_HEAVY = f"""
import sys
try:
    from cluster.cli import main
    main(prog_name="manta")
finally:
    sys.stderr.write(" ".join(sorted({HEAVY} & set(sys.modules))))
"""


def completed(words: str, shell: str = "bash", **environment: str) -> tuple[list[str], str]:
    """What is offered, and which heavy packages were loaded for it."""
    number = len(words.split(" ")) - 1
    asked = {"PATH": os.environ["PATH"], "_MANTA_COMPLETE": f"{shell}_complete"}
    known = {"COMP_WORDS": words, "COMP_CWORD": str(number), "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", SHOW_HEAVY],
        env=asked | known | environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.split(), done.stderr


def ran(place: Path, *runs: str) -> None:
    """What runs leave behind, the first one as the oldest."""
    for number, run in enumerate(runs):
        folder = place / "repositories" / f"{run}.git"
        folder.mkdir(parents=True)
        os.utime(folder, (number, number))
    (place / "repositories" / ".look.git").mkdir()


def test_runs_are_offered_newest_first_and_nothing_heavy_is_loaded(tmp_path: Path) -> None:
    ran(tmp_path, "add-red-1", "add-blue-2", "fix-it-3")

    offered, loaded = completed("manta show add-", MANTA_STATE_DIR=str(tmp_path))

    assert offered == ["plain,add-blue-2", "plain,add-red-1"]
    assert loaded == ""


def test_commands_are_offered_without_loading_any() -> None:
    offered, loaded = completed("manta re")

    assert offered == ["plain,reject", "plain,resume", "plain,replay"]
    assert loaded == ""


def test_options_are_offered_too() -> None:
    offered, _ = completed("manta show --e")

    assert offered == ["plain,--evidence"]


def test_the_state_directory_of_the_users_file_counts(tmp_path: Path) -> None:
    file = tmp_path / "config" / "manta" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(f'state_dir = "{tmp_path}"\n')
    ran(tmp_path, "add-red-1")

    offered, _ = completed("manta watch ", XDG_CONFIG_HOME=str(tmp_path / "config"))

    assert offered == ["plain,add-red-1"]


def test_without_a_state_directory_there_are_no_runs(tmp_path: Path) -> None:
    assert completed("manta show ", MANTA_STATE_DIR=str(tmp_path / "nothing")) == ([], "")


def test_the_state_directory_is_the_one_that_the_command_would_use(tmp_path: Path) -> None:
    home = {"XDG_CONFIG_HOME": str(tmp_path), "XDG_STATE_HOME": "/state"}

    assert state_dir(["manta", "show", "--state-dir", "/a", ""], home) == Path("/a")
    assert state_dir([], {**home, "MANTA_STATE_DIR": "/b"}) == Path("/b")
    assert state_dir([], home) == Path("/state/manta")


@pytest.mark.parametrize("shell", HOW)
def test_the_script_is_one_that_the_shell_understands(shell: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cluster.cli", "completion", shell],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    script = tmp_path / "script"
    script.write_text(done.stdout)

    assert "_MANTA_COMPLETE" in done.stdout
    if found := shutil.which(shell):
        subprocess.run([found, "-n", str(script)], check=True)


@pytest.mark.slow
def test_every_command_that_takes_a_run_is_known() -> None:
    taking = {
        name
        for name in COMMANDS
        for first in door_named(name).params
        if isinstance(first, click.Argument) and "RUN" in (first.metavar or "")
    }

    assert taking == TAKE_RUNS
