"""Groups are found on every layout a machine may have."""

from pathlib import Path

from actors.sandbox.cgroups import Groups, parents

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
