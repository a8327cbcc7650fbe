"""Sandboxes of a run that waits are put to rest; those that nobody owns are ended."""

from collections.abc import Callable
from pathlib import Path

import pytest

from actors.sandbox.in_memory import InMemoryProvider
from actors.sandbox.keeping import labels_of, orphans, rest, sweep_orphans
from actors.sandbox.local.bare import BareProvider
from actors.sandbox.protocol import (
    SandboxProvider,
    SandboxSpec,
    SandboxUnavailableError,
    Suspended,
)
from orchestration.clock import ManualClock
from orchestration.ids import RunId
from orchestration.workflow.in_memory import InMemoryJournal
from orchestration.workflow.journal import RunStatus

RUN = RunId("waiting")


@pytest.fixture
def make() -> Callable[[], SandboxProvider]:
    return InMemoryProvider


async def a_run(journal: InMemoryJournal, name: str, status: RunStatus | None) -> None:
    run = RunId(name)
    await journal.create_run(run, workflow="w", definition="d", title="t", body="{}")
    lease = await journal.claim(run, "owner")
    if status is not None:
        await journal.append(lease, (), status=status, release=True)


@pytest.mark.parametrize(
    ("policy", "works", "kept"), [("keep", True, True), ("pause", False, True), ("discard", 0, 0)]
)
async def test_a_waiting_runs_sandboxes_are_kept_paused_or_discarded(
    provider: SandboxProvider, policy: Suspended, works: bool, kept: bool
) -> None:
    mine = await provider.create(SandboxSpec(labels={"run": RUN, "role": "coder"}))
    other = await provider.create(SandboxSpec(labels={"run": "busy", "role": "coder"}))
    await mine.write_file("work", b"1")
    await rest(provider, labels_of(RUN, ""), policy)
    assert (await other.exec(["true"], timeout_s=9)).ok
    assert bool(await provider.find({"run": RUN})) is bool(kept)
    if kept and not works:
        with pytest.raises(SandboxUnavailableError):
            await mine.read_file("work")
    if kept:
        assert await (await provider.connect(mine.ref)).read_file("work") == b"1"


async def test_a_level_that_cannot_pause_keeps(tmp_path: Path) -> None:
    provider = BareProvider(tmp_path)
    mine = await provider.create(SandboxSpec(labels={"run": RUN}))
    await rest(provider, labels_of(RUN, ""), "pause")
    assert (await mine.exec(["true"], timeout_s=9)).ok
    await provider.sweep({})
    await provider.close()


async def test_orphans_are_ended_and_never_a_live_runs_sandbox(provider: SandboxProvider) -> None:
    journal = InMemoryJournal(ManualClock())
    states = {
        "driven": None,
        "waits": RunStatus.SUSPENDED,
        "dead-letter": RunStatus.DEAD_LETTER,
        "done": RunStatus.DONE,
        "failed": RunStatus.FAILED,
        "cancelled": RunStatus.CANCELLED,
    }
    for name, status in states.items():
        await a_run(journal, name, status)
    for name in (*states, "unknown"):
        for role in ("coder", "verify"):
            await provider.create(SandboxSpec(labels={"run": name, "role": role}))
    await provider.create(SandboxSpec(labels={"somebody": "else's"}))
    gone = {"done", "failed", "cancelled", "unknown"}
    assert {ref.labels["run"] for ref in await orphans(provider, journal)} == gone
    swept = await sweep_orphans(provider, journal)
    assert sorted(ref.labels["run"] for ref in swept) == sorted([*gone, *gone])
    left = {ref.labels.get("run") for ref in await provider.find({})}
    assert left == {"driven", "waits", "dead-letter", None}
    assert await sweep_orphans(provider, journal) == []


async def test_another_houses_sandboxes_are_left_alone(provider: SandboxProvider) -> None:
    journal = InMemoryJournal(ManualClock())
    await a_run(journal, "done", RunStatus.DONE)
    for house in ("ours", "theirs", ""):
        for name in ("done", "unknown"):
            await provider.create(SandboxSpec(labels=labels_of(RunId(name), house)))
    swept = await sweep_orphans(provider, journal, "ours")
    assert sorted(ref.labels["run"] for ref in swept) == ["done", "unknown"]
    assert {ref.labels.get("house") for ref in await provider.find({})} == {"theirs", None}
    await sweep_orphans(provider, journal)
    assert {ref.labels.get("house") for ref in await provider.find({})} == {"theirs"}
