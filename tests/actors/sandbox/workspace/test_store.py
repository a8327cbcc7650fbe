"""What is on disk survives whoever wrote it, also a torn or older file."""

import json
import os
from pathlib import Path

import pytest

from actors.sandbox.protocol import SandboxLostError, SandboxSpec
from actors.sandbox.workspace.store import DirectoryStore, new_owner


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "root", "local", separate_owner=False)


def test_a_record_comes_back_as_it_was(store: DirectoryStore) -> None:
    spec = SandboxSpec({"run": "r"}, {"A": "1"}, ("a.org:80",), toolchains=("/opt/x",), ttl_s=5)
    made = store.create(spec, now=100.0)
    assert store.load(made.id) == made
    assert made.expires == 105.0


def test_an_older_or_newer_record_is_read_as_far_as_it_is_known(store: DirectoryStore) -> None:
    made = store.create(SandboxSpec({"run": "r"}), now=1.0)
    path = made.home / "sandbox.json"
    body = json.loads(path.read_text())
    del body["spec"]["snapshot"]
    body["spec"]["invented"] = body["spec"]["limits"]["invented"] = 1
    path.write_text(json.dumps(body))
    assert store.load(made.id) == made


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"level": "local"}', "\0"])
def test_a_torn_record_is_a_lost_sandbox_and_hides_no_other(
    store: DirectoryStore, content: str
) -> None:
    torn, whole = store.create(SandboxSpec(), 1.0), store.create(SandboxSpec(), 1.0)
    (torn.home / "sandbox.json").write_text(content)
    with pytest.raises(SandboxLostError):
        store.load(torn.id)
    assert [record.id for record in store.find({})] == [whole.id]


def test_another_levels_sandbox_is_not_found(store: DirectoryStore) -> None:
    made = store.create(SandboxSpec(), 1.0)
    with pytest.raises(SandboxLostError):
        DirectoryStore(store.root, "none", separate_owner=False).load(made.id)


def test_what_was_half_made_or_half_removed_long_ago_is_cleared(store: DirectoryStore) -> None:
    whole = store.create(SandboxSpec(), 1.0)
    for name, age in (("0ldhalf", 10_000), ("newhalf", 0)):
        (store.root / name / "workspace").mkdir(parents=True)
        when = (store.root / name).stat().st_mtime - age
        os.utime(store.root / name, (when, when))
    (store.root / ".gone" / "dead").mkdir(parents=True)
    store.bury()
    assert {path.name for path in store.root.iterdir()} == {whole.id, "newhalf", ".gone"}
    assert list((store.root / ".gone").iterdir()) == []


def test_owners_are_spread_and_mapped() -> None:
    owners = {new_owner() for _ in range(50)}
    assert len(owners) > 40
    assert all(owner > 1000 for owner in owners)
