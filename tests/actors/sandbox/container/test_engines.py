"""What podman and docker say is understood alike, and containers of both get the same walls."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actors.sandbox.container.argv import Box, copy_argv, environment, keeper_argv
from actors.sandbox.container.engines import DIALECTS, Engine, understood
from actors.sandbox.protocol import (
    NoSpaceError,
    SandboxError,
    SandboxLimits,
    SandboxLostError,
    SandboxSpec,
    SandboxUnavailableError,
)
from actors.sandbox.workspace.store import Record
from orchestration.errors import UsageError

_PODMAN: Mapping[str, Any] = {
    "host": {
        "cgroupVersion": "v2",
        "cgroupControllers": ["cpu", "memory", "pids"],
        "ociRuntime": {"name": "crun"},
        "security": {"rootless": True},
        "serviceIsRemote": False,
    },
    "version": {"Version": "4.3.1"},
}
_DOCKER: Mapping[str, Any] = {
    "ServerVersion": "28.2.2",
    "OperatingSystem": "Debian GNU/Linux 12",
    "SecurityOptions": ["name=seccomp,profile=builtin", "name=cgroupns"],
    "CgroupVersion": "2",
    "MemoryLimit": True,
    "PidsLimit": True,
    "CpuCfsQuota": True,
}


def podman(**host: Any) -> Engine:
    return DIALECTS["podman"].read("podman", {**_PODMAN, "host": {**_PODMAN["host"], **host}})


def docker(**facts: Any) -> Engine:
    return DIALECTS["docker"].read("docker", {**_DOCKER, **facts})


@pytest.fixture
def record(tmp_path: Path) -> Record:
    limits = SandboxLimits(memory=1000, processes=7, cpus=0.5)
    spec = SandboxSpec(labels={"run": "r"}, limits=limits)
    home = tmp_path / "f00d"
    home.mkdir()
    return Record("f00d", "container", spec, None, home)


def box(engine: Engine, record: Record, *toolchains: str) -> Box:
    return Box(engine, "image:1", record.home.parent, toolchains)


def after(argv: list[str], option: str) -> list[str]:
    """Every value of an option."""
    return [argv[index + 1] for index, word in enumerate(argv) if word == option]


@pytest.mark.parametrize("engine", [podman(), docker()], ids=lambda engine: engine.name)
def test_both_engines_build_the_same_walls(engine: Engine, record: Record) -> None:
    for argv in (
        keeper_argv(box(engine, record), record, door=None),
        copy_argv(box(engine, record), record, record.home),
    ):
        assert after(argv, "--network") == ["none"]
        assert after(argv, "--cap-drop") == ["all"]
        assert after(argv, "--security-opt") == ["no-new-privileges"]
        assert after(argv, "--pull") == ["never"]
        assert "--read-only" in argv
        assert "--privileged" not in argv
        assert [volume for volume in after(argv, "--volume") if ".sock" in volume] == []


@pytest.mark.parametrize("engine", [podman(), docker()], ids=lambda engine: engine.name)
def test_limits_are_asked_for_where_they_are_enforced(engine: Engine, record: Record) -> None:
    argv = keeper_argv(box(engine, record), record, door=None)
    assert after(argv, "--memory") == after(argv, "--memory-swap") == ["1000"]
    assert (after(argv, "--pids-limit"), after(argv, "--cpus")) == (["7"], ["0.5"])
    bare = keeper_argv(box(replace(engine, limits=frozenset()), record), record, door=None)
    assert after(bare, "--memory") == after(bare, "--pids-limit") == []


def test_only_the_workspace_can_be_written(record: Record, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    argv = keeper_argv(box(docker(), record, str(tools)), record, door=tmp_path / "door")
    writable = [volume for volume in after(argv, "--volume") if not volume.endswith(":ro")]
    assert [volume.split(":")[1] for volume in writable] == ["/workspace"]
    assert f"{tools}:{tools}:ro" in after(argv, "--volume")


def test_a_path_that_would_show_something_else_is_refused(record: Record, tmp_path: Path) -> None:
    odd = tmp_path / "a:b"
    odd.mkdir()
    for toolchain in (str(odd), str(tmp_path / "nowhere"), "relative", "/"):
        with pytest.raises(UsageError):
            keeper_argv(box(docker(), record, toolchain), record, door=None)


def test_who_commands_are_depends_on_who_rules_the_engine(record: Record) -> None:
    rootless = keeper_argv(box(podman(), record), record, door=None)
    assert after(rootless, "--user") == ["0:0"]
    owned = replace(record, owner=70_000)
    as_root = keeper_argv(box(docker(), owned), owned, door=None)
    assert after(as_root, "--user") == ["70000:70000"]
    assert "agent:x:70000:70000:" in (record.home / "passwd").read_text()


def test_what_an_engine_cannot_do_is_known() -> None:
    old = podman(cgroupVersion="v1")
    assert (old.pauses, old.limits) == (False, frozenset())
    assert (podman().pauses, docker().rootless) == (True, False)
    assert podman().limits == docker().limits == {"cpu", "memory", "pids"}
    assert docker(SecurityOptions=["name=rootless"]).rootless
    assert docker(MemoryLimit=False).limits == {"cpu", "pids"}
    for engine in (podman(serviceIsRemote=True), docker(OperatingSystem="Docker Desktop")):
        assert not engine.same_kernel
    assert podman().same_kernel


@pytest.mark.parametrize(
    ("said", "kind", "fix"),
    [
        ("Error: no container with name or ID f found: no such container", SandboxLostError, "new"),
        ("Error response from daemon: container f is not running", SandboxLostError, "new"),
        ("Error: manta-sandbox: image not known", SandboxUnavailableError, "sandbox.Dockerfile"),
        ("No such image: manta-sandbox", SandboxUnavailableError, "docker build"),
        (
            "Cannot connect to the Docker daemon at unix:///var/run/docker.sock.",
            SandboxUnavailableError,
            "start docker",
        ),
        (
            "permission denied while trying to connect to the Docker daemon socket",
            SandboxUnavailableError,
            "rootless",
        ),
        ("cgroups in hybrid mode not supported", SandboxUnavailableError, "runc"),
        ("write /x: no space left on device", NoSpaceError, "prune"),
        ("", SandboxUnavailableError, "info"),
    ],
)
def test_an_engines_words_become_errors_of_ours(
    said: str, kind: type[SandboxError], fix: str
) -> None:
    error = understood("docker", said)
    assert type(error) is kind
    assert fix in error.fix


def test_a_command_sees_the_images_words_and_ours_but_nothing_of_the_engine() -> None:
    seen = environment(
        ["PATH=/opt/go/bin:/usr/bin", "GOPATH=/go", "HOME=/root"], ["/tools"], {"A": "1"}
    )
    assert seen == {
        "PATH": "/tools/bin:/opt/go/bin:/usr/bin",
        "GOPATH": "/go",
        "HOME": "/home/agent",
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "A": "1",
    }
