from pathlib import Path

import pytest

from actors.git.identity import identity, local_identity
from cluster.demo.sample import git
from orchestration.errors import UsageError
from orchestration.ids import CommitId

FIRST = CommitId("a" * 40)


def repository(place: Path, text: str = "hello") -> Path:
    place.mkdir(parents=True)
    (place / "a.txt").write_text(text)
    git(place, "init", "--quiet", "--template=", "--initial-branch=main")
    git(place, "add", "--all")
    git(place, "commit", "--quiet", "--message=first")
    return place


async def test_two_repositories_of_one_name_and_history_are_two(tmp_path: Path) -> None:
    """A copy with the same first commit is still a stranger: it may hold anything since."""
    one, other = repository(tmp_path / "a" / "shop"), repository(tmp_path / "b" / "shop")
    first, second = await local_identity(one), await local_identity(other)
    assert first != second
    assert first.startswith("shop@")
    assert second.startswith("shop@")


async def test_another_repository_at_the_same_place_is_another_one(tmp_path: Path) -> None:
    before = await local_identity(repository(tmp_path / "shop"))
    (tmp_path / "shop").rename(tmp_path / "moved")
    assert await local_identity(repository(tmp_path / "shop", "other")) != before


async def test_a_repository_is_itself_after_commits_and_from_every_folder_and_worktree(
    tmp_path: Path,
) -> None:
    shop = repository(tmp_path / "shop")
    before = await local_identity(shop)
    (shop / "deep").mkdir()
    (shop / "deep" / "b.txt").write_text("b")
    git(shop, "add", "--all")
    git(shop, "commit", "--quiet", "--message=second")
    git(shop, "worktree", "add", "--quiet", str(tmp_path / "tree"))
    assert await local_identity(shop) == before
    assert await local_identity(shop / "deep") == before
    assert await local_identity(tmp_path / "tree") == before


async def test_what_is_no_repository_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a git repository"):
        await local_identity(tmp_path)
    with pytest.raises(UsageError, match="no-such-branch"):
        await local_identity(repository(tmp_path / "shop"), "no-such-branch")


@pytest.mark.parametrize(
    ("where", "name"),
    [
        ("https://example.org/team/shop.git", "shop"),
        ("git@example.org:team/shop", "shop"),
        ("/home/me/shop/.git", "shop"),
        ("/", "repository"),
    ],
)
def test_an_identity_begins_with_a_name_for_people(where: str, name: str) -> None:
    assert identity(where, FIRST).partition("@")[0] == name
