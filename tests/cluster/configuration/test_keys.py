import os
from pathlib import Path

import pytest

from actors.models.routing import parse_routes
from cluster.configuration import keys
from cluster.machines.papers import ClusterAddress, Papers
from orchestration.errors import InfrastructureError, UsageError

ENVIRON = {
    "ANTHROPIC_API_KEY": "sk-1",
    "OPENAI_API_BASE": "http://gateway",
    "AWS_SECRET_ACCESS_KEY": "aws",
    "https_proxy": "http://me:pw@proxy",
    "E2B_API_KEY": "e2b",
    "DAYTONA_API_KEY": "day",
    "MANTA_STORE_URL": "postgresql://me:pw@db/x",
    "MANTA_API_BASE": "http://said-in-a-job",
    "GITHUB_TOKEN": "gh",
    "PATH": "/bin",
}


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ClusterAddress:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    monkeypatch.setattr(Papers, "private_dir", property(lambda _: private))
    token = tmp_path / "token"
    token.write_text("f" * 64)
    return ClusterAddress("127.0.0.1:1", str(token), private_dir=str(private), keeper_pid=1)


def test_each_purpose_gets_its_own_keys_and_nobody_gets_the_rest() -> None:
    chosen = {purpose: set(keys.select(ENVIRON, purpose)) for purpose in ("model", "sandbox")}

    assert chosen == {
        "model": {"ANTHROPIC_API_KEY", "OPENAI_API_BASE", "AWS_SECRET_ACCESS_KEY", "https_proxy"},
        "sandbox": {"E2B_API_KEY", "DAYTONA_API_KEY"},
    }
    assert keys.select(ENVIRON, "store") == {"MANTA_STORE_URL": "postgresql://me:pw@db/x"}


def test_keys_left_by_a_door_are_adopted_by_a_process_of_the_cluster(
    address: ClusterAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    path = keys.leave(address, "model", {"ANTHROPIC_API_KEY": "sk-1"})

    keys.adopt(path)

    assert os.environ["ANTHROPIC_API_KEY"] == "sk-1"
    assert path
    assert path.stat().st_mode & 0o777 == 0o600
    assert "sk-1" not in path.name


def test_equal_keys_have_one_file_and_the_last_left_are_the_latest(
    address: ClusterAddress, tmp_path: Path
) -> None:
    first = keys.leave(address, "model", {"A_API_KEY": "1"})
    other = keys.leave(address, "model", {"A_API_KEY": "2"})
    again = keys.leave(address, "model", {"A_API_KEY": "1"})
    assert first
    os.utime(first, (2e9, 2e9))

    assert first == again != other
    assert keys.latest(tmp_path, "model") == first
    assert keys.latest(tmp_path, "sandbox") is None


def test_a_cluster_of_somebody_elses_gets_no_keys_from_here(tmp_path: Path) -> None:
    assert keys.leave(ClusterAddress("head:6379"), "model", {"A_API_KEY": "1"}) is None
    keys.adopt(None)


def test_keys_that_went_with_their_cluster_are_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="resume"):
        keys.adopt(tmp_path / "gone.json")


def test_a_key_that_is_plainly_missing_is_named_before_anything_is_started(tmp_path: Path) -> None:
    routes = parse_routes({"default": "anthropic/claude-sonnet-4-5"})

    with pytest.raises(UsageError, match="ANTHROPIC_API_KEY is not set"):
        keys.require_model_key(routes, tmp_path, {"PATH": "/bin"})


@pytest.mark.parametrize(
    ("route", "environ"),
    [
        ({"model": "anthropic/claude-sonnet-4-5"}, {"ANTHROPIC_API_KEY": "sk-1"}),
        ({"model": "anthropic/claude-sonnet-4-5"}, {"ANTHROPIC_BASE_URL": "http://gateway"}),
        ({"model": "openai/qwen", "api_base": "http://127.0.0.1:8000/v1"}, {}),
        ({"model": "openai/gpt-5", "key_env": "WORK_KEY"}, {"WORK_KEY": "sk-2"}),
        ({"model": "ollama/qwen3"}, {}),
    ],
)
def test_what_may_well_work_is_left_to_the_gateway(
    tmp_path: Path, route: dict[str, str], environ: dict[str, str]
) -> None:
    keys.require_model_key(parse_routes({"default": route}), tmp_path, environ)


def test_a_cluster_that_has_the_key_needs_none_here(address: ClusterAddress) -> None:
    keys.leave(address, "model", {"ANTHROPIC_API_KEY": "sk-1"})
    routes = parse_routes({"default": "anthropic/claude-sonnet-4-5"})

    keys.require_model_key(routes, Path("/anywhere"), {})
