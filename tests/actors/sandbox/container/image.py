"""An image for tests that needs no registry: directories and links, and this machine's own /usr
shown read-only as a toolchain. Made in a third of a second, kept by the engine."""

import functools
import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from actors.sandbox.container.engines import Engine, environment, find_engine, ulimits
from actors.sandbox.container.provider import ContainerProvider
from actors.sandbox.network.egress import Dial
from actors.sandbox.protocol import SandboxUnavailableError
from orchestration.clock import Clock

IMAGE = "localhost/manta-tests:2"
_NAMES = os.environ.get("MANTA_TEST_ENGINES")
"""To try another engine than the first that is found here: docker."""
TOOLCHAINS = ("/usr",)
_FOLDERS = (*("dev", "etc", "home", "proc", "run", "sys", "usr", "var"), "workspace")
_SHARED = ("tmp", "var/tmp")
_LINKS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_ETC = ("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "ssl/certs")


def _archive() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, mode in (*((name, 0o755) for name in _FOLDERS), *((n, 0o1777) for n in _SHARED)):
            member = tarfile.TarInfo(name)
            member.type, member.mode = tarfile.DIRTYPE, mode
            tar.addfile(member)
        for name in _LINKS:
            if Path("/", name).is_symlink():
                tar.add(f"/{name}", name, filter=_roots)
        for name in _ETC:
            if Path("/etc", name).exists():
                tar.add(f"/etc/{name}", f"etc/{name}", filter=_roots)
    return packed.getvalue()


def _roots(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """An engine without privileges may know no other user."""
    member.uid = member.gid = 0
    return member


def _import(into: Engine) -> None:
    done = subprocess.run(
        into.argv("import", "-", IMAGE),
        check=False,
        input=_archive(),
        capture_output=True,
        env=environment(),
    )
    if done.returncode:
        raise SandboxUnavailableError(done.stderr.decode(errors="replace"), "podman system reset")


def engine() -> Engine:
    """The engine that tests use."""
    return find_engine(names=tuple(_NAMES.split(","))) if _NAMES else find_engine()


@functools.cache
def why_not() -> str:
    """Why no container can be run on this machine; empty if one can. Makes the image."""
    try:
        try:
            engine().ask("image", "inspect", IMAGE)
        except SandboxUnavailableError:
            _import(engine())
        shut = ("run", "--rm", "--pull", "never", "--network", "none", *ulimits())
        engine().ask(*shut, "--volume", "/usr:/usr:ro", IMAGE, "/usr/bin/true")
    except SandboxUnavailableError as error:
        return error.what
    return ""


def containers(
    root: Path, *, clock: Clock | None = None, dial: Dial | None = None
) -> ContainerProvider:
    """A provider of containers of the image for tests; skips the test where none can run."""
    if reason := why_not():
        pytest.skip(f"no container runs here: {reason}")
    return ContainerProvider(
        root, image=IMAGE, toolchains=TOOLCHAINS, clock=clock, dial=dial, engine=engine()
    )
