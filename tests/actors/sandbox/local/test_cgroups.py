"""Groups are found on every layout a machine may have."""

from pathlib import Path

import pytest

from actors.sandbox.local import cgroups
from actors.sandbox.local.cgroups import Groups, parents
from actors.sandbox.protocol import SandboxLimits

_V1 = [
    "30 24 0:26 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory",
    "31 24 0:27 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids",
    "32 24 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct",
    "33 24 0:29 / /sys/fs/cgroup/devices rw,relatime - cgroup cgroup rw,devices",
    "34 24 0:30 / / rw - ext4 /dev/vda rw",
]


def test_version_one_makes_groups_below_our_own() -> None:
    own = ["4:memory:/system.slice/manta", "3:cpu,cpuacct:/", "8:pids:/a/b", "1:devices:/", "0::/"]
    assert parents(_V1, own) == {
        "memory": Path("/sys/fs/cgroup/memory/system.slice/manta"),
        "pids": Path("/sys/fs/cgroup/pids/a/b"),
        "cpu": Path("/sys/fs/cgroup/cpu,cpuacct"),
    }


def test_a_container_sees_its_own_group_as_the_root() -> None:
    mounts = ["30 24 0:26 /docker/1f /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory"]
    assert parents(mounts, ["4:memory:/docker/1f"]) == {"memory": Path("/sys/fs/cgroup/memory")}
    below = parents(mounts, ["4:memory:/docker/1f/x"])
    assert below == {"memory": Path("/sys/fs/cgroup/memory/x")}


def test_version_two_makes_groups_beside_our_own(tmp_path: Path) -> None:
    (tmp_path / "app.slice").mkdir()
    (tmp_path / "app.slice" / "cgroup.subtree_control").write_text("memory pids\n")
    mounts = [f"30 24 0:26 / {tmp_path} rw - cgroup2 cgroup2 rw,nsdelegate"]
    found = parents(mounts, ["0::/app.slice/manta.scope"])
    assert found == {"memory": tmp_path / "app.slice", "pids": tmp_path / "app.slice"}


def test_limits_of_version_two_are_written_and_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a directory that looks like a hierarchy: this machine's controllers are version 1's."""
    beside = tmp_path / "cgroup" / "app.slice"
    group = beside / "manta-one"
    group.mkdir(parents=True)
    (beside / "cgroup.subtree_control").write_text("cpu memory pids\n")
    files = ("memory.max", "memory.swap.max", "memory.oom.group", "pids.max", "cpu.max")
    for name in (*files, "cgroup.procs"):
        (group / name).write_text("")
    (tmp_path / "mounts").write_text(
        f"30 24 0:26 / {tmp_path / 'cgroup'} rw - cgroup2 cgroup2 rw,nsdelegate\n"
    )
    (tmp_path / "own").write_text("0::/app.slice/manta.scope\n")
    monkeypatch.setattr(cgroups, "_MOUNTS", tmp_path / "mounts")
    monkeypatch.setattr(cgroups, "_OWN", tmp_path / "own")
    made = cgroups.make("one", SandboxLimits(memory=5000, processes=7, cpus=0.5))
    assert made == Groups((group,), group, group) == cgroups.existing("one")
    assert made.doors == [str(group / "cgroup.procs")]
    written = {name: (group / name).read_text() for name in files}
    assert written == {
        "memory.max": "5000",
        "memory.swap.max": "0",
        "memory.oom.group": "0",
        "pids.max": "7",
        "cpu.max": "50000 100000",
    }


def test_a_hierarchy_that_may_not_be_written_promises_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "app.slice").mkdir()
    (tmp_path / "app.slice" / "cgroup.subtree_control").write_text("memory pids\n")
    (tmp_path / "mounts").write_text(f"30 24 0:26 / {tmp_path} rw - cgroup2 cgroup2 rw\n")
    (tmp_path / "own").write_text("0::/app.slice/manta.scope\n")
    monkeypatch.setattr(cgroups, "_MOUNTS", tmp_path / "mounts")
    monkeypatch.setattr(cgroups, "_OWN", tmp_path / "own")
    assert cgroups.make("one", SandboxLimits()) == Groups(), "no limit file appeared in it"
    assert [path.name for path in (tmp_path / "app.slice").iterdir()] == ["cgroup.subtree_control"]


def test_where_nothing_is_delegated_nothing_is_found(tmp_path: Path) -> None:
    (tmp_path / "cgroup.subtree_control").write_text("")
    mounts = [f"30 24 0:26 / {tmp_path} rw - cgroup2 cgroup2 rw"]
    assert parents(mounts, ["0::/manta.scope"]) == {}
    assert parents([], []) == {}


def test_kills_for_memory_are_counted_on_both_versions(tmp_path: Path) -> None:
    assert Groups().oom_kills() == 0
    (tmp_path / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
    assert Groups((tmp_path,), tmp_path).oom_kills() == 3
    (tmp_path / "memory.events").write_text("low 0\noom 2\noom_kill 5\n")
    assert Groups((tmp_path,), tmp_path).oom_kills() == 5
