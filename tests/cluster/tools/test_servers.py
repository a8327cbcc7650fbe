import json
from pathlib import Path

import pytest

from actors.mcp.config import digest
from cluster.brain import ToolServers
from cluster.machines.papers import ClusterAddress
from cluster.settings import Settings
from cluster.tools.checks import tool_checks
from cluster.tools.servers import (
    is_trusted,
    kept_servers,
    own_file,
    own_servers,
    servers_of,
    told_to_servers,
)
from orchestration.errors import UsageError

REPOSITORY = '{"mcpServers": {"lint": {"command": "python", "args": ["lint.py\\u202e"]}}}'
OWN = '{"mcpServers": {"desk": {"command": "sh", "env": {"TOKEN": "${DESK_TOKEN}"}}}}'


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("DESK_TOKEN", "open-sesame")
    (tmp_path / "config/manta").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def said() -> list[str]:
    return []


def settings(home: Path, **values: object) -> Settings:
    return Settings.model_validate({"state_dir": home / "state", **values})


async def load(path: str) -> bytes:
    assert path == ".mcp.json"
    return REPOSITORY.encode()


def test_a_repositorys_servers_are_shown_and_not_trusted_by_themselves(
    home: Path, said: list[str]
) -> None:
    assert not is_trusted(REPOSITORY, settings(home), said.append)
    assert said == [
        "note: the repository offers MCP servers, which are not started (in the sandbox):",
        "  lint: python lint.py<U+202E>",
        f"  to trust exactly these: --trust-mcp {digest(REPOSITORY)}",
    ]


def test_trust_is_in_exactly_what_was_shown(home: Path, said: list[str]) -> None:
    trusting = settings(home, trust_mcp=digest(REPOSITORY))
    assert is_trusted(REPOSITORY, trusting, said.append)
    assert "runs these MCP servers" in said[0]
    assert not is_trusted(REPOSITORY.replace("lint.py", "evil.py"), trusting, said.append)


def test_a_repositorys_file_that_cannot_be_used_stops_no_run(home: Path, said: list[str]) -> None:
    assert not is_trusted("{", settings(home), said.append)
    assert "is no JSON" in said[0]
    greedy = '{"mcpServers": {"x": {"command": "x", "env": {"K": "${AWS_SECRET}"}}}}'
    assert not is_trusted(greedy, settings(home, trust_mcp=digest(greedy)), said.append)
    assert "gets no variable of yours" in said[1]


async def test_the_run_takes_along_the_trusted_text_and_the_path_of_ones_own_file(
    home: Path, said: list[str]
) -> None:
    own = home / "config/manta/mcp.json"
    own.write_text(OWN)
    trusting = settings(home, trust_mcp=digest(REPOSITORY))
    found = await servers_of(trusting, [".mcp.json"], load, said.append, is_replay=False)
    assert found == ToolServers(file=str(own), repository=REPOSITORY)
    assert "open-sesame" not in found.model_dump_json()
    wary = await servers_of(settings(home), [".mcp.json"], load, said.append, is_replay=False)
    assert wary.repository == ""


async def test_a_recording_gets_only_servers_that_were_named(home: Path, said: list[str]) -> None:
    (home / "config/manta/mcp.json").write_text(OWN)
    found = await servers_of(settings(home), [], load, said.append, is_replay=True)
    assert found.file == ""
    named = settings(home, mcp=home / "config/manta/mcp.json")
    assert (await servers_of(named, [], load, said.append, is_replay=True)).file


def test_a_variable_that_is_missing_is_told_at_the_door(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "config/manta/mcp.json").write_text(OWN)
    monkeypatch.delenv("DESK_TOKEN")
    with pytest.raises(UsageError, match="needs DESK_TOKEN"):
        own_servers(settings(home), {})


def test_without_a_file_there_are_no_servers(home: Path) -> None:
    assert own_file(settings(home)) is None
    assert own_servers(settings(home), {}) == ()
    with pytest.raises(UsageError, match=r"none.json cannot be read"):
        own_servers(settings(home, mcp=home / "none.json"), {})


def test_the_local_clusters_process_finds_what_the_door_left_and_nobody_else_does(
    home: Path,
) -> None:
    own = home / "config/manta/mcp.json"
    own.write_text(OWN)
    (home / "token").write_text("t" * 32)
    private = home / "private"
    private.mkdir(mode=0o700)
    address = ClusterAddress(address="x", token_path=str(home / "token"), private_dir=str(private))
    kept, file, pins = told_to_servers(ToolServers(file=str(own)), settings(home), address)
    assert (file, Path(pins).name) == ("", "mcp-tools.json")
    assert Path(kept).stat().st_mode & 0o777 == 0o600
    (desk,) = kept_servers(Path(kept))
    assert desk.env == {"TOKEN": "open-sesame"}
    assert "open-sesame" not in kept


def test_another_clusters_node_has_its_own_file_and_variables(home: Path) -> None:
    address = ClusterAddress(address="ray:6379", token_path="")
    told = told_to_servers(ToolServers(file="/etc/mcp.json"), settings(home), address)
    assert told[:2] == ("", "/etc/mcp.json")


def test_the_doctor_tells_of_servers_without_starting_any(home: Path) -> None:
    own = home / "config/manta/mcp.json"
    own.write_text(OWN)
    languages, _, desk = tool_checks(settings(home), {"DESK_TOKEN": "open-sesame"})
    assert languages.ok
    assert desk.ok
    assert desk.name == "mcp server desk"
    assert "open-sesame" not in desk.detail
    (*_, missing) = tool_checks(settings(home), {})
    assert not missing.ok
    assert "DESK_TOKEN" in missing.detail
    own.write_text(json.dumps({"mcpServers": {"x": {"command": "no-such-program"}}}))
    (*_, gone) = tool_checks(settings(home), {})
    assert (gone.ok, gone.detail) == (False, "no-such-program is not found")
    assert tool_checks(settings(home, lsp="off"), {})[0].detail == "off (MANTA_LSP)"
    assert "in the image" in tool_checks(settings(home, sandbox="e2b"), {})[0].detail
