"""Links to issues, read by a stand-in for `gh` that is a real program on PATH."""

from pathlib import Path

import pytest

from actors.git.issues import is_link, issue_at
from orchestration.errors import GitError, UsageError
from tests.actors.git.hub import Hub, install

pytestmark = pytest.mark.slow

LINK = "https://github.com/owner/project/issues/12"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    return install(tmp_path / "hub", monkeypatch)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (LINK, True),
        (f"  {LINK}\n", True),
        (f"{LINK}#issuecomment-7", True),
        ("https://git.example:8443/o/r/issues/1", True),
        (f"Please do {LINK}", False),
        ("http://github.com/o/r/issues/1", False),
        ("https://github.com/o/r/pull/1", False),
        ("https://github.com/o/r/issues/", False),
        ("Fix #12", False),
        ("", False),
    ],
)
def test_only_the_address_of_an_issue_alone_is_a_link(text: str, expected: bool) -> None:
    assert is_link(text) is expected


async def test_an_issue_becomes_a_request_that_says_where_it_is_from(hub: Hub) -> None:
    hub.has_issue(LINK, "Trailing commas", "The parser refuses them.\n")
    issue = await issue_at(f" {LINK} ")
    assert issue.request() == f"Trailing commas\n\nThe parser refuses them.\n\n(From {LINK})"


async def test_an_issue_without_a_text_is_its_title(hub: Hub) -> None:
    hub.has_issue(LINK, "Trailing commas", None)
    assert (await issue_at(LINK)).request() == f"Trailing commas\n\n(From {LINK})"


async def test_gh_is_told_no_key_of_ours_and_stands_in_no_repository(hub: Hub) -> None:
    hub.has_issue(LINK, "Trailing commas", "x")
    await issue_at(LINK)
    (call,) = hub.calls("issue", "view")
    assert "ANTHROPIC_API_KEY" not in call["env"]
    assert call["cwd"] == "/"


async def test_an_issue_that_is_not_there_is_an_error_in_words(hub: Hub) -> None:
    with pytest.raises(GitError, match="Could not resolve"):
        await issue_at(LINK)


async def test_without_a_login_or_without_gh_the_remedy_is_told(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GH_TOKEN")
    with pytest.raises(UsageError, match="not logged in"):
        await issue_at(LINK)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match="gh, which is not installed"):
        await issue_at(LINK)
