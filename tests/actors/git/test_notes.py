"""Notes on commits: kept here, shared with origin, found in a clone that never fetched them."""

from pathlib import Path

import pytest

from actors.git.notes import REF, annotate, annotation, share
from actors.git.source import opened
from orchestration.errors import GitError
from tests.actors.git.checkout import Checkout, everything_in

pytestmark = pytest.mark.slow

TEXT = b'{"evidence": 1}'


@pytest.fixture
def origin(checkout: Checkout, tmp_path: Path) -> Checkout:
    """Where the checkout came from; it has notes of somebody else."""
    place = tmp_path / "origin.git"
    checkout.git("clone", "-q", "--bare", ".", str(place))
    checkout.git("remote", "add", "origin", "../origin.git")
    bare = Checkout.at(place)
    bare.git("notes", "--ref=manta", "add", "-m", "of another run", checkout.head)
    return bare


async def test_a_note_is_kept_with_a_commit_and_nothing_of_the_repository_runs(
    checkout: Checkout, tmp_path: Path
):
    canary = tmp_path / "canary"
    checkout.plant_canaries(canary)
    kept = {k: v for k, v in everything_in(checkout.path).items() if not k.startswith(".git/")}
    text = b'{"a": 1}\n\n\n  trailing \n'
    for body in (b"older", text):
        await annotate(checkout.path, checkout.head, body)
    assert await annotation(str(checkout.path), checkout.head) == text
    assert not canary.exists()
    now = {k: v for k, v in everything_in(checkout.path).items() if not k.startswith(".git/")}
    assert now == kept
    first = checkout.head
    checkout.git("config", "core.hooksPath", "/dev/null")
    assert await annotation(str(checkout.path), "0" * 40) == b""
    assert first == checkout.head


async def test_a_note_is_shared_beside_those_of_others(
    checkout: Checkout, origin: Checkout, tmp_path: Path
) -> None:
    theirs, ours = checkout.head, checkout.commit({"b": "b"})
    checkout.git("push", "-q", "origin", "HEAD:refs/heads/work")
    before = checkout.git("for-each-ref")
    async with opened(str(checkout.path)) as git:
        for _ in range(2):
            await share(git, ours, TEXT)
    assert checkout.git("for-each-ref") == before
    assert origin.git("rev-list", "--count", REF) == "2"
    clone = tmp_path / "clone"
    checkout.git("clone", "-q", str(origin.path), str(clone))
    assert await annotation(str(clone), ours) == TEXT
    assert (await annotation(str(clone), theirs)).strip() == b"of another run"
    assert await annotation(str(clone), "0" * 40) == b""
    assert REF not in Checkout.at(clone).git("for-each-ref")


async def test_notes_that_others_share_meanwhile_are_kept(
    checkout: Checkout, origin: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody is faster, between our look at the notes and our push."""
    hook = origin.path / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    other = checkout.head
    hook.write_text(
        "#!/bin/sh\nrm hooks/pre-receive\nunset GIT_QUARANTINE_PATH\n"
        f"git notes --ref=manta add -f -m faster {other}\n"
    )
    hook.chmod(0o755)
    ours = checkout.commit({"b": "b"})
    async with opened(str(checkout.path)) as git:
        await share(git, ours, TEXT)
    assert (await annotation(str(checkout.path), other)).strip() == b"faster"
    assert await annotation(str(checkout.path), ours) == TEXT


async def test_an_origin_that_refuses_is_told_with_what_to_do(
    checkout: Checkout, origin: Checkout
) -> None:
    hook = origin.path / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho no notes here >&2\nexit 1\n")
    hook.chmod(0o755)
    async with opened(str(checkout.path)) as git:
        with pytest.raises(
            GitError, match="cannot be pushed to origin as refs/notes/manta"
        ) as told:
            await share(git, checkout.head, TEXT)
    assert f"git push origin {REF}" in told.value.fix


async def test_the_repositorys_own_settings_run_nothing(checkout: Checkout, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    checkout.plant_canaries(canary)
    checkout.git("remote", "add", "origin", f"ext::sh -c 'touch {canary}'")
    assert await annotation(str(checkout.path), checkout.head) == b""
    assert not canary.exists()
