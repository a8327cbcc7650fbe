from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.git.bundle import Bundle, decode
from actors.git.command import redact, require_git
from actors.git.records import parse_added_lines
from actors.git.repository import BareRepository
from orchestration.errors import GitError, NotFoundError
from orchestration.ids import CommitId
from tests.actors.git.checkout import Checkout

pytestmark = pytest.mark.slow


async def import_all(bare: BareRepository, checkout: Checkout) -> None:
    await bare.import_bundle(checkout.bundle("--all"))


async def test_a_bundle_comes_in_and_its_head_is_kept(bare: BareRepository, checkout: Checkout):
    heads = await bare.import_bundle(checkout.bundle())
    assert heads == (checkout.head,)
    assert await bare.ref(f"refs/manta/in/{checkout.head}") == checkout.head
    assert await bare.import_bundle(checkout.bundle()) == heads


async def test_what_goes_out_can_be_cloned_by_plain_git(
    bare: BareRepository, checkout: Checkout, new_checkout: Callable[[str], Checkout]
):
    base = checkout.head
    await bare.import_bundle(checkout.bundle())
    second = checkout.commit({"src/b.py": "y = 2\n"})
    await bare.import_bundle(checkout.bundle("HEAD", f"^{base}"))
    other = new_checkout("other")
    for name, data in [
        ("1", await bare.bundle(None, base)),
        ("2", await bare.bundle(base, second)),
    ]:
        other.write({f"{name}.bundle": data})
        other.git("bundle", "verify", f"{name}.bundle")
        other.git("fetch", "-q", f"{name}.bundle", "refs/heads/manta")
    assert other.git("show", f"{second}:src/b.py") == "y = 2"


async def test_the_same_bundle_twice_has_the_same_bytes(bare: BareRepository, checkout: Checkout):
    await bare.import_bundle(checkout.bundle())
    first, again = [await bare.bundle(None, checkout.head) for _ in range(2)]
    assert first == again


async def test_a_bundle_of_nothing_new_is_still_a_bundle(bare: BareRepository, checkout: Checkout):
    await bare.import_bundle(checkout.bundle())
    data = await bare.bundle(checkout.head, checkout.head)
    assert await bare.import_bundle(data) == (checkout.head,)


async def test_a_bundle_over_the_cap_is_refused(bare: BareRepository, checkout: Checkout):
    data = checkout.bundle()
    with pytest.raises(GitError, match="more than 10"):
        await bare.import_bundle(data, max_bytes=10)


async def test_a_bundle_on_an_unknown_base_is_refused(bare: BareRepository, checkout: Checkout):
    base = checkout.head
    checkout.commit({"b": "b"})
    with pytest.raises(GitError, match=f"builds on {base}"):
        await bare.import_bundle(checkout.bundle("HEAD", f"^{base}"))


async def test_a_torn_bundle_is_refused_and_leaves_nothing(
    bare: BareRepository, checkout: Checkout
):
    data = checkout.bundle()
    with pytest.raises(GitError, match="index-pack"):
        await bare.import_bundle(data[:-30])
    assert not await bare.has(checkout.head)
    assert not list((bare.path / "objects" / "pack").glob("*.pack"))


def evil_tree(checkout: Checkout, mode: str, name: str) -> str:
    """A commit whose tree has one entry that no honest tool would make."""
    blob = checkout.git("hash-object", "-w", "--stdin", stdin=b"evil")
    raw = f"{mode} {name}\0".encode() + bytes.fromhex(blob)
    tree = checkout.git("hash-object", "-w", "-t", "tree", "--literally", "--stdin", stdin=raw)
    return checkout.git("commit-tree", tree, "-m", "evil")


@pytest.mark.parametrize("name", [".git", "..", "a/b", ".GIT", "git~1"])
async def test_a_tree_entry_that_would_leave_the_tree_is_refused(
    bare: BareRepository, checkout: Checkout, name: str
):
    commit = evil_tree(checkout, "100644", name)
    checkout.git("update-ref", "refs/heads/evil", commit)
    with pytest.raises(GitError):
        await bare.import_bundle(checkout.bundle("evil"))
    assert not await bare.has(commit)


def tree_bomb(checkout: Checkout) -> str:
    """A few hundred bytes that would be ten billion files."""
    blob = checkout.git("hash-object", "-w", "--stdin", stdin=b"x")
    rows = "".join(f"100644 blob {blob}\t{n}\n" for n in range(10))
    for _ in range(9):
        tree = checkout.git("mktree", stdin=rows.encode())
        rows = "".join(f"040000 tree {tree}\t{n}\n" for n in range(10))
    return checkout.git("commit-tree", checkout.git("mktree", stdin=rows.encode()), "-m", "bomb")


async def test_a_tree_bomb_is_refused_and_stays_outside(
    bare: BareRepository, checkout: Checkout, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("actors.git.repository._MAX_LISTING", 100_000)
    commit = tree_bomb(checkout)
    checkout.git("update-ref", "refs/heads/bomb", commit)
    with pytest.raises(GitError, match="ls-tree printed more"):
        await bare.import_bundle(checkout.bundle("bomb"))
    assert not await bare.has(commit)
    assert not list(bare.path.glob("quarantine-*"))


async def test_files_that_are_too_large_to_check_out_are_refused(
    bare: BareRepository, checkout: Checkout
):
    commit = checkout.commit({"zeros": b"\0" * 100_000})
    with pytest.raises(GitError, match="more than 50000"):
        await bare.import_bundle(checkout.bundle(), max_tree_bytes=50_000)
    assert not await bare.has(commit)


async def test_a_submodule_url_that_is_an_option_is_refused(
    bare: BareRepository, checkout: Checkout
):
    text = '[submodule "a"]\n\tpath = a\n\turl = -u./payload\n'
    checkout.commit({".gitmodules": text})
    with pytest.raises(GitError, match="gitmodules"):
        await bare.import_bundle(checkout.bundle())


async def test_missing_objects_are_refused(bare: BareRepository, checkout: Checkout):
    good = decode(checkout.bundle())
    lying = Bundle({"refs/heads/x": CommitId("1" * 40)}, (), good.pack)
    with pytest.raises(GitError, match="not a commit in it"):
        await bare.import_bundle(lying.encode())


async def test_an_old_history_with_a_crooked_date_still_comes_in(
    bare: BareRepository, checkout: Checkout
):
    tree = checkout.git("rev-parse", "HEAD^{tree}")
    raw = f"tree {tree}\nauthor A <a@b> 1 +051800\ncommitter A <a@b> 1 +051800\n\nold\n"
    commit = checkout.git(
        "hash-object", "-w", "-t", "commit", "--literally", "--stdin", stdin=raw.encode()
    )
    checkout.git("update-ref", "refs/heads/old", commit)
    assert await bare.import_bundle(checkout.bundle("old")) == (commit,)


@pytest.mark.parametrize("data", [b"", b"junk", b"# v2 git bundle\n\n", b"# v2 git bundle\n\nPACK"])
async def test_bytes_that_are_no_bundle_are_refused(bare: BareRepository, data: bytes):
    with pytest.raises(GitError):
        await bare.import_bundle(data)


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_refused(data: bytes):
    try:
        bundle = decode(b"# v2 git bundle\n" + data)
    except GitError:
        return
    assert bundle.heads


async def test_changes_name_every_path_with_modes_and_blobs(
    bare: BareRepository, checkout: Checkout
):
    base = checkout.head
    (checkout.path / "link").symlink_to("/etc/passwd")
    (checkout.path / "src/a.py").chmod(0o755)
    odd = 'new\nline "q" é.txt'
    commit = checkout.commit({"README.md": None, odd: "z"})
    await import_all(bare, checkout)
    changes = {change.path: change for change in await bare.changes(base, commit)}
    assert {path: c.status for path, c in changes.items()} == {
        "README.md": "D",
        "link": "A",
        odd: "A",
        "src/a.py": "M",
    }
    assert changes["link"].new_mode == "120000"
    assert (changes["src/a.py"].old_mode, changes["src/a.py"].new_mode) == ("100644", "100755")
    assert changes[odd].new_blob == checkout.git("rev-parse", f"HEAD:{odd}")


async def test_a_rename_is_a_deletion_and_an_addition(bare: BareRepository, checkout: Checkout):
    base = checkout.head
    checkout.git("mv", "README.md", "LISEZ.md")
    commit = checkout.commit({})
    await import_all(bare, checkout)
    assert [(c.status, c.path) for c in await bare.changes(base, commit)] == [
        ("A", "LISEZ.md"),
        ("D", "README.md"),
    ]


async def test_a_name_that_is_not_utf8_stays_visible(bare: BareRepository, checkout: Checkout):
    base = checkout.head
    blob = checkout.git("hash-object", "-w", "--stdin", stdin=b"x")
    checkout.git(
        "update-index", "-z", "--index-info", stdin=f"100644 {blob}\t".encode() + b"\xff\0"
    )
    checkout.git("commit", "-q", "-m", "odd")
    await import_all(bare, checkout)
    (change,) = await bare.changes(base, checkout.head)
    assert change.path == "\\xff"
    assert change.model_dump_json()


async def test_files_are_read_from_objects(bare: BareRepository, checkout: Checkout):
    (checkout.path / "link").symlink_to("/etc/passwd")
    commit = checkout.commit({"data.bin": b"\0\xff"})
    await import_all(bare, checkout)
    assert [e.path for e in await bare.files(commit)] == [
        "README.md",
        "data.bin",
        "link",
        "src/a.py",
    ]
    assert await bare.read(commit, "data.bin") == b"\0\xff"
    for missing in ("link", "nope", "src", "../README.md", "*", "/README.md"):
        with pytest.raises(NotFoundError):
            await bare.read(commit, missing)
    with pytest.raises(GitError, match="more than 1"):
        await bare.read(commit, "data.bin", max_bytes=1)


async def test_a_diff_is_text_whatever_is_in_the_files(bare: BareRepository, checkout: Checkout):
    base = checkout.head
    commit = checkout.commit({"src/a.py": b"x = 1\r\ny = '\xff'\n", "bin": b"\0" * 100})
    await import_all(bare, checkout)
    diff = await bare.diff(base, commit)
    assert "+y = '\ufffd'" in diff
    assert "Binary files" in diff
    assert "src/a.py" not in await bare.diff(base, commit, paths=["bin"])
    assert "more bytes are not shown" in await bare.diff(base, commit, max_bytes=20)


async def test_a_patch_applies_elsewhere_with_binary_files(
    bare: BareRepository, checkout: Checkout
):
    base = checkout.head
    commit = checkout.commit({"bin": bytes(range(256)), "src/a.py": "x = 2\n"})
    await import_all(bare, checkout)
    patch = await bare.patch(base, commit)
    checkout.git("checkout", "-q", base)
    checkout.git("apply", "--index", "-", stdin=patch)
    assert checkout.git("write-tree") == checkout.git("rev-parse", f"{commit}^{{tree}}")


async def test_added_lines_have_the_numbers_of_the_new_file(
    bare: BareRepository, checkout: Checkout
):
    base = checkout.commit({"t.txt": "one\ntwo\nthree\n-- old\n"})
    odd = 'é "q"\t.txt'
    commit = checkout.commit({"t.txt": "one\n2\nthree\n++ b/evil\n@@ -1 +1 @@\n", odd: "only"})
    await import_all(bare, checkout)
    assert await bare.added_lines(base, commit) == {
        "t.txt": {2: "2", 4: "++ b/evil", 5: "@@ -1 +1 @@"},
        odd: {1: "only"},
    }


@given(st.binary(max_size=300))
def test_any_diff_can_be_read(diff: bytes):
    for lines in parse_added_lines(b"+++ b/a\n@@ -0,0 +1,3 @@\n" + diff).values():
        assert all(number >= 0 for number in lines)


async def test_a_clean_merge_is_made_on_objects_and_is_the_same_each_time(
    bare: BareRepository, checkout: Checkout
):
    base = checkout.head
    ours = checkout.commit({"ours": "o"})
    checkout.git("checkout", "-q", base)
    theirs = checkout.commit({"theirs": "t"})
    checkout.git("branch", "theirs")
    await import_all(bare, checkout)
    first, again = [await bare.merge(ours, theirs, "Merge\n\nTask: a") for _ in range(2)]
    assert first == again
    assert first.commit
    assert {e.path for e in await bare.files(first.commit)} >= {"ours", "theirs"}
    (entry, *_) = await bare.log(first.commit, base=base)
    assert entry.parents == (ours, theirs)
    assert (entry.title, entry.when) == ("Merge", 1700000000)
    assert (await bare.merge(first.commit, theirs, "Merge")).commit == first.commit


async def test_conflicts_are_named_and_nothing_is_made(bare: BareRepository, checkout: Checkout):
    base = checkout.head
    ours = checkout.commit({"src/a.py": "x = 2\n", "b\nb": "1"})
    checkout.git("checkout", "-q", base)
    theirs = checkout.commit({"src/a.py": "x = 3\n", "b\nb": "2"})
    checkout.git("branch", "theirs")
    await import_all(bare, checkout)
    result = await bare.merge(ours, theirs, "Merge")
    assert result.commit is None
    assert result.conflicts == ("b\nb", "src/a.py")
    assert "Merge conflict in src/a.py" in result.messages


async def test_an_adopted_commit_keeps_the_files_and_nothing_it_claims(
    bare: BareRepository, checkout: Checkout
):
    base = checkout.head
    checkout.write({"b": "b"})
    checkout.git("add", "-A")
    checkout.git("commit", "-q", "-m", "I am done", "--author", "Eve <eve@x>", "--date", "@9 +0000")
    await import_all(bare, checkout)
    ours = await bare.adopt(checkout.head, [base], "Add b")
    (entry, *_) = await bare.log(ours, base=base)
    assert (entry.title, entry.parents, entry.when) == ("Add b", (base,), 1700000000)
    assert await bare.tree(ours) == await bare.tree(checkout.head)
    assert await bare.adopt(checkout.head, [base], "Add b") == ours


async def test_a_ref_moves_only_from_where_it_was_expected(
    bare: BareRepository, checkout: Checkout
):
    first = checkout.head
    second = checkout.commit({"b": "b"})
    await import_all(bare, checkout)
    await bare.set_ref("refs/manta/run", first)
    await bare.set_ref("refs/manta/run", second, expect=first)
    with pytest.raises(GitError):
        await bare.set_ref("refs/manta/run", first, expect=first)
    assert await bare.ref("refs/manta/run") == second
    assert await bare.ref("refs/manta/none") is None


@pytest.mark.parametrize("commit", ["", "HEAD", "--output=/tmp/x", "a" * 39, "A" * 40])
async def test_only_full_ids_are_taken_for_commits(bare: BareRepository, commit: str):
    with pytest.raises(GitError, match="full commit id"):
        await bare.files(commit)


async def test_nothing_a_tree_carries_is_run(
    bare: BareRepository, checkout: Checkout, tmp_path_factory: pytest.TempPathFactory
):
    canary = tmp_path_factory.mktemp("canary") / "ran"
    base = checkout.head
    ours = checkout.commit({"src/a.py": "x = 2\n"})
    checkout.git("checkout", "-q", base)
    theirs = checkout.commit({".gitattributes": "* filter=evil diff=evil merge=evil\n"})
    checkout.git("branch", "theirs")
    data = checkout.bundle("--all")
    checkout.plant_canaries(canary)
    await bare.import_bundle(data)
    merged = await bare.merge(ours, theirs, "Merge")
    assert merged.commit
    await bare.diff(base, merged.commit)
    await bare.log(merged.commit)
    await bare.bundle(base, merged.commit)
    assert not canary.exists()


async def test_git_is_new_enough_here():
    assert await require_git()


def test_the_last_words_carry_no_credentials():
    said = "Cloning\nfatal: unable to access 'https://ada:secret@example.org/x.git/': refused\n"
    assert redact(said) == "fatal: unable to access 'https://example.org/x.git/': refused"


async def test_several_files_are_read_at_once_by_blob(bare: BareRepository, checkout: Checkout):
    first = checkout.head
    head = checkout.commit({"a.txt": "one\n", "b.txt": "two\nlines\n", "empty": ""})
    await bare.import_bundle(checkout.bundle())
    files = {entry.path: entry.blob for entry in await bare.files(head)}
    read = await bare.blobs([*files.values()])
    wanted = {"a.txt": b"one\n", "b.txt": b"two\nlines\n", "empty": b""}
    assert {path: read[files[path]] for path in wanted} == wanted
    assert await bare.blobs([]) == {}
    with pytest.raises(GitError, match="missing"):
        await bare.blobs(["0" * 40])
    assert await bare.root(head) == first
