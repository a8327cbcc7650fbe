"""TypeScript from npm, tested by vitest that set-up installs: the only step with a network."""

import asyncio
import json
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from actors.hands import Hands
from actors.models.gateway import ModelReply, ModelRequest
from actors.models.scripted import FunctionGateway
from actors.sandbox.local.provider import LocalProvider
from actors.sandbox.network.relay import Streams
from cluster.demo.sample import git
from orchestration.messages import Preparation
from tests.journeys.bench import APPROVED, TOOLCHAINS, Bench, delivered, finish, plan, says, task
from tests.journeys.packages import fetch_npm

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(not shutil.which("npm"), reason="npm is not installed"),
]
REGISTRY = "registry.npmjs.org"
INSTALL = "npm install --no-save --no-package-lock --ignore-scripts --omit=dev --legacy-peer-deps"
SETUP = Preparation(command=f"{INSTALL} vitest@2.1.9", egress=(f"{REGISTRY}:443",))
CODE = "src/tiny-invariant.ts"
LAST = "  throw new Error(value);\n}\n"
UNREACHABLE = f"""{LAST}
/** Call it where no value can be left: `default: unreachable(kind)`. */
export function unreachable(value: never): never {{
  invariant(false, () => `unreachable value ${{JSON.stringify(value)}}`);
}}
"""
TEST = """import { expect, it } from 'vitest';
import * as tiny from '../src/tiny-invariant';

it('names the value that cannot be', () => {
  expect(() => tiny.unreachable('green' as never)).toThrow(
    'Invariant failed: unreachable value "green"',
  );
});
"""


@dataclass
class Installing(Bench):
    """A bench whose workspaces are set up from npm."""

    def provider(self) -> LocalProvider:
        async def dial(host: str, port: int) -> Streams:
            # Wherever this machine has its registry: a mirror's address need not be public.
            return await asyncio.open_connection(host, port)

        return LocalProvider(self.place / "sandboxes", toolchains=TOOLCHAINS, dial=dial)

    async def hands(self, name: str) -> Hands:
        return replace(await super().hands(name), setup=SETUP)


def mind(request: ModelRequest) -> ModelReply:
    """Tries the network before it writes the test, then does what the task says."""
    if request.role == "architect":
        return plan({**task("unreachable"), "files": [CODE, "test/unreachable.test.ts"]})
    if request.role != "coder":
        return APPROVED
    if request.turn > 1:
        tried = str(request.messages[3]["content"])
        assert request.conversation.endswith("write_code") or "Could not resolve" in tried, tried
        return finish(title="feat: add unreachable", notes="")
    if request.conversation.endswith("write_code"):
        edits = [{"old": LAST, "new": UNREACHABLE}]
        return says(("edit", {"path": CODE, "edits": edits}))
    reach = f"test -e node_modules/vitest && curl -sS -m 5 https://{REGISTRY} 2>&1 || true"
    write = {"path": "test/unreachable.test.ts", "content": TEST}
    return says(("run", {"command": reach}), ("write", write))


async def test_a_runner_that_only_setup_could_fetch_proves_a_change_in_typescript(
    tmp_path: Path,
) -> None:
    repository = await asyncio.to_thread(fetch_npm, "tiny-invariant", tmp_path / "npm")
    (repository / ".gitignore").write_text("node_modules\n")
    git(repository, "add", ".gitignore")
    git(repository, "commit", "--quiet", "--message=what the tarball leaves out")
    bench = Installing(tmp_path, FunctionGateway(mind), source=repository)
    asked = (await bench.request()).model_copy(update={"test_command": "npx vitest run"})
    delivery = delivered(await bench.drive(asked))
    evidence: dict[str, Any] = json.loads(await bench.journal.get_blob(delivery.evidence))
    (proof,) = evidence["tasks"]
    (case,) = proof["red"]["cases"]
    assert case["id"] == "test/unreachable.test.ts::names the value that cannot be"
    assert (proof["green"]["exit_code"], proof["green"]["problem"]) == (0, "")
    logs = (tmp_path / "sandboxes" / ".egress").glob("*")
    asked_for = {json.loads(line)["host"] for log in logs for line in log.read_text().splitlines()}
    assert asked_for == {REGISTRY}
    bundle = tmp_path / "delivered.bundle"
    bundle.write_bytes(await bench.journal.get_blob(delivery.bundle))
    git(repository, "fetch", "--quiet", str(bundle), f"{delivery.branch}:delivered")
    changed = ["git", "diff", "--name-only", "main", "delivered"]
    names = await asyncio.to_thread(subprocess.check_output, changed, cwd=repository, text=True)
    assert names.split() == [CODE, "test/unreachable.test.ts"]
