"""What a sandbox costs: a command, a sandbox, a prepared workspace, output and file reads.

    .venv/bin/python -m benchmarks.sandbox

Contestants take turns in rounds, so that a busy machine is busy for all. The floor is one plain
bubblewrap with the same namespaces, started by the same event loop and nothing around it.
"""

import asyncio
import resource
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from actors.sandbox.bare import BareProvider
from actors.sandbox.local import LocalProvider
from actors.sandbox.process import Caps, Child, Launch, Verdict, from_status
from actors.sandbox.protocol import Sandbox, SandboxProvider, SandboxSpec
from tests.contracts.sandbox_git import git

ROUNDS, COMMANDS, AT_ONCE, TOGETHER = 10, 20, 32, 128
READS, LIVES, FILES = 20_000, 20, 200
_PLAIN = (
    *("/usr/bin/bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/usr", "/usr"),
    *("--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib"),
    *("--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev"),
    *("--tmpfs", "/tmp", "/usr/bin/true"),
)
Run = Callable[[], Awaitable[object]]


class Alone:
    """The tree of the floor: one process, which ends by itself."""

    async def end(self, child: Child) -> None:
        await asyncio.shield(child.exited)

    def verdict(self, child: Child) -> Verdict:
        return from_status(child.exited.result())


async def plain() -> None:
    child = Child(Launch(_PLAIN, {}), Alone(), Caps(1000, 1000))
    child.end_input()
    assert (await child.finish(30)).ok


def in_sandbox(sandbox: Sandbox) -> Run:
    async def run() -> None:
        assert (await sandbox.exec(["/usr/bin/true"], timeout_s=30)).ok

    return run


async def timed(run: Run) -> float:
    started = time.perf_counter()
    await run()
    return time.perf_counter() - started


async def at_once(run: Run, count: int, limit: int) -> float:
    """Runs a second."""
    gate = asyncio.Semaphore(limit)

    async def one() -> None:
        async with gate:
            await run()

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(one())
    return count / (time.perf_counter() - started)


def told(name: str, seconds: list[float]) -> None:
    ordered = sorted(seconds)
    p95 = ordered[int(len(ordered) * 0.95)]
    print(f"{name:<44}{statistics.median(ordered) * 1e3:>9.1f} ms{p95 * 1e3:>9.1f} ms p95")


async def commands(runs: dict[str, Run]) -> None:
    alone: dict[str, list[float]] = {name: [] for name in runs}
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            alone[name] += [await timed(run) for _ in range(COMMANDS)]
            rates[name].append(await at_once(run, TOGETHER, AT_ONCE))
    for name in runs:
        told(f"command alone, {name}", alone[name])
    for name in runs:
        print(f"commands, 32 at once, {name:<22}{statistics.median(rates[name]):>9.0f} /s")
    floor = statistics.median(alone["plain bubblewrap"])
    print(f"local / plain bubblewrap{statistics.median(alone['local']) / floor:>29.2f} x")


async def lives(name: str, provider: SandboxProvider) -> None:
    """Make, use once and end."""

    async def life() -> None:
        sandbox = await provider.create(SandboxSpec())
        await sandbox.exec(["/usr/bin/true"], timeout_s=30)
        await sandbox.terminate()

    told(f"sandbox made, used once, ended, {name}", [await timed(life) for _ in range(LIVES)])


async def prepared(provider: SandboxProvider, scratch: Path) -> None:
    """From a snapshot of a repository to the first command's end."""
    repository = scratch / "repository"
    repository.mkdir()
    git(repository, "init", "-q")
    for number in range(FILES):
        (repository / f"module_{number}.py").write_text(f"x = {number}\n" * 50)
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "many")
    commit = git(repository, "rev-parse", "HEAD").decode().strip()
    bundle = git(repository, "bundle", "create", "-q", "-", "HEAD")
    origin = await provider.create(SandboxSpec())
    imported = await timed(lambda: origin.git_import([bundle], commit))
    snapshot = await origin.snapshot()

    async def ready() -> None:
        sandbox = await provider.create(SandboxSpec(snapshot=snapshot))
        assert (await sandbox.exec(["/usr/bin/true"], timeout_s=30)).ok

    told(f"git import of {FILES} files", [imported])
    told(f"prepared {FILES}-file workspace, ready", [await timed(ready) for _ in range(LIVES)])


async def output(sandbox: Sandbox) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = await sandbox.exec("head -c 1000000000 /dev/zero", timeout_s=120)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert result.stdout_total == 1_000_000_000, result.ended
    print(f"1 GB of output{1000 / result.seconds:>39.0f} MB/s, memory grew {grown:.1f} MB")


async def reads(sandbox: Sandbox) -> None:
    await sandbox.write_file("small.txt", b"x" * 1000)
    started = time.perf_counter()
    for _ in range(READS):
        await sandbox.read_file("small.txt")
    print(f"small file reads{READS / (time.perf_counter() - started):>37.0f} /s")


async def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        local, bare = LocalProvider(scratch / "local"), BareProvider(scratch / "bare")
        sandbox = await local.create(SandboxSpec())
        naked = await bare.create(SandboxSpec())
        await commands(
            {
                "bare process": in_sandbox(naked),
                "plain bubblewrap": plain,
                "local": in_sandbox(sandbox),
            }
        )
        await lives("local", local)
        await lives("bare", bare)
        await prepared(local, scratch)
        await output(sandbox)
        await reads(sandbox)
        for provider in (local, bare):
            await provider.sweep({})
            await provider.close()


if __name__ == "__main__":
    asyncio.run(main())
