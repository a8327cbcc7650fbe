"""Files that pages show, read by what reads them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from actors.lsp.languages import load as read_languages
from actors.mcp.config import parse as read_servers
from cluster.cli import COMMANDS
from cluster.configuration.sources import load_settings, user_file
from cluster.demo.sample import lay_out
from cluster.jobs.requests import read_requests
from cluster.settings import Settings
from tests.cluster.pages import DOCS


def sample(page: str, kind: str, has: str) -> str:
    """The block of this kind in a page that contains these words."""
    found = re.findall(rf"^```{kind}\n(.*?)^```", (DOCS / page).read_text("utf-8"), re.M | re.S)
    (text,) = [block for block in found if has in block]
    return text


def test_many_requests(tmp_path: Path) -> None:
    lay_out(tmp_path / "here")
    lay_out(tmp_path / "importer")
    file = tmp_path / "here" / "requests.yaml"
    file.write_text(sample("jobs.md", "yaml", "request:"))
    first, second = read_requests(file, repository=str(tmp_path / "here"), ref="HEAD")
    assert (first.ref, second.ref, second.run_id) == ("HEAD", "release", "skip-broken-rows")
    assert Path(second.repository).samefile(tmp_path / "importer")


def test_hooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    user_file().parent.mkdir(parents=True)
    user_file().write_text(sample("programs.md", "toml", "[hooks]"))
    settings: Settings = load_settings({}, repository=None).settings
    assert settings.hooks["waiting"] == ("notify-send", "Manta waits for you")


def test_servers_for_agents() -> None:
    github, docs = read_servers(sample("mcp-and-lsp.md", "json", "server-github"), "the page")
    assert (github.name, docs.url) == ("github", "https://docs.example/mcp")


def test_other_languages(tmp_path: Path) -> None:
    file = tmp_path / "languages.json"
    file.write_text(sample("mcp-and-lsp.md", "json", "solargraph"))
    names = {language.name for language in read_languages(file)}
    assert "ruby" in names
    assert "c" not in names


@pytest.mark.parametrize(
    ("page", "has"),
    [("mcp-and-lsp.md", '"lsp"'), ("programs.md", '"mcp"'), ("programs.md", '"acp"')],
)
def test_what_other_programs_are_told_to_start(page: str, has: str) -> None:
    told: dict[str, Any] = json.loads(sample(page, "json", has))
    (servers,) = told.values()
    (server,) = servers.values()
    assert server["command"] == "manta"
    assert server["args"][0] in COMMANDS
