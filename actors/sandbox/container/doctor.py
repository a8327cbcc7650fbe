"""Self-test of the level `container`: the engine, the image, then walls, by trying them."""

import asyncio

from actors.sandbox.container.containers import Containers
from actors.sandbox.container.engines import Engine
from actors.sandbox.local.doctor import SHUT, WALLS, Probe, try_sandbox
from actors.sandbox.protocol import Check, SandboxError, SandboxProvider

_NEEDED = ("python3", "bash", "git", "tar")
_PROBES = (
    Probe("commands run", "true", "read the engine's words: podman logs, docker logs"),
    *(
        Probe(f"{name} inside", f"{name} --version", f"add {name} to the image, or build ours")
        for name in _NEEDED
    ),
    *WALLS,
    Probe(
        "host hidden",
        "! : < /proc/1/environ && [ ! -e /sys/kernel ] && [ ! -S /var/run/docker.sock ] && "
        '[ "$(ls -d /proc/[0-9]* | wc -l)" -lt 12 ]',
        SHUT,
    ),
)


async def examine(provider: SandboxProvider, containers: Containers) -> list[Check]:
    """Every check of this level; stops where the next would only say the same again."""
    engine = containers.box.engine
    checks = [_engine(engine), _limits(engine)]
    try:
        await asyncio.to_thread(lambda: containers.image_words)
    except SandboxError as error:
        return [*checks, Check("image", False, error.what, error.fix)]
    checks.append(Check("image", True, containers.box.image))
    return [*checks, *await try_sandbox(provider, _PROBES)]


def _engine(engine: Engine) -> Check:
    """Advice where it runs as root: the walls stand, with less behind them."""
    kind = "rootless" if engine.rootless else "as root"
    place = "" if engine.same_kernel else ", in a virtual machine or elsewhere: no egress list"
    fix = "" if engine.rootless else "run it rootless, as an ordinary user: podman does by itself"
    return Check("engine", True, f"{engine.name} {engine.version}, {kind}{place}", fix)


def _limits(engine: Engine) -> Check:
    missing = [name for name in ("memory", "pids", "cpu") if name not in engine.limits]
    if not missing:
        return Check("limits", True, "memory, processes and CPU, by control groups")
    return Check(
        "limits",
        True,
        f"no control groups here for: {', '.join(missing)} (processes are counted per user)",
        "rootless engines need control groups version 2, delegated: systemd, Delegate=yes",
    )
