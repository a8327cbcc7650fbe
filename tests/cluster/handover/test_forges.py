"""Pull requests through an MCP server that speaks as GitHub's does: a real process, real git."""

import json
import sys
from pathlib import Path

import pytest

from actors.git.publishing import PullRequest, push
from actors.git.source import opened
from cluster.handover.forges import GhForge, forge_of
from cluster.settings import Settings
from orchestration.errors import GitError, UsageError
from tests.actors.git.checkout import Checkout

pytestmark = pytest.mark.slow

SERVER = Path(__file__).with_name("github_server.py")
ASKED = PullRequest("manta/run-1", "main", "feat: add red", "## What\n\n- Add `red`\n")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    """A repository whose origin is called github.com/o/r, and lies in a folder."""
    made = Checkout(tmp_path / "project")
    made.commit({"a": "a"})
    made.git("clone", "-q", "--bare", ".", str(tmp_path / "origin.git"))
    made.git("remote", "add", "origin", "https://github.com/o/r.git")
    made.git("config", f"url.{tmp_path / 'origin.git'}.pushInsteadOf", "git@nowhere.example:o/r")
    made.git("config", f"url.{tmp_path / 'origin.git'}.insteadOf", "https://github.com/o/r.git")
    made.git("remote", "set-url", "--push", "origin", "git@github.com:o/r.git")
    return made


def settings(place: Path, manner: str = "", *, name: str = "github") -> Settings:
    state = place / "requests.json"
    if not state.exists():
        state.write_text("[]")
    server = {
        "command": sys.executable,
        "args": [str(SERVER), str(state), manner],
        "env": {"TOKEN": "${OF_GITHUB}"},
    }
    other = {"command": "nothing-of-the-kind", "env": {"KEY": "${NOT_SET}"}}
    file = place / "mcp.json"
    file.write_text(json.dumps({"mcpServers": {"github": server, "other": other}}))
    return Settings(state_dir=place / "state", mcp=file, pr_server=name)


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_GITHUB", "ghp_0123456789")


def kept(place: Path) -> list[dict[str, object]]:
    return json.loads((place / "requests.json").read_text())


async def test_a_pull_request_is_opened_once_with_its_words(
    checkout: Checkout, tmp_path: Path
) -> None:
    forge = await forge_of(settings(tmp_path))
    async with opened(str(checkout.path)) as git:
        await forge.require(git)
        urls = {await forge.open(git, ASKED) for _ in range(2)}
    assert urls == {"https://github.com/o/r/pull/1"}
    (made,) = kept(tmp_path)
    assert made == {
        "owner": "o", "repo": "r", "head": ASKED.branch, "base": "main", "title": ASKED.title,
        "body": ASKED.body, "show_ui": False, "url": made["url"], "html_url": made["html_url"],
    }  # fmt: skip


async def test_work_that_began_on_an_unknown_branch_is_asked_into_the_default_one(
    checkout: Checkout, tmp_path: Path
) -> None:
    forge = await forge_of(settings(tmp_path))
    async with opened(str(checkout.path)) as git:
        await forge.open(git, PullRequest("b", "only-here", "t", "b"))
    assert kept(tmp_path)[0]["base"] == "main"


@pytest.mark.parametrize(
    ("manner", "told"),
    [
        ("refuses", "create_pull_request of github failed: .*403 Resource not accessible"),
        ("dies", "create_pull_request of github failed: it has ended"),
        ("mumbles", "github said nothing of the pull request that it made: 'done'"),
    ],
)
async def test_what_the_server_could_not_do_is_told_without_its_secrets(
    checkout: Checkout, tmp_path: Path, manner: str, told: str
) -> None:
    forge = await forge_of(settings(tmp_path, manner))
    async with opened(str(checkout.path)) as git:
        with pytest.raises(GitError, match=told) as caught:
            await forge.open(git, ASKED)
    assert "ghp_" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


async def test_a_server_that_is_unfit_is_found_out_before_any_work(
    checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(str(checkout.path)) as git:
        with pytest.raises(UsageError, match="offers no create_pull_request"):
            await (await forge_of(settings(tmp_path, "reads only"))).require(git)
        monkeypatch.setenv("NOT_SET", "set")
        with pytest.raises(UsageError, match="the MCP server other cannot be used") as caught:
            await (await forge_of(settings(tmp_path, name="other"))).require(git)
        assert "--deliver branch" in caught.value.fix
        checkout.git("remote", "set-url", "--push", "origin", str(tmp_path / "origin.git"))
        with pytest.raises(UsageError, match="does not say whose repository"):
            await (await forge_of(settings(tmp_path))).require(git)


async def test_a_name_or_a_variable_that_is_missing_is_a_mistake_of_the_person(
    tmp_path: Path,
) -> None:
    with pytest.raises(UsageError, match="no MCP server 'gitlab'") as caught:
        await forge_of(settings(tmp_path, name="gitlab"))
    assert "github, other" in caught.value.fix
    with pytest.raises(UsageError, match="needs NOT_SET"):
        await forge_of(settings(tmp_path, name="other"))
    assert isinstance(await forge_of(Settings(state_dir=tmp_path)), GhForge)


async def test_a_push_without_credentials_fails_at_once_and_says_what_to_try(
    checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text(
        "#!/bin/sh\necho 'git@github.com: Permission denied (publickey).' >&2\nexit 255\n"
    )
    ssh.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(ssh))
    async with opened(str(checkout.path)) as git:
        with pytest.raises(GitError, match="cannot push manta/run-1 to origin") as caught:
            await push(git, checkout.head, ASKED.branch)
    assert "git push --dry-run origin" in caught.value.fix
