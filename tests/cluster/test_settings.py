from pathlib import Path

import pytest

from cluster.configuration.sources import (
    Loaded,
    flatten,
    load_settings,
    unknown_variables,
    user_file,
    variable_names,
)
from cluster.settings import FOREIGN_VARIABLES, Settings, running_toolchains
from orchestration.approval import Rule
from orchestration.errors import UsageError

EXAMPLE = Path(__file__).parents[2] / ".env.example"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment without anything of ours."""
    for name in (*variable_names(), *FOREIGN_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


@pytest.fixture
def repository(home: Path) -> Path:
    path = home / "repository"
    path.mkdir()
    return path


def write_user_file(text: str) -> None:
    user_file().parent.mkdir(parents=True, exist_ok=True)
    user_file().write_text(text)


def load(repository: Path | None = None, **flags: object) -> Loaded:
    return load_settings(flags, repository=repository)


def test_without_any_source_the_defaults_hold(home: Path) -> None:
    loaded = load()

    assert loaded.settings.state_dir == home / "state" / "manta"
    assert loaded.settings.sandbox == "local"
    assert set(loaded.origins.values()) == {"default"}


def test_each_source_outranks_the_next_and_is_named_as_the_origin(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_user_file('test_command = "user"\nmodel = "user/m"\n[limits]\nturns = 50\ntokens = 9\n')
    (repository / "manta.toml").write_text('test_command = "committed"\n[limits]\nturns = 40\n')
    (repository / "manta.local.toml").write_text('test_command = "local"\n')
    layers = [load(repository)]
    monkeypatch.setenv("MANTA_TEST_COMMAND", "environment")
    monkeypatch.setenv("MANTA_LIMITS__TURNS", "70")
    layers.append(load(repository))
    layers.append(load(repository, test_command="flag", model=None))

    assert [each.settings.test_command for each in layers] == ["local", "environment", "flag"]
    assert [each.settings.limits.turns for each in layers] == [40, 70, 70]
    assert layers[2].settings.model == "user/m"
    assert layers[2].settings.limits.tokens == 9
    assert layers[2].origins["test_command"] == "flag"
    assert layers[2].origins["limits.turns"] == "environment"
    assert layers[2].origins["model"] == str(user_file())
    assert layers[2].origins["api_base"] == "default"
    assert "manta.local.toml" in layers[0].origins["test_command"]


@pytest.mark.parametrize(
    "line",
    ['sandbox = "none"', 'api_base = "http://evil"', 'model = "a/b"', 'toolchains = ["/"]',
     'state_dir = "/tmp"', 'address = "evil:6379"', 'memory_uri = "http://evil"'],
)  # fmt: skip
@pytest.mark.parametrize("file", ["manta.toml", "manta.local.toml"])
def test_a_repository_may_not_set_what_could_loosen_safety(
    repository: Path, file: str, line: str
) -> None:
    (repository / file).write_text(line)

    with pytest.raises(UsageError, match=f"{file} may not set {line.partition(' ')[0]}"):
        load(repository)


def test_a_repository_can_lower_limits_but_never_raise_them(repository: Path) -> None:
    write_user_file("[limits]\nrepairs = 3\n")
    (repository / "manta.toml").write_text("[limits]\nrepairs = 9\nturns = 10\ncost_usd = 999\n")
    (repository / "manta.local.toml").write_text("[limits]\nturns = 20\n")

    loaded = load(repository)

    assert loaded.settings.limits.repairs == 3
    assert loaded.settings.limits.turns == 10
    assert loaded.settings.limits.cost_usd == 5.0
    assert loaded.origins["limits.repairs"] == str(user_file())
    assert loaded.origins["limits.cost_usd"] == "default"


def test_a_repository_can_add_gates_but_not_drop_the_users(repository: Path) -> None:
    write_user_file('approve = ["plan"]\n')
    (repository / "manta.toml").write_text('approve = ["delivery"]\n')

    policy = load(repository).settings.policy()

    assert policy.gates == {"plan": Rule.ASK, "delivery": Rule.ASK}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("modle = 'a/b'", "unknown setting modle"),
        ("[limits]\nturn = 3", "unknown setting limits.turn"),
        ("sandbox = 'strong'", "sandbox"),
        ("idle_stop_s = 0", "idle_stop_s"),
        ("state_dir = 'here'", "absolute"),
        ("model = ", "cannot be read"),
        ("[limits]\nturns = true", "must be a number"),
    ],
)
def test_a_bad_user_file_is_named_in_the_complaint(
    repository: Path, text: str, complaint: str
) -> None:
    write_user_file(text)

    with pytest.raises(UsageError, match=complaint) as caught:
        load(repository)

    assert str(user_file()) in str(caught.value)


def test_unknown_limits_and_odd_values_of_a_repository_are_refused(repository: Path) -> None:
    for text in ("[limits]\nturn = 3", "limits = 3", "approve = 'plan'", "approve = ['nuke']"):
        (repository / "manta.toml").write_text(text)
        with pytest.raises(UsageError):
            load(repository)


def test_a_settings_file_behind_a_link_is_not_followed(home: Path, repository: Path) -> None:
    (home / "secret").write_text("token = 'hunter2'")
    (repository / "manta.toml").symlink_to(home / "secret")

    with pytest.raises(UsageError, match="no plain file") as caught:
        load(repository)

    assert "hunter2" not in str(caught.value)


def test_lists_in_the_environment_are_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANTA_APPROVE", "plan, delivery")
    monkeypatch.setenv("MANTA_TOOLCHAINS", "/opt/a:/opt/b")

    settings = load().settings

    assert settings.approve == ("plan", "delivery")
    assert settings.toolchains == (Path("/opt/a"), Path("/opt/b"))


def test_a_level_that_starts_from_an_image_sees_no_toolchains_of_the_host() -> None:
    assert Settings(sandbox="local").toolchains == running_toolchains()
    assert Settings(sandbox="container").toolchains == ()
    assert Settings(sandbox="e2b", toolchains=(Path("/opt/a"),)).toolchains == (Path("/opt/a"),)


def test_rays_own_address_variable_counts_unless_ours_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert load().settings.address == "head:6379"

    monkeypatch.setenv("MANTA_ADDRESS", "other:6379")
    assert load().settings.address == "other:6379"


def test_a_role_without_a_model_of_its_own_has_the_common_one() -> None:
    settings = load(model="a/big", models={"linter": "a/small"}).settings

    assert settings.model_for("linter") == "a/small"
    assert settings.model_for("coder") == "a/big"


def test_the_database_url_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANTA_STORE_URL", "postgresql://me:hunter2@db/manta")

    settings = load().settings

    assert settings.store_url is not None
    assert "hunter2" not in repr(settings)


def test_a_misspelt_variable_is_found_with_the_one_it_was_meant_to_be() -> None:
    environ = {"MANTA_MODLE": "x", "MANTA_MODEL": "y", "MANTA_QQ": "z", "OTHER": ""}

    assert unknown_variables(environ) == {"MANTA_MODLE": "MANTA_MODEL", "MANTA_QQ": ""}


def test_every_setting_is_in_the_example_and_the_example_has_nothing_else() -> None:
    described = {
        line.lstrip("# ").partition("=")[0]
        for line in EXAMPLE.read_text().splitlines()
        if "=" in line and line.lstrip("# ").partition("=")[0].isupper()
    }

    assert described == {*variable_names(), *FOREIGN_VARIABLES}


def test_the_examples_values_are_the_defaults_or_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    for line in EXAMPLE.read_text().splitlines():
        name, _, value = line.lstrip("# ").partition("=")
        if name in variable_names():
            monkeypatch.setenv(name, value)

    loaded = load()

    plain = flatten(Settings().model_dump(include={"limits", "idle_stop_s", "recall_timeout_s"}))
    shown = flatten(loaded.settings.model_dump())
    assert {name: shown[name] for name in plain} == plain


@pytest.mark.parametrize("name", ["mutants", "base_runs", "killed_share"])
def test_a_repository_has_no_say_in_how_well_it_is_proven(repository: Path, name: str) -> None:
    (repository / "manta.toml").write_text(f"[limits]\n{name} = 0\n")
    with pytest.raises(UsageError, match=f"limits.{name}"):
        load(repository)
