"""A player's workspaces: made ready once per run, found again, made anew where they are gone."""

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import cast

import pytest

from actors.hands import Hands
from actors.models.gateway import ModelGateway
from actors.sandbox.local.bare import BareProvider
from actors.sandbox.local.provider import LocalProvider
from actors.sandbox.protocol import Capabilities, SandboxProvider
from actors.tools.recall import Recaller
from orchestration.clock import ManualClock
from orchestration.errors import UsageError
from orchestration.ids import BlobId, CommitId, RunId, StepGrant, StepKey
from orchestration.messages import Preparation, TreeRef
from orchestration.workflow.in_memory import InMemoryJournal
from orchestration.workflow.journal import NewRecord, RecordKind
from tests.contracts.sandbox_git import Origin, template

__all__ = ["template"]
pytestmark = pytest.mark.slow
RUN = RunId("run-1")
SETUP = Preparation(command="mkdir -p build; date +%N%s > build/made")


@dataclass
class Scene:
    """One run's journal, and players whose hands come and go."""

    provider: SandboxProvider
    tree: TreeRef
    journal: InMemoryJournal = field(default_factory=lambda: InMemoryJournal(ManualClock()))

    async def begin(self, bundle: bytes) -> None:
        await self.journal.create_run(RUN, workflow="w", definition="d", title="t", body="{}")
        self.lease = await self.journal.claim(RUN, "owner")
        await self.journal.put_blob(bundle)

    async def grant(self, step: str, attempt: int = 1) -> StepGrant:
        key = StepKey(step)
        await self.journal.append(self.lease, [NewRecord(RecordKind.STARTED, key, attempt)])
        return StepGrant(RUN, key, self.lease.epoch, attempt)

    def hands(self, setup: Preparation | None = SETUP) -> Hands:
        return Hands(
            name="coder-1",
            journal=self.journal,
            gateway=cast("ModelGateway", None),
            sandboxes=self.provider,
            recaller=cast("Recaller", None),
            clock=ManualClock(),
            setup=setup,
        )

    async def notes(self) -> list[str]:
        records = await self.journal.read(RUN, kinds=[RecordKind.NOTE])
        return [record.body for record in records]


@pytest.fixture
async def scene(tmp_path: Path, template: Origin) -> AsyncGenerator[Scene]:
    provider = LocalProvider(tmp_path / "sandboxes")
    blob = BlobId(sha256(template.bundle).hexdigest())
    scene = Scene(provider, TreeRef(commit=CommitId(template.commit), bundles=(blob,)))
    await scene.begin(template.bundle)
    yield scene
    await provider.sweep({})
    await provider.close()


async def test_parallel_players_share_one_set_up(scene: Scene) -> None:
    hands, grants = scene.hands(), [await scene.grant(f"build[{n}]/code") for n in range(4)]
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(hands.workspace(grant, scene.tree, task=str(number)))
            for number, grant in enumerate(grants)
        ]
    boxes = [task.result() for task in tasks]
    assert len({box.ref.id for box in boxes}) == 4
    assert len({await box.read_file("build/made") for box in boxes}) == 1
    later = await scene.hands().workspace(await scene.grant("later"), scene.tree, task="x")
    assert await later.read_file("build/made") == await boxes[0].read_file("build/made")
    assert len([note for note in await scene.notes() if "making workspaces ready" in note]) == 1


async def test_a_later_commit_keeps_what_set_up_made(scene: Scene) -> None:
    hands = scene.hands()
    first = await hands.workspace(await scene.grant("one"), scene.tree, task="1")
    await first.write_file("a.txt", b"two\n")
    commit, bundle = await first.git_export(scene.tree.commit, message="second")
    tree = scene.tree.plus(CommitId(commit), await scene.journal.put_blob(bundle))
    second = await hands.workspace(await scene.grant("two"), tree, base=scene.tree.commit, task="2")
    assert await second.read_file("a.txt") == b"two\n"
    assert await second.read_file("build/made") == await first.read_file("build/made")
    said = await second.exec("git rev-parse HEAD base; git status --porcelain", timeout_s=9)
    assert said.stdout.decode().split() == [commit, scene.tree.commit]


async def test_a_snapshot_that_is_gone_is_made_again(scene: Scene) -> None:
    await scene.hands().workspace(await scene.grant("one"), scene.tree, task="1")
    await scene.provider.sweep({"run": RUN})
    sandbox = await scene.hands().workspace(await scene.grant("two"), scene.tree, task="2")
    assert await sandbox.read_file("build/made")
    assert len([note for note in await scene.notes() if "making workspaces ready" in note]) == 2


async def test_a_set_up_that_fails_fails_the_step_with_its_words(scene: Scene) -> None:
    hands = scene.hands(Preparation(command="echo broken pipe works >&2; exit 9"))
    with pytest.raises(UsageError, match=r"exit 9.*broken pipe works"):
        await hands.workspace(await scene.grant("one"), scene.tree, task="1")


async def test_a_level_without_snapshots_sets_up_each_workspace(
    scene: Scene, tmp_path: Path
) -> None:
    scene.provider = BareProvider(tmp_path / "bare")
    scene.provider.capabilities = Capabilities()
    for number in ("1", "2"):
        sandbox = await scene.hands().workspace(await scene.grant(number), scene.tree, task=number)
        assert await sandbox.read_file("build/made")
    await scene.provider.sweep({})
    await scene.provider.close()


async def test_a_later_attempt_finds_the_workspace_as_it_was_left(scene: Scene) -> None:
    first = await scene.hands(None).workspace(await scene.grant("one", 1), scene.tree, task="1")
    await first.write_file("half", b"done")
    second = await scene.hands(None).workspace(await scene.grant("one", 2), scene.tree, task="1")
    assert second.ref.id == first.ref.id
    assert await second.read_file("half") == b"done"


async def test_work_of_a_step_that_waits_is_there_again_in_a_new_sandbox(scene: Scene) -> None:
    hands = scene.hands()
    grant = await scene.grant("one", 1)
    first = await hands.workspace(grant, scene.tree, task="1")
    await first.write_file("new.py", b"half done\n")
    await first.exec("rm run.sh; echo two > a.txt", timeout_s=9)
    await hands.save(grant, first)
    await scene.provider.sweep({"run": RUN})
    again = await scene.hands().workspace(await scene.grant("one", 2), scene.tree, task="1")
    assert again.ref.id != first.ref.id
    assert await again.read_file("new.py") == b"half done\n"
    said = await again.exec("git rev-parse HEAD; git status --porcelain", timeout_s=9)
    lines = said.stdout.decode().splitlines()
    assert lines[0] == scene.tree.commit
    assert sorted(line.split()[-1] for line in lines[1:]) == ["a.txt", "new.py", "run.sh"]
    commit, _ = await again.git_export(scene.tree.commit, message="whole")
    assert commit
    assert (await scene.hands().workspace(await scene.grant("one", 3), scene.tree, task="1")).ref


async def test_saved_work_of_another_base_is_left_aside(scene: Scene) -> None:
    hands, grant = scene.hands(None), await scene.grant("one", 1)
    first = await hands.workspace(grant, scene.tree, task="1")
    await first.write_file("new.py", b"1")
    await hands.save(grant, first)
    commit, bundle = await first.git_export(scene.tree.commit, message="c")
    await scene.provider.sweep({"run": RUN})
    tree = scene.tree.plus(CommitId(commit), await scene.journal.put_blob(bundle))
    again = await hands.workspace(await scene.grant("one", 2), tree, task="1")
    said = await again.exec("git status --porcelain; git rev-parse HEAD", timeout_s=9)
    assert said.stdout.decode().split() == [commit]


async def test_what_is_told_once_is_told_by_whoever_comes_first(scene: Scene) -> None:
    first, second = await scene.grant("one"), await scene.grant("two")
    await scene.hands().note_once(first, 'no "server"')
    await scene.hands().note_once(second, 'no "server"')
    await scene.hands().note_once(second, "server")
    assert [json.loads(body)["text"] for body in await scene.notes()] == ['no "server"', "server"]
