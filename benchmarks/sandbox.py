"""What a sandbox costs: a command, a sandbox, a prepared workspace, output and file reads.

    .venv/bin/python -m benchmarks.sandbox [--rounds N]

Writes docs/benchmarks-sandbox.md. Contestants take turns in rounds, so that a busy machine is busy
for all. The floor is one plain bubblewrap with the same namespaces, started by the same event loop
and nothing around it; engines are measured by a bare `exec` into a running container.
"""

import argparse
import asyncio
import contextlib
import resource
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from actors.sandbox.commands.process import Caps, Child, Launch, Verdict, from_status
from actors.sandbox.container.engines import ulimits
from actors.sandbox.local.bare import BareProvider
from actors.sandbox.local.provider import LocalProvider
from actors.sandbox.protocol import Sandbox, SandboxProvider, SandboxSpec
from benchmarks.sandbox_report import Measured, write
from tests.actors.sandbox.container.image import IMAGE, containers, engine, why_not
from tests.contracts.sandbox_git import git

COMMANDS, AT_ONCE, TOGETHER = 20, 32, 96
READS, LIVES, FILES, BEGINNERS = 20_000, 8, 200, 4
_PLAIN = (
    *("/usr/bin/bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/usr", "/usr"),
    *("--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib"),
    *("--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev"),
    *("--tmpfs", "/tmp", "/usr/bin/true"),
)
Run = Callable[[], Awaitable[object]]


class Alone:
    """The tree of a floor: one process, which ends by itself."""

    async def end(self, child: Child) -> None:
        await asyncio.shield(child.exited)

    def verdict(self, child: Child) -> Verdict:
        return from_status(child.exited.result())


def started(*argv: str) -> Run:
    async def run() -> None:
        child = Child(Launch(argv, {"PATH": "/usr/bin:/bin"}), Alone(), Caps(1000, 1000))
        child.end_input()
        assert (await child.finish(60)).ok

    return run


def in_sandbox(sandbox: Sandbox) -> Run:
    async def run() -> None:
        result = await sandbox.exec(["/usr/bin/true"], timeout_s=60)
        assert result.ok, (sandbox.ref.level, result)

    return run


def life(provider: SandboxProvider) -> Run:
    """Make, use once and end."""

    async def run() -> None:
        sandbox = await provider.create(SandboxSpec())
        await sandbox.exec(["/usr/bin/true"], timeout_s=60)
        await sandbox.terminate()

    return run


async def timed(run: Run) -> float:
    begun = time.perf_counter()
    await run()
    return time.perf_counter() - begun


async def at_once(run: Run, count: int, limit: int) -> tuple[list[float], float]:
    """Seconds of each, and runs a second."""
    gate, seconds = asyncio.Semaphore(limit), list[float]()

    async def one() -> None:
        async with gate:
            seconds.append(await timed(run))

    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(one())
    return seconds, count / (time.perf_counter() - begun)


@dataclass
class Field:
    """Who takes part."""

    local: LocalProvider
    commands: dict[str, Run] = field(default_factory=dict[str, Run])
    lives: dict[str, Run] = field(default_factory=dict[str, Run])


@contextlib.asynccontextmanager
async def contestants(scratch: Path) -> AsyncGenerator[Field]:
    providers: dict[str, SandboxProvider] = {
        "bare process": BareProvider(scratch / "bare"),
        "local": LocalProvider(scratch / "local"),
    }
    floors: dict[str, Run] = {"plain bubblewrap": started(*_PLAIN)}
    name = ""
    if not why_not():
        providers["container"] = containers(scratch / "container")
        name = f"manta-bench-{scratch.name}"
        box = engine()
        shut = ("--network", "none", *ulimits(), "--volume", "/usr:/usr:ro")
        box.ask("run", "--detach", "--name", name, *shut, IMAGE, "/usr/bin/sleep", "3600")
        floors[f"{box.name} exec"] = started(*box.argv("exec", name, "/usr/bin/true"))
    field = Field(providers["local"])  # pyright: ignore[reportArgumentType] - it is one
    for label, provider in providers.items():
        field.commands[label] = in_sandbox(await provider.create(SandboxSpec()))
        field.lives[label] = life(provider)
        if label == "bare process":
            field.commands |= floors
    try:
        yield field
    finally:
        for provider in providers.values():
            await provider.sweep({})
            await provider.close()
        if name:
            engine().ask("rm", "--force", name)


async def compare(field: Field, measured: Measured, rounds: int) -> None:
    for _ in range(rounds):
        for name, run in field.commands.items():
            slow = name.endswith("exec") or name == "container"
            alone = [await timed(run) for _ in range(COMMANDS // (4 if slow else 1))]
            each, rate = await at_once(run, TOGETHER // (3 if slow else 1), AT_ONCE)
            measured.command(name, alone, each, rate)
        for name, run in field.lives.items():
            slow = name == "container"
            alone = [await timed(run) for _ in range(2 if slow else LIVES)]
            each, rate = await at_once(run, AT_ONCE // (4 if slow else 1), AT_ONCE)
            measured.life(name, alone, each, rate)


def repository(place: Path) -> tuple[bytes, str]:
    """Two hundred files and one commit."""
    place.mkdir()
    git(place, "init", "-q")
    for number in range(FILES):
        (place / f"module_{number}.py").write_text(f"x = {number}\n" * 50)
    git(place, "add", ".")
    git(place, "commit", "-q", "-m", "many")
    commit = git(place, "rev-parse", "HEAD").decode().strip()
    return git(place, "bundle", "create", "-q", "-", "HEAD"), commit


async def prepared(provider: LocalProvider, scratch: Path, measured: Measured) -> None:
    """From a snapshot of a repository to the first command's end, alone and four at once."""
    bundle, commit = repository(scratch / "repository")
    origin = await provider.create(SandboxSpec())
    await origin.exec(["/usr/bin/true"], timeout_s=60)
    measured.one(
        "checked out from a bundle", [await timed(lambda: origin.git_import([bundle], commit))]
    )
    spec = SandboxSpec(snapshot=await origin.snapshot())

    async def ready() -> None:
        sandbox = await provider.create(spec)
        assert (await sandbox.exec(["/usr/bin/true"], timeout_s=60)).ok

    async def rested() -> None:
        await provider.settled()

    first = await timed(ready)
    alone: list[float] = []
    together: list[float] = []
    for _ in range(LIVES):
        await rested()
        alone.append(await timed(ready))
        await rested()
        each, _ = await at_once(ready, BEGINNERS, BEGINNERS)
        together += each
    measured.one("first from a new snapshot: copied", [first])
    measured.one("ready, from the stock", alone)
    measured.one(f"ready, {BEGINNERS} at once, from the stock", together)


async def output(sandbox: Sandbox, measured: Measured) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = await sandbox.exec("head -c 1000000000 /dev/zero", timeout_s=300)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert result.stdout_total == 1_000_000_000, result.ended
    measured.streamed = (1000 / result.seconds, grown)


async def reads(sandbox: Sandbox, measured: Measured) -> None:
    await sandbox.write_file("small.txt", b"x" * 1000)
    for _ in range(5):
        begun = time.perf_counter()
        for _ in range(READS // 5):
            await sandbox.read_file("small.txt")
        measured.reads.append(READS / 5 / (time.perf_counter() - begun))


async def main(rounds: int) -> None:
    measured = Measured(rounds)
    with tempfile.TemporaryDirectory(prefix="manta-bench-") as directory:
        scratch = Path(directory)
        async with contestants(scratch) as field:
            sandbox = await field.local.create(SandboxSpec())
            await output(sandbox, measured)
            await reads(sandbox, measured)
            await prepared(field.local, scratch, measured)
            await compare(field, measured, rounds)
    print(write(measured))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    asyncio.run(main(parser.parse_args().rounds))
