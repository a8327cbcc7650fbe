"""What a player works with. Opened once in its process; holds only that process's secrets."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Protocol

from pydantic import TypeAdapter

from actors.agent.tracing import NoTracer, Tracer
from actors.meter import WORKSPACES, Meter, Silence
from actors.models.gateway import ModelGateway
from actors.redoing import redo
from actors.sandbox.keeping import labels_of
from actors.sandbox.opening import find_again, require
from actors.sandbox.preparing import prepare, run_setup
from actors.sandbox.protocol import (
    Sandbox,
    SandboxError,
    SandboxLimits,
    SandboxProvider,
    SandboxRef,
    SandboxSpec,
)
from actors.tools.equipment import Equipment
from actors.tools.recall import Recaller
from actors.tools.room import ROOM
from orchestration.clock import Clock
from orchestration.errors import NotFoundError
from orchestration.ids import BlobId, CommitId, RunId, StepGrant, StepKey
from orchestration.messages import Preparation, TreeRef
from orchestration.workflow.journal import Journal, NewRecord, RecordKind

ENVIRONMENT = {"PYTHONDONTWRITEBYTECODE": "1"}
CACHES = b"__pycache__/\n*.pyc\n.pytest_cache/\n.hypothesis/\n.mypy_cache/\n.ruff_cache/\n"
"""What test runs leave behind, kept out of every commit."""
GIT_SECONDS = 60.0
BUNDLES_KEPT = 8
"""Git bundles kept in a player's memory, the latest used ones."""


FACT = TypeAdapter(dict[str, str])


@dataclass
class Hands:
    """The journal, the gateway, the sandboxes and memory, as one player reaches them."""

    name: str
    journal: Journal
    gateway: ModelGateway
    sandboxes: SandboxProvider
    recaller: Recaller
    clock: Clock
    toolchains: tuple[str, ...] = ()
    limits: SandboxLimits = field(default_factory=SandboxLimits)
    setup: Preparation | None = None
    """How this run's workspaces are made ready before anybody works in them."""
    equipment: Equipment = field(default_factory=Equipment)
    house: str = ""
    """Whose sandboxes these are; see `labels_of`."""
    meter: Meter = field(default_factory=Silence)
    tracer: Tracer = field(default_factory=NoTracer)
    _preparing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _bundles: OrderedDict[BlobId, bytes] = field(default_factory=OrderedDict[BlobId, bytes])

    async def workspace(
        self, grant: StepGrant, tree: TreeRef, *, base: CommitId | None = None, **labels: str
    ) -> Sandbox:
        """A sandbox with these labels whose workspace is at `tree`, made or found again.

        A later attempt of the same step finds the workspace as the earlier one left it. The
        reference is journaled before first use. With `base`, a tag of that name points there.
        """
        asked = self.clock.ticks()
        wanted = {**labels_of(grant.run_id, self.house), **labels}
        seen = (*self.toolchains, *([str(ROOM)] if self.equipment.languages else []))
        spec = SandboxSpec(labels=wanted, env=ENVIRONMENT, toolchains=seen, limits=self.limits)
        ready = await self._latest(grant, "prepared")
        sandbox, at = await self._opened(grant, spec, tree)
        await self._record(grant, sandbox.ref, state="opened")
        if not ready or ready["id"] != sandbox.ref.id:
            if at != tree.commit:
                await self._check_out(sandbox, tree, bare=not at)
            await self._restore(grant, sandbox, tree.commit)
            await sandbox.write_file(".git/info/exclude", CACHES)
            if base:
                await sandbox.write_file(".git/refs/tags/base", f"{base}\n".encode())
            await self._record(grant, sandbox.ref, state="prepared", commit=tree.commit)
        took = self.clock.ticks() - asked
        self.meter.observe(WORKSPACES, took, level=self.sandboxes.level)
        return sandbox

    async def save(self, grant: StepGrant, sandbox: Sandbox) -> None:
        """Keep the work of a step that has to wait, should its sandbox not outlive the wait."""
        ready = await self._latest(grant, "prepared") or {}
        base = ready.get("commit")
        if not base or ready["id"] != sandbox.ref.id:
            return
        commit, bundle = await sandbox.git_export(base, message="Work in progress")
        if commit:
            blob = await self.journal.put_blob(bundle)
            kept = {"commit": commit, "base": base, "bundle": blob}
            await self._record(grant, sandbox.ref, state="saved", **kept)

    async def redo(self, grant: StepGrant, sandbox: Sandbox) -> None:
        """Bring a workspace that had to be made anew to where the step's agents had come.

        Call it once the workspace is as it was when they began.
        """
        if grant.attempt > 1:
            fact = {"level": sandbox.ref.level, "id": sandbox.ref.id, "state": "redone"}
            done = await redo(self.journal, grant, sandbox, FACT.dump_json(fact).decode())
            if done:
                await self.note(grant, f"the workspace was lost; {done} calls were made again")

    async def _restore(self, grant: StepGrant, sandbox: Sandbox, base: CommitId) -> None:
        """Give a workspace that had to be made anew the uncommitted work of the one before."""
        saved = await self._latest(grant, "saved")
        if saved and saved["base"] == base:
            bundle = await self.journal.get_blob(BlobId(saved["bundle"]))
            await sandbox.git_import([bundle], saved["commit"])
            back = await sandbox.exec(["git", "reset", "--quiet", base], timeout_s=GIT_SECONDS)
            if not back.ok:
                said = back.stderr.decode(errors="replace").strip()[-300:]
                raise SandboxError(f"saved work cannot be restored: {said}", "use a fresh sandbox")

    async def _opened(
        self, grant: StepGrant, spec: SandboxSpec, tree: TreeRef
    ) -> tuple[Sandbox, str]:
        """A sandbox, and the commit that is checked out in it and ready, if any."""
        found = await find_again(self.sandboxes, spec)
        if found:
            return found, ""
        if self.setup is None or not self.sandboxes.capabilities.snapshot:
            return await self.sandboxes.create(spec), ""
        async with self._preparing:
            for snapshot, commit in await self._snapshots(grant.run_id):
                with suppress(NotFoundError):
                    return await self.sandboxes.create(replace(spec, snapshot=snapshot)), commit
            snapshot = await self._make_ready(grant, spec, tree, self.setup)
            return await self.sandboxes.create(replace(spec, snapshot=snapshot)), tree.commit

    async def _make_ready(
        self, grant: StepGrant, spec: SandboxSpec, tree: TreeRef, setup: Preparation
    ) -> str:
        """Set up once for all workspaces of the run; the name of the snapshot."""
        await self.note(grant, f"making workspaces ready: {setup.command}")
        run = labels_of(grant.run_id, self.house)
        ours = replace(spec, labels={**run, "role": "setup", "by": self.name})
        bundles = [await self.bundle(blob) for blob in tree.bundles]
        made = await prepare(self.sandboxes, ours, bundles, tree.commit, setup)
        fact = {"level": self.sandboxes.level, "id": made.snapshot, "state": "snapshot"}
        await self._tell(grant, {**fact, "commit": tree.commit})
        lost = f"; not kept, as git does not ignore it: {', '.join(made.dropped)}"
        shown = lost[:300] if made.dropped else ""
        await self.note(grant, f"workspaces are ready after {made.seconds:.1f} s{shown}")
        return made.snapshot

    async def _check_out(self, sandbox: Sandbox, tree: TreeRef, *, bare: bool) -> None:
        """Bring a workspace to a tree; set it up where no snapshot could."""
        await sandbox.git_import([await self.bundle(b) for b in tree.bundles], tree.commit)
        if bare and self.setup and not self.sandboxes.capabilities.snapshot:
            require(self.sandboxes, ("snapshot",) if self.setup.egress else ())
            await run_setup(sandbox, self.setup)

    async def bundle(self, blob: BlobId) -> bytes:
        """A git bundle from the store, or from memory."""
        if blob not in self._bundles:
            self._bundles[blob] = await self.journal.get_blob(blob)
            while len(self._bundles) > BUNDLES_KEPT:
                self._bundles.popitem(last=False)
        self._bundles.move_to_end(blob)
        return self._bundles[blob]

    async def note(self, grant: StepGrant, text: str) -> None:
        """Tell people what this player is doing."""
        body = FACT.dump_json({"who": self.name, "text": text}).decode()
        await self.journal.append_under(
            grant, [NewRecord(RecordKind.NOTE, grant.step_key, grant.attempt, body)]
        )

    async def note_once(self, grant: StepGrant, text: str) -> None:
        """Tell people, unless this run has told them."""
        told = await self.journal.read(grant.run_id, kinds=[RecordKind.NOTE])
        ending = FACT.dump_json({"text": text}).decode()[1:]
        if not any(record.body.endswith(ending) for record in told):
            await self.note(grant, text)

    async def close(self) -> None:
        await self.sandboxes.close()
        await self.journal.close()

    async def _latest(self, grant: StepGrant, state: str) -> dict[str, str] | None:
        """What was last journaled of this step's sandboxes, by any of its attempts."""
        facts = await self._facts(grant.run_id, grant.step_key)
        return next((fact for fact in reversed(facts) if fact["state"] == state), None)

    async def _snapshots(self, run_id: RunId) -> list[tuple[str, str]]:
        """Names and commits of what set-up left, newest first."""
        facts = await self._facts(run_id, None)
        kept = [(fact["id"], fact["commit"]) for fact in facts if fact["state"] == "snapshot"]
        return kept[::-1]

    async def _facts(self, run_id: RunId, step: StepKey | None) -> list[dict[str, str]]:
        """What is journaled of sandboxes."""
        records = await self.journal.read(run_id, step_key=step, kinds=[RecordKind.SANDBOX])
        return [FACT.validate_json(record.body) for record in records]

    async def _record(self, grant: StepGrant, ref: SandboxRef, **facts: str) -> None:
        await self._tell(grant, {"level": ref.level, "id": ref.id, **facts})

    async def _tell(self, grant: StepGrant, fact: Mapping[str, str]) -> None:
        body = FACT.dump_json(dict(fact)).decode()
        await self.journal.append_under(
            grant, [NewRecord(RecordKind.SANDBOX, grant.step_key, grant.attempt, body)]
        )


class Setup(Protocol):
    """Shipped to a player's process; opens its hands there. Picklable, holds no secret."""

    async def hands(self, name: str) -> Hands: ...
