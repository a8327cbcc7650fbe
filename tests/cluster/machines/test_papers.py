import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.machines.connection import client_environment, connect
from cluster.machines.local_cluster import (
    cluster_status,
    ensure_cluster,
    node_environment,
    stop_cluster,
)
from cluster.machines.papers import ClusterAddress, Papers, own_folder, try_lock
from cluster.machines.processes import family, is_alive
from cluster.settings import Settings
from orchestration.errors import InfrastructureError, UsageError

LOCAL = ClusterAddress("127.0.0.1:7", "/x/token", "http://127.0.0.1:8", keeper_pid=7)


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    papers = Papers(tmp_path / "state")
    papers.prepare()
    return papers


def test_an_address_without_a_living_keeper_is_stale(papers: Papers) -> None:
    papers.keeper_lock.write_text("1")
    papers.write(LOCAL)

    assert papers.read() == LOCAL
    assert cluster_status(papers.state_dir) is None


def test_a_living_keeper_is_known_by_its_lock(papers: Papers) -> None:
    papers.keeper_lock.write_text("42")
    papers.write(LOCAL)

    with papers.keeper_lock.open("rb") as held:
        assert try_lock(held)
        assert papers.keeper() == 42
        assert cluster_status(papers.state_dir) == LOCAL
    assert papers.keeper() is None


@pytest.mark.parametrize("torn", ["", "{", '{"address": "x", "colour": 1}', "[]"])
def test_torn_papers_are_no_papers(papers: Papers, torn: str) -> None:
    papers.write(LOCAL)
    (papers.folder / "address.json").write_text(torn)

    assert papers.read() is None


def test_stopping_where_nothing_ever_ran_does_nothing(tmp_path: Path) -> None:
    assert stop_cluster(tmp_path / "state") is False
    assert not (tmp_path / "state").exists()


def test_a_leftover_number_that_belongs_to_another_process_now_is_left_alone(
    papers: Papers,
) -> None:
    papers.keeper_lock.write_text(str(os.getpid()))

    assert stop_cluster(papers.state_dir) is False


def test_a_named_cluster_is_not_started(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / "state", address="head:6379")

    assert ensure_cluster(settings).address == "head:6379"
    assert not (tmp_path / "state").exists()


def test_a_job_inside_the_local_cluster_knows_it_for_what_it_is(papers: Papers) -> None:
    papers.write(LOCAL)
    settings = Settings(state_dir=papers.state_dir, address=LOCAL.address)
    papers.keeper_lock.write_text("7")

    with papers.keeper_lock.open("rb") as held:
        assert try_lock(held)
        assert ensure_cluster(settings) == LOCAL
    assert ensure_cluster(settings) == ClusterAddress(LOCAL.address)


def test_sockets_fit_into_a_unix_address_however_long_the_state_directory_is(
    tmp_path: Path,
) -> None:
    deep = Papers(tmp_path / ("d" * 200))
    socket = (
        deep.private_dir / "ray/session_2026-12-31_23-59-59_999999_4194304/sockets/plasma_store"
    )

    assert len(os.fsencode(socket)) <= 107
    assert deep.private_dir != Papers(tmp_path).private_dir


def test_a_folder_that_others_can_enter_or_a_link_is_refused(tmp_path: Path) -> None:
    own_folder(tmp_path / "mine")
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o755)
    (tmp_path / "link").symlink_to(tmp_path / "mine")

    for name in ("open", "link"):
        with pytest.raises(InfrastructureError, match=name):
            own_folder(tmp_path / name)


def test_nodes_inherit_what_they_need_and_no_key(papers: Papers) -> None:
    environ = {
        "PATH": "/bin", "LC_ALL": "C", "RAY_PROMETHEUS_HOST": "http://p", "XDG_STATE_HOME": "/s",
        "ANTHROPIC_API_KEY": "sk", "GITHUB_TOKEN": "gh", "AWS_SECRET_ACCESS_KEY": "aws",
        "RAY_ADDRESS": "other:1", "RAY_AUTH_TOKEN": "t", "RAY_REDIS_PASSWORD": "p",
        "MANTA_MODEL": "a/b", "SSH_AUTH_SOCK": "/agent",
    }  # fmt: skip

    node = node_environment(environ, papers)

    assert set(node) & set(environ) == {"PATH", "LC_ALL", "RAY_PROMETHEUS_HOST", "XDG_STATE_HOME"}
    assert node["RAY_AUTH_MODE"] == "token"
    assert node["RAY_AUTH_TOKEN_PATH"] == str(papers.token)
    assert node["MANTA_STATE_DIR"] == str(papers.state_dir)


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)


def test_clients_of_the_local_cluster_get_its_token_and_of_another_only_the_address() -> None:
    assert client_environment(LOCAL) == {
        "RAY_ADDRESS": "127.0.0.1:7",
        "RAY_API_SERVER_ADDRESS": "http://127.0.0.1:8",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": "/x/token",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    }
    assert client_environment(ClusterAddress("head:6379")) == {"RAY_ADDRESS": "head:6379"}


@pytest.mark.parametrize("address", ["ray://head:10001", "head", ":1", "head:x", "http://h:8265"])
def test_what_is_no_address_is_refused_before_anything_is_tried(address: str) -> None:
    with pytest.raises(UsageError, match="no address"):
        connect(ClusterAddress(address))


def test_an_address_where_nobody_listens_fails_at_once() -> None:
    with pytest.raises(InfrastructureError, match=r"no Ray cluster answers at 127\.0\.0\.1:1 "):
        connect(ClusterAddress("127.0.0.1:1"))


def test_a_family_is_the_session_and_all_descendants_even_in_sessions_of_their_own() -> None:
    nest = (
        "import subprocess, sys; "
        "child = subprocess.Popen(['sleep', '60'], start_new_session=True); "
        "print(child.pid, flush=True); child.wait()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", nest], stdout=subprocess.PIPE, start_new_session=True
    ) as leader:
        assert leader.stdout
        grandchild = int(leader.stdout.readline())
        members = family(leader.pid)
        for pid in (grandchild, leader.pid):
            os.kill(pid, 9)

    assert members == {grandchild}
    assert not is_alive(leader.pid)


def test_the_keeper_is_small_it_loads_nothing_heavy() -> None:
    code = "import sys, json, cluster.machines.keeper; print(json.dumps(sorted(sys.modules)))"

    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, check=True)

    assert {"ray", "pydantic", "rich", "click"} & set(json.loads(done.stdout)) == set()
