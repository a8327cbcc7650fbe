import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cluster.cli import main
from cluster.commands import starting
from cluster.configuration.sources import PROOF, load_settings, variable_names
from cluster.configuration.template import project_file, users_file
from cluster.demo.sample import lay_out
from cluster.doctor import Check
from cluster.settings import FOREIGN_VARIABLES, Settings
from orchestration.messages import Limits

Typing = Callable[..., Result]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (*variable_names(), *FOREIGN_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("MANTA_STATE_DIR", str(tmp_path / "state"))
    return tmp_path


@pytest.fixture
def manta(monkeypatch: pytest.MonkeyPatch) -> Typing:
    """`manta` with a machine in good health."""

    async def well(_: Settings) -> list[Check]:
        return [Check("git", True, "git version 2.40")]

    monkeypatch.setattr(starting, "examine_quickly", well)
    return lambda *words: CliRunner().invoke(main, words)


def uncommented(text: str) -> dict[str, Any]:
    """What the file would say if a person removed every # before a setting."""
    return tomllib.loads(re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE))


def test_every_setting_of_the_projects_file_is_accepted_as_it_stands(home: Path) -> None:
    text = project_file("node --test")
    (home / "manta.toml").write_text(re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE))

    loaded = load_settings({}, repository=home)

    assert loaded.settings.test_command == "node --test"
    assert loaded.settings.limits == Limits()


def test_the_projects_file_has_all_that_a_repository_may_set_and_nothing_else() -> None:
    said = uncommented(project_file())

    assert set(said) == {"test_command", "approve", "limits"}
    assert set(said["limits"]) == set(Limits.model_fields) - set(PROOF)


def test_every_setting_of_the_users_file_is_accepted_as_it_stands(home: Path) -> None:
    file = home / "config" / "manta" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(re.sub(r"^# (\w+ = )", r"\1", users_file(), flags=re.MULTILINE))

    settings = load_settings({}).settings

    assert settings.model == "anthropic/claude-sonnet-4-5"
    assert settings.toolchains == Settings().toolchains


def test_the_users_file_has_every_setting_but_secrets() -> None:
    secret = {"store_url", "hall_token"}

    assert set(uncommented(users_file())) == set(Settings.model_fields) - secret


def test_a_file_as_written_changes_nothing(home: Path) -> None:
    before = load_settings({}).settings
    (home / "manta.toml").write_text(project_file())
    file = home / "config" / "manta" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(users_file())

    assert load_settings({}, repository=home).settings == before


def test_init_finds_the_tests_and_says_what_comes_next(home: Path, manta: Typing) -> None:
    lay_out(home / "wordkit")

    done = manta("init", "--repo", str(home / "wordkit"))

    assert done.exit_code == 0, done.output
    assert 'test_command = "python -m pytest"' in (home / "wordkit" / "manta.toml").read_text()
    assert 'Next: manta run "What you want" --model PROVIDER/NAME' in done.output


def test_init_never_overwrites(home: Path, manta: Typing) -> None:
    lay_out(home / "wordkit")
    (home / "wordkit" / "manta.toml").write_text("# mine\n")

    done = manta("init", "--repo", str(home / "wordkit"))

    assert done.exit_code == 2
    assert "is there already" in done.output
    assert (home / "wordkit" / "manta.toml").read_text() == "# mine\n"


def test_init_wants_a_repository(home: Path, manta: Typing) -> None:
    done = manta("init", "--repo", str(home))

    assert done.exit_code == 2
    assert not (home / "manta.toml").exists()


def test_init_for_the_user_needs_no_repository(home: Path, manta: Typing) -> None:
    done = manta("init", "--user")

    assert done.exit_code == 0, done.output
    assert (home / "config" / "manta" / "config.toml").exists()


def test_init_tells_what_is_wrong_and_how_to_fix_it(
    home: Path, manta: Typing, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ill(_: Settings) -> list[Check]:
        return [Check("git", False, "not found on PATH", "apt-get install git")]

    monkeypatch.setattr(starting, "examine_quickly", ill)

    done = manta("init", "--user")

    assert done.exit_code == 1
    assert "fix: apt-get install git" in done.output
