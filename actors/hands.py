"""What a player works with. Opened once in its process; holds only that process's secrets."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import TypeAdapter

from actors.models.gateway import ModelGateway
from actors.sandbox.opening import connect_or_create
from actors.sandbox.protocol import (
    Sandbox,
    SandboxLimits,
    SandboxProvider,
    SandboxRef,
    SandboxSpec,
)
from actors.tools.recall import Recaller
from orchestration.clock import Clock
from orchestration.ids import BlobId, CommitId, StepGrant
from orchestration.messages import TreeRef
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
    _bundles: OrderedDict[BlobId, bytes] = field(default_factory=OrderedDict[BlobId, bytes])

    async def workspace(
        self, grant: StepGrant, tree: TreeRef, *, base: CommitId | None = None, **labels: str
    ) -> Sandbox:
        """A sandbox with these labels whose workspace is at `tree`, made or found again.

        A later attempt of the same step finds the workspace as the earlier one left it. The
        reference is journaled before first use. With `base`, a tag of that name points there.
        """
        wanted = {"run": grant.run_id, **labels}
        spec = SandboxSpec(
            labels=wanted, env=ENVIRONMENT, toolchains=self.toolchains, limits=self.limits
        )
        before = await self._prepared(grant)
        sandbox = await connect_or_create(self.sandboxes, spec)
        await self._record(grant, sandbox.ref, state="opened")
        if before != sandbox.ref.id:
            await sandbox.git_import([await self.bundle(b) for b in tree.bundles], tree.commit)
            await sandbox.write_file(".git/info/exclude", CACHES)
            if base:
                await sandbox.exec(["git", "tag", "--force", "base", base], timeout_s=GIT_SECONDS)
            await self._record(grant, sandbox.ref, state="prepared")
        return sandbox

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

    async def close(self) -> None:
        await self.sandboxes.close()
        await self.journal.close()

    async def _prepared(self, grant: StepGrant) -> str:
        """The id of the sandbox that an earlier attempt of this step prepared, or ""."""
        records = await self.journal.read(
            grant.run_id, step_key=grant.step_key, kinds=[RecordKind.SANDBOX]
        )
        facts = [FACT.validate_json(record.body) for record in records]
        ready = [fact["id"] for fact in facts if fact["state"] == "prepared"]
        return ready[-1] if ready else ""

    async def _record(self, grant: StepGrant, ref: SandboxRef, *, state: str) -> None:
        fact: Mapping[str, str] = {"level": ref.level, "id": ref.id, "state": state}
        body = FACT.dump_json(dict(fact)).decode()
        await self.journal.append_under(
            grant, [NewRecord(RecordKind.SANDBOX, grant.step_key, grant.attempt, body)]
        )


class Setup(Protocol):
    """Shipped to a player's process; opens its hands there. Picklable, holds no secret."""

    async def hands(self, name: str) -> Hands: ...
