import os
import socket
from pathlib import Path

import pytest

from cluster.configuration.sources import variable_names
from cluster.doctor import examine, git, models, ray_cluster, sandbox, state_directory, variables
from cluster.machines.mounts import file_system_of
from cluster.settings import FOREIGN_VARIABLES, Settings

MOUNTS = r"""
21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 21 0:30 / /home rw - btrfs /dev/vdb rw
31 30 0:31 / /home/me/with\040blank rw - nfs4 server:/share rw
"""


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*variable_names(), *FOREIGN_VARIABLES):
        monkeypatch.delenv(name, raising=False)


def settings(tmp_path: Path, **given: object) -> Settings:
    return Settings.model_validate({"state_dir": tmp_path / "state", **given})


@pytest.mark.slow
async def test_every_finding_that_is_bad_comes_with_a_fix(tmp_path: Path) -> None:
    checks = await examine(settings(tmp_path, sandbox="in-memory"))

    assert [check.name for check in checks if not check.ok and not check.fix] == []
    assert {"python", "git", "ray", "state directory", "cluster", "sandbox", "store", "memory"} <= {
        check.name for check in checks
    }


def test_a_machine_without_git_is_told_how_to_get_it() -> None:
    check = git(find=lambda _: None)

    assert not check.ok
    assert "2.38" in check.fix


def test_an_old_git_is_refused(tmp_path: Path) -> None:
    old = tmp_path / "git"
    old.write_text("#!/bin/sh\necho git version 2.30.2\n")
    old.chmod(0o755)

    check = git(find=lambda _: str(old))

    assert (check.ok, check.detail) == (False, "git version 2.30.2")


def test_a_state_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    (check,) = state_directory(tmp_path / "file" / "state")

    assert not check.ok
    assert str(tmp_path / "file" / "state") in check.detail


def test_the_nearest_mount_tells_the_file_system(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS.lstrip())
    places = ["/var/x", "/home/you", "/home/me/with blank/state", "/home/me/with blanks"]

    kinds = [file_system_of(Path(place), mounts) for place in places]

    assert kinds == ["ext4", "btrfs", "nfs4", "btrfs"]


def test_a_named_cluster_where_nobody_listens_is_bad_news(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]

        check = ray_cluster(settings(tmp_path, address=f"127.0.0.1:{port}"))

    assert not check.ok
    assert f"127.0.0.1:{port}" in check.detail


def test_a_local_cluster_that_is_down_is_no_trouble(tmp_path: Path) -> None:
    check = ray_cluster(settings(tmp_path))

    assert (check.ok, check.detail) == (True, "local, down")


def test_misspelt_variables_are_named_with_what_was_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANTA_MODLE", "x")

    check = variables()

    assert not check.ok
    assert "MANTA_MODLE (meant: MANTA_MODEL)" in check.detail


async def test_no_model_is_said_so_and_needs_no_heavy_import(tmp_path: Path) -> None:
    (check,) = await models(settings(tmp_path))

    assert not check.ok
    assert "MANTA_MODEL" in check.fix


@pytest.mark.slow
async def test_a_missing_key_is_named(tmp_path: Path) -> None:
    checks = await models(settings(tmp_path, model="anthropic/claude-sonnet-4-5"))

    assert all("ANTHROPIC_API_KEY" in f"{check.detail} {check.fix}" for check in checks)
    assert not any(check.ok for check in checks)


@pytest.mark.slow
async def test_a_level_that_does_not_exist_here_is_bad_news(tmp_path: Path) -> None:
    (check,) = await sandbox(settings(tmp_path, sandbox="daytona", toolchains=()))

    assert not check.ok or os.environ.get("DAYTONA_API_KEY")


async def test_the_bare_level_says_what_it_is(tmp_path: Path) -> None:
    level, _ = await sandbox(settings(tmp_path, sandbox="none"))

    assert "unprotected" in level.detail


async def test_a_toolchain_that_is_no_directory_is_named(tmp_path: Path) -> None:
    given = settings(tmp_path, sandbox="in-memory", toolchains=(tmp_path / "gone",))

    _, tools = await sandbox(given)

    assert not tools.ok
    assert str(tmp_path / "gone") in tools.fix
