"""Pushing to a real bare repository, and a pull request by a stand-in for gh."""

from pathlib import Path

import pytest

from actors.git.publishing import PullRequest, open_pull_request, push, require_publishing
from actors.git.source import opened
from orchestration.errors import GitError, UsageError
from tests.actors.git.checkout import Checkout
from tests.actors.git.hub import Hub, install

pytestmark = pytest.mark.slow

BRANCH = "manta/run-1"
ASKED = PullRequest(BRANCH, "main", "feat: add red", "## What\n\n- Add `red`\n")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    return install(tmp_path / "bin", monkeypatch)


@pytest.fixture
def origin(checkout: Checkout, tmp_path: Path) -> Path:
    """A bare repository that the checkout calls origin, and that has its main branch."""
    place = tmp_path / "origin.git"
    checkout.git("clone", "-q", "--bare", ".", str(place))
    checkout.git("remote", "add", "origin", str(place))
    return place


def at(origin: Path, checkout: Checkout) -> str:
    return checkout.git("ls-remote", str(origin), f"refs/heads/{BRANCH}").partition("\t")[0]


async def test_a_branch_is_pushed_once_and_no_hook_of_the_repository_runs(
    checkout: Checkout, origin: Path
) -> None:
    hook = checkout.path / ".git" / "hooks" / "pre-push"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ntouch ran\nexit 1\n")
    hook.chmod(0o755)
    for _ in range(2):
        async with opened(str(checkout.path)) as git:
            await push(git, checkout.head, BRANCH)
    assert at(origin, checkout) == checkout.head
    assert not (checkout.path / "ran").exists()


async def test_a_branch_that_is_there_with_other_work_is_never_overwritten(
    checkout: Checkout, origin: Path
) -> None:
    first = checkout.head
    other = checkout.commit({"b": "b"})
    checkout.git("push", "-q", "origin", f"{other}:refs/heads/{BRANCH}")
    async with opened(str(checkout.path)) as git:
        with pytest.raises(GitError, match="cannot push manta/run-1 to origin"):
            await push(git, first, BRANCH)
    assert at(origin, checkout) == other


async def test_a_pull_request_is_opened_once_with_its_words(
    checkout: Checkout, origin: Path, hub: Hub
) -> None:
    async with opened(str(checkout.path)) as git:
        urls = {await open_pull_request(git, ASKED) for _ in range(2)}
    assert urls == {"https://example.org/o/r/pull/1"}
    (made,) = hub.calls("pr", "create")
    assert made["stdin"] == ASKED.body
    asked = ("--head", BRANCH, "--base", "main", "--title", ASKED.title, "--body-file", "-")
    assert made["argv"] == ["pr", "create", *asked]
    assert made["cwd"] == str(checkout.path)


async def test_gh_gets_its_token_and_nobody_elses(
    checkout: Checkout, origin: Path, hub: Hub
) -> None:
    async with opened(str(checkout.path)) as git:
        await require_publishing(git)
    (call,) = hub.calls("auth", "status")
    assert call["env"]["GH_TOKEN"] == "a-token-of-the-tests"
    assert "ANTHROPIC_API_KEY" not in call["env"]
    assert call["env"]["GIT_CONFIG_VALUE_0"] == "/dev/null"


@pytest.mark.parametrize(
    "url", ["https://git.example.org/o/r.git", "git@git.example.org:o/r", "ssh://git@git.example.org:2222/o/r.git"]
)  # fmt: skip
async def test_gh_is_told_which_repository_origin_is(
    checkout: Checkout, hub: Hub, url: str
) -> None:
    checkout.git("remote", "add", "origin", url)
    async with opened(str(checkout.path)) as git:
        await require_publishing(git)
        await open_pull_request(git, PullRequest(BRANCH, "", "t", "b"))
    assert hub.calls("auth")[0]["argv"] == ["auth", "status", "--hostname", "git.example.org"]
    (made,) = hub.calls("pr", "create")
    assert made["argv"][2:4] == ["--repo", "git.example.org/o/r"]
    assert "--base" not in made["argv"]


async def test_without_a_remote_nothing_is_tried(checkout: Checkout, hub: Hub) -> None:
    async with opened(str(checkout.path)) as git:
        with pytest.raises(UsageError, match="no remote called origin"):
            await require_publishing(git)
        with pytest.raises(UsageError, match="no remote called origin"):
            await push(git, checkout.head, BRANCH)
    assert hub.calls() == []


async def test_whoever_is_not_logged_in_is_told_how(
    checkout: Checkout, origin: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GH_TOKEN")
    async with opened(str(checkout.path)) as git:
        with pytest.raises(UsageError, match="gh is not logged in") as early:
            await require_publishing(git)
        with pytest.raises(UsageError, match="gh is not logged in"):
            await open_pull_request(git, ASKED)
    assert "gh auth login" in early.value.fix


async def test_a_missing_gh_is_named(
    checkout: Checkout, origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_git = tmp_path / "only"
    only_git.mkdir()
    (only_git / "git").symlink_to("/usr/bin/git")
    monkeypatch.setenv("PATH", str(only_git))
    async with opened(str(checkout.path)) as git:
        with pytest.raises(UsageError, match="gh, which is not installed"):
            await require_publishing(git)
