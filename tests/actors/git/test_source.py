from collections.abc import Callable
from pathlib import Path

import pytest

from actors.git.repository import BareRepository
from actors.git.source import deliver, open_source
from orchestration.errors import ConflictError, GitError, UsageError
from tests.actors.git.checkout import Checkout, everything_in

pytestmark = pytest.mark.slow


async def test_a_checkout_becomes_a_source(checkout: Checkout, bare: BareRepository):
    source = await open_source(str(checkout.path))
    assert (source.name, source.commit, source.ref_name) == ("project", checkout.head, "main")
    assert (source.is_dirty, source.submodules, source.local_path) == (False, (), checkout.path)
    assert await bare.import_bundle(source.bundle) == (checkout.head,)


async def test_a_subdirectory_a_bare_repository_and_a_branch_will_do(checkout: Checkout):
    first = checkout.head
    checkout.git("branch", "old")
    checkout.commit({"b": "b"})
    checkout.git("clone", "-q", "--bare", ".", "../bare.git")
    assert (await open_source(str(checkout.path / "src"))).commit == checkout.head
    source = await open_source(str(checkout.path.parent / "bare.git"), "old")
    assert (source.name, source.commit, source.ref_name) == ("bare", first, "old")


async def test_a_clone_has_the_branches_of_its_origin(checkout: Checkout, tmp_path: Path):
    checkout.git("branch", "feat/old")
    first = checkout.head
    checkout.commit({"b": "b"})
    checkout.git("clone", "-q", ".", str(tmp_path / "clone"))
    source = await open_source(str(tmp_path / "clone"), "feat/old")
    assert (source.commit, source.ref_name) == (first, "feat/old")


async def test_a_url_is_cloned_and_leaves_no_local_path(checkout: Checkout):
    source = await open_source(f"file://{checkout.path}")
    assert (source.commit, source.local_path) == (checkout.head, None)


async def test_uncommitted_work_is_noted_and_left_alone(checkout: Checkout):
    checkout.write({"src/a.py": "x = 'unsaved'\n", "new.txt": "new\n"})
    before = everything_in(checkout.path)
    source = await open_source(str(checkout.path))
    assert source.is_dirty
    assert source.commit == checkout.head
    assert everything_in(checkout.path) == before


async def test_a_touched_file_is_not_dirty(checkout: Checkout):
    (checkout.path / "README.md").touch()
    assert not (await open_source(str(checkout.path))).is_dirty


async def test_submodules_are_noted(checkout: Checkout):
    checkout.git("update-index", "--add", "--cacheinfo", f"160000,{checkout.head},libs/x")
    checkout.git("commit", "-q", "-m", "Add a submodule")
    assert (await open_source(str(checkout.path))).submodules == ("libs/x",)


async def test_no_directory_and_no_repository_say_what_to_do(tmp_path: Path):
    (tmp_path / "plain").mkdir()
    for path in ("nowhere", "plain"):
        with pytest.raises(UsageError) as caught:
            await open_source(str(tmp_path / path))
        assert "git init" in caught.value.fix


async def test_an_empty_repository_has_no_commits(new_checkout: Callable[[str], Checkout]):
    with pytest.raises(UsageError, match="no commits"):
        await open_source(str(new_checkout("empty").path))


async def test_an_unknown_ref_lists_the_branches(checkout: Checkout):
    for ref in ("nope", "--all", "", "HEAD:README.md", "a..b"):
        with pytest.raises(UsageError, match="branches there: main"):
            await open_source(str(checkout.path), ref)


async def test_a_shallow_clone_is_told_how_to_grow(checkout: Checkout):
    checkout.commit({"b": "b"})
    checkout.git("clone", "-q", "--depth=1", f"file://{checkout.path}", "../shallow")
    with pytest.raises(UsageError, match="unshallow"):
        await open_source(str(checkout.path.parent / "shallow"))


async def test_a_url_that_leads_nowhere_names_itself_without_its_password(tmp_path: Path):
    with pytest.raises(GitError) as caught:
        await open_source(f"file://ada:secret@localhost{tmp_path}/nowhere.git")
    assert "nowhere.git" in caught.value.what
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["ext::sh -c true", "http://example.org/x", "ftp://x/y"])
async def test_other_ways_to_fetch_are_refused(url: str):
    with pytest.raises(UsageError):
        await open_source(url)


async def built(checkout: Checkout, bare: BareRepository) -> tuple[str, bytes]:
    """A commit on top of the checkout's head that only the bare repository has."""
    base = checkout.head
    await bare.import_bundle((await open_source(str(checkout.path))).bundle)
    commit = await bare.commit_tree(base, [base], "Add it", when=1700000001)
    return commit, await bare.bundle(base, commit)


async def test_delivery_makes_a_branch_and_touches_nothing_else(
    checkout: Checkout, bare: BareRepository
):
    commit, bundle = await built(checkout, bare)
    checkout.write({"src/a.py": "x = 'unsaved'\n"})
    before = everything_in(checkout.path)
    await deliver(checkout.path, bundle, "manta/it", commit)
    await deliver(checkout.path, bundle, "manta/it", commit)
    after = everything_in(checkout.path)
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    assert checkout.git("rev-parse", "manta/it") == commit
    assert all(
        name.startswith((".git/objects/pack/", ".git/refs/heads/manta/", ".git/logs/refs/heads/"))
        for name in changed
    )


async def test_an_existing_branch_is_never_moved(checkout: Checkout, bare: BareRepository):
    commit, bundle = await built(checkout, bare)
    with pytest.raises(ConflictError, match="branch main exists"):
        await deliver(checkout.path, bundle, "main", commit)
    with pytest.raises(GitError, match="cannot make branch main/it"):
        await deliver(checkout.path, bundle, "main/it", commit)
    assert checkout.git("rev-parse", "main") == checkout.head


async def test_an_illegal_branch_name_is_refused(checkout: Checkout, bare: BareRepository):
    commit, bundle = await built(checkout, bare)
    for branch in ("", "-d", "a..b", "@{-1}", "a b", "x.lock"):
        with pytest.raises(UsageError, match="branch name"):
            await deliver(checkout.path, bundle, branch, commit)


async def test_a_delivery_without_its_base_is_refused(
    checkout: Checkout, bare: BareRepository, new_checkout: Callable[[str], Checkout]
):
    commit, bundle = await built(checkout, bare)
    other = new_checkout("other")
    other.commit({"x": "x"})
    with pytest.raises(GitError, match="does not have"):
        await deliver(other.path, bundle, "manta/it", commit)


async def test_nothing_the_users_configuration_names_is_run(
    checkout: Checkout, bare: BareRepository, tmp_path_factory: pytest.TempPathFactory
):
    canary = tmp_path_factory.mktemp("canary") / "ran"
    commit, bundle = await built(checkout, bare)
    checkout.plant_canaries(canary)
    checkout.write({"src/a.py": "x = 'unsaved'\n"})
    assert (await open_source(str(checkout.path))).is_dirty
    await deliver(checkout.path, bundle, "manta/it", commit)
    assert not canary.exists()


async def test_a_bundle_file_is_a_source(checkout: Checkout, bare: BareRepository):
    checkout.git("branch", "old")
    checkout.commit({"b": "b"})
    checkout.git("bundle", "create", "-q", "../whole.bundle", "HEAD", "--branches")
    path = checkout.path.parent / "whole.bundle"
    source = await open_source(str(path))
    assert (source.name, source.commit, source.ref_name) == ("whole", checkout.head, "main")
    assert (source.is_dirty, source.local_path, source.is_file) == (False, None, True)
    assert await bare.import_bundle(source.bundle) == (checkout.head,)
    assert (await open_source(str(path), "old")).commit != checkout.head


@pytest.mark.parametrize("name", ["main", "feature/x-1"])
async def test_a_parcel_opens_as_the_source_it_was_made_of(checkout: Checkout, name: str):
    if name != "main":
        checkout.git("checkout", "-q", "-b", name)
    source = await open_source(str(checkout.path))
    path = checkout.path.parent / "project.bundle"
    path.write_bytes(source.parcel())
    again = await open_source(str(path))
    assert (again.name, again.commit, again.ref_name) == ("project", checkout.head, name)


async def test_a_parcel_of_a_bare_commit_is_on_no_branch(checkout: Checkout):
    first = checkout.head
    checkout.commit({"b": "b"})
    source = await open_source(str(checkout.path), f"{first}~0")
    path = checkout.path.parent / "project.bundle"
    path.write_bytes(source.parcel())
    again = await open_source(str(path))
    assert (again.commit, again.ref_name) == (first, "HEAD")


async def test_files_that_are_no_whole_bundle_say_how_to_make_one(checkout: Checkout):
    path = checkout.path.parent / "x.bundle"
    path.write_text("hello")
    with pytest.raises(UsageError, match="is not a git bundle — make one with"):
        await open_source(str(path))
    checkout.commit({"b": "b"})
    checkout.git("bundle", "create", "-q", str(path), "HEAD~1..HEAD")
    with pytest.raises(UsageError, match="which it does not bring"):
        await open_source(str(path))
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(UsageError, match="which it does not bring"):
        await open_source(str(path))


async def test_a_torn_bundle_is_refused(checkout: Checkout):
    path = checkout.path.parent / "x.bundle"
    checkout.git("bundle", "create", "-q", str(path), "HEAD")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(GitError):
        await open_source(str(path))
