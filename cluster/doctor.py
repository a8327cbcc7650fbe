"""The doctor: looks at this machine and these settings, and says how to fix what is wrong.

Every check is data (`Check`), and none raises. Checks are told apart in three kinds: the machine
(quick), the state directory and cluster (quick), and what has to be tried to be known (sandbox,
models, memory: seconds, side by side).
"""

import asyncio
import importlib
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from actors.models.gateway import ModelGateway, ModelRequest, Role
from actors.models.routing import ROLES
from actors.sandbox.local.obstacles import obstacles
from actors.sandbox.opening import examine_level
from actors.sandbox.protocol import Check, Level
from cluster.app import open_store
from cluster.configuration.sources import load_settings, unknown_variables
from cluster.intake import routes_of
from cluster.machines.connection import probe
from cluster.machines.local_cluster import cluster_status, named_cluster
from cluster.machines.mounts import file_system_of
from cluster.settings import Settings
from cluster.tools.checks import tool_checks
from orchestration.errors import MantaError

PYTHON = (3, 11)
GIT = (2, 38)
"""The first git that merges on objects alone (`merge-tree --write-tree`)."""
RAY = "2.60.0"
"""The version whose ways `cluster.machines.connection` and `cluster.machines.keeper` know."""
SAFE_SQLITE = (3, 51, 3)
FREE_BYTES = 2 * 1024**3
NETWORK_FILE_SYSTEMS = re.compile(r"nfs\d?|cifs|smb\d?|9p|afs|ceph|glusterfs|lustre|fuse\..*")
PATIENCE_S = 60.0
MOST_RUNS = 1_000
IMPORT_MILVUS = "import pymilvus, milvus_lite"
ASK_MILVUS = """
import os, pymilvus
print(pymilvus.MilvusClient(os.environ["MANTA_MEMORY_URI"], timeout=10).get_server_version())
"""


async def examine(settings: Settings, *, is_online: bool = False) -> list[Check]:
    """All checks, in the order in which a person would fix them.

    `is_online`: every model is asked one short question, which costs next to nothing.
    """
    tried = (
        ("sandbox", sandbox(settings)),
        ("store", store(settings)),
        ("model", models(settings, is_online=is_online)),
        ("memory", memory(settings)),
    )
    return [*await _at_a_look(settings), *await _side_by_side(*tried)]


async def examine_quickly(settings: Settings) -> list[Check]:
    """The machine and its sandbox: what has to be well whatever is asked of it."""
    return [*await _at_a_look(settings), *await _side_by_side(("sandbox", sandbox(settings)))]


async def _at_a_look(settings: Settings) -> list[Check]:
    quick = (python, platform, git, ray_version, sqlite, variables)
    checks = [check() for check in quick]
    checks += await asyncio.to_thread(state_directory, settings.state_dir)
    checks.append(await asyncio.to_thread(ray_cluster, settings))
    return [*checks, *await asyncio.to_thread(tool_checks, settings)]


async def _side_by_side(*tried: tuple[str, Coroutine[None, None, list[Check]]]) -> list[Check]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_bounded(name, work)) for name, work in tried]
    return [check for task in tasks for check in task.result()]


# --- the machine ---------------------------------------------------------------------------------


def python() -> Check:
    """Python is new enough."""
    found = sys.version_info[:3]
    return Check(
        "python", found >= PYTHON, f"{_dotted(found)} at {sys.executable}",
        "install Python 3.11 or newer and set up again: make PYTHON=python3.12 setup",
    )  # fmt: skip


def platform() -> Check:
    """The local cluster's keeper and the local sandbox need Linux."""
    return Check(
        "system", sys.platform == "linux", sys.platform,
        "elsewhere name a Ray cluster (--address); for the sandbox choose the level container "
        "(on macOS: podman machine, colima or Docker Desktop), e2b or daytona",
    )  # fmt: skip


def git(find: Callable[[str], str | None] = shutil.which) -> Check:
    """Git is there and new enough."""
    fix = f"install git {_dotted(GIT)} or newer: apt-get install git"
    path = find("git")
    if path is None:
        return Check("git", False, "not found on PATH", fix)
    said = _words_of(path, "--version")
    number = tuple(int(part) for part in re.findall(r"\d+", said)[:3])
    return Check("git", number >= GIT, said or f"{path} does not run", fix)


def ray_version() -> Check:
    """Ray is the version that Manta knows."""
    try:
        found = version("ray")
    except PackageNotFoundError:
        found = "not installed"
    return Check("ray", found == RAY, found, f"install the locked one: pip install ray=={RAY}")


def sqlite() -> Check:
    """A note: older versions lose data when two connections write, and ours is always one."""
    found = sqlite3.sqlite_version_info
    old = "" if found >= SAFE_SQLITE else "; safe, as the store is its only writer"
    return Check("sqlite", True, f"{_dotted(found)}{old}")


def variables() -> Check:
    """No environment variable that looks like ours is misspelt."""
    unknown = unknown_variables(os.environ)
    meant = [f"{name} (meant: {near})" if near else name for name, near in unknown.items()]
    detail = ", ".join(meant) or "none unknown"
    return Check("environment", not unknown, detail, "see .env.example for the names")


# --- the state directory and the cluster ---------------------------------------------------------


def state_directory(path: Path) -> list[Check]:
    """It can be written to, has room, and lies on a disk of this machine."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path) as file:
            file.write(b"x")
            os.fsync(file.fileno())
    except OSError as error:
        fix = "choose another one: --state-dir or MANTA_STATE_DIR"
        return [Check("state directory", False, f"{path}: {error.strerror}", fix)]
    free = shutil.disk_usage(path).free
    kind = file_system_of(path)
    return [
        Check("state directory", True, str(path)),
        Check(
            "free space", free >= FREE_BYTES, f"{free / 1024**3:.1f} GB",
            "free some, or move the state directory: MANTA_STATE_DIR",
        ),
        Check(
            "file system", not NETWORK_FILE_SYSTEMS.fullmatch(kind), kind,
            "SQLite loses data on network file systems: put MANTA_STATE_DIR on a local disk",
        ),
    ]  # fmt: skip


def ray_cluster(settings: Settings) -> Check:
    """The named cluster answers; the local one may as well be down."""
    if settings.address:
        try:
            probe(named_cluster(settings.address))
        except MantaError as error:
            return Check("cluster", False, error.what, error.fix)
        return Check("cluster", True, f"{settings.address} answers")
    running = cluster_status(settings.state_dir)
    detail = f"up at {running.address}, dashboard {running.dashboard_url}" if running else "down"
    return Check("cluster", True, f"local, {detail}")


# --- what has to be tried -----------------------------------------------------------------------


async def sandbox(settings: Settings) -> list[Check]:
    """The chosen level passes its self-test."""
    tools = [str(path) for path in settings.toolchains]
    missing = [path for path in settings.toolchains if not path.is_dir()]
    root = settings.state_dir / "sandboxes"
    image, needs = settings.sandbox_image, settings.sandbox_needs
    try:
        provider, checks = await examine_level(
            settings.sandbox, root, tools, image=image, needs=needs
        )
    except MantaError as error:
        met = obstacles() if settings.sandbox == "local" and sys.platform == "linux" else []
        return [Check("sandbox", False, error.what, error.fix), *met]
    await provider.close()
    failed = [
        Check("sandbox", False, f"{check.name}: {check.detail}", check.fix)
        for check in checks if not check.ok
    ]  # fmt: skip
    return failed or [
        Check("sandbox", True, _of_level(settings.sandbox, checks)),
        Check(
            "toolchains", not missing, ", ".join(tools) or "none",
            f"not a directory: {', '.join(map(str, missing))}",
        ),
    ]  # fmt: skip


def _of_level(level: Level, checks: Sequence[Check]) -> str:
    """What people want to know of a level that works."""
    if level == "none":
        return "level none: agents' commands run unprotected on this machine"
    telling = [check.detail for check in checks if check.name in _TELLING]
    return "; ".join([f"level {level} works", *telling])


_TELLING = ("engine", "limits", "image")


async def store(settings: Settings) -> list[Check]:
    """Runs can be read, as every door reads them: token, versions and database are right."""
    try:
        async with open_store(settings) as journal:
            runs = len(await journal.runs(limit=MOST_RUNS))
    except MantaError as error:
        return [Check("store", False, error.what, error.fix)]
    kind = "PostgreSQL" if settings.store_url else "SQLite in the state directory"
    number = f"{runs} or more" if runs == MOST_RUNS else runs
    return [Check("store", True, f"{kind}, {number} runs")]


async def models(settings: Settings, *, is_online: bool = False) -> list[Check]:
    """Every role's model is known and its key is there. Without `is_online` nothing is sent."""
    try:
        routes = routes_of(settings)
    except MantaError:
        fix = "name one: --model PROVIDER/NAME or MANTA_MODEL (manta demo needs none)"
        return [Check("model", False, "no model is named", fix)]
    room = await asyncio.to_thread(importlib.import_module, "actors.models.litellm")
    gateway = room.LitellmGateway(routes)
    try:
        return await _of_roles(gateway, is_online=is_online)
    finally:
        await gateway.close()


async def _of_roles(gateway: ModelGateway, *, is_online: bool) -> list[Check]:
    checks: list[Check] = []
    answers: dict[str, str] = {}
    for role in ROLES:
        name = f"model of the {role}"
        try:
            model = await gateway.check(role)
            if is_online:
                answers[model] = answers.get(model) or await _asked(gateway, role)
            said = f"{model}, {answers[model]}" if is_online else model
            checks.append(Check(name, True, said))
        except MantaError as error:
            checks.append(Check(name, False, error.what, error.fix))
    return checks


async def _asked(gateway: ModelGateway, role: Role) -> str:
    """How fast a model answers."""
    question = {"role": "user", "content": "Say: ok"}
    request = ModelRequest(
        key=f"doctor-{role}/1",
        role=role,
        conversation="doctor",
        turn=1,
        messages=(question,),
        max_output_tokens=64,
    )
    return f"answers in {(await gateway.complete(request)).seconds:.1f} s"


async def memory(settings: Settings) -> list[Check]:
    """Milvus can be imported, or the server answers: in another process, for it is large."""
    uri = settings.memory_uri
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-W", "ignore", "-c", ASK_MILVUS if uri else IMPORT_MILVUS,
        env={**os.environ, "MANTA_MEMORY_URI": uri or ""},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        out, said = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode == 0:
        good = f"Milvus {out.decode().strip()} answers" if uri else "Milvus Lite can be imported"
        return [Check("memory", True, good)]
    words = said.decode("utf-8", "replace").strip().splitlines()
    fix = "check MANTA_MEMORY_URI and that server" if uri else "install them again: make setup"
    whole = f"{fix} (runs go on without memory meanwhile)"
    return [Check("memory", False, words[-1] if words else "it failed without a word", whole)]


async def _bounded(name: str, work: Coroutine[None, None, list[Check]]) -> list[Check]:
    """A check that hangs or breaks is a finding, not the end of the examination."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await work
    except TimeoutError:
        return [Check(name, False, f"no answer within {PATIENCE_S:.0f} s", "look at its logs")]
    except Exception as error:  # noqa: BLE001 - a door: whatever is wrong here is what we look for
        return [Check(name, False, f"{type(error).__name__}: {error}", "report this")]


def main() -> None:
    """`python -P -m cluster.doctor LEVEL`: whether this machine can be a node with that level."""
    level = sys.argv[1] if len(sys.argv) > 1 else None
    checks = asyncio.run(sandbox(load_settings({"sandbox": level}).settings))
    for check in checks:
        sys.stdout.write(f"{check.name}: {check.detail}\n")
        if not check.ok:
            sys.stdout.write(f"  fix: {check.fix}\n")
    sys.exit(not all(check.ok for check in checks))


def _words_of(*command: str) -> str:
    """What a quick command prints; empty if it fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=10, cwd="/"
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))


if __name__ == "__main__":
    main()
