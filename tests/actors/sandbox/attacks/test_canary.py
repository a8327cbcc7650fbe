"""A whole task on a hostile repository: whatever it tries to run, nothing runs on the host."""

import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from actors.sandbox.local.provider import LocalProvider
from actors.sandbox.protocol import SandboxSpec
from actors.sandbox.workspace.git_transport import EXPORTED_REF
from tests.contracts.sandbox_git import git

pytestmark = pytest.mark.slow
_TRAPS = """
for hook in post-checkout pre-commit post-commit post-merge pre-push reference-transaction \
        post-index-change fsmonitor-watchman; do
    mkdir -p .git/hooks; printf '#!/bin/sh\\ntouch "$CANARY/hook-'$hook'"\\n' > .git/hooks/$hook
    chmod +x .git/hooks/$hook
done
git config core.fsmonitor 'touch "$CANARY/fsmonitor";false'
git config core.sshCommand 'touch "$CANARY/ssh"'
git config core.pager 'touch "$CANARY/pager"'
git config diff.external 'touch "$CANARY/diff"'
git config gpg.program 'touch "$CANARY/gpg"'
git config filter.trap.clean 'touch "$CANARY/clean"; cat'
git config filter.trap.smudge 'touch "$CANARY/smudge"; cat'
git config diff.trap.textconv 'touch "$CANARY/textconv"; cat'
git config include.path ../included
printf '* filter=trap diff=trap\\n' > .gitattributes
printf '[submodule "x"]\\n\\tpath = x\\n\\turl = ./evil\\n\\tupdate = !touch $CANARY/submodule\\n' \
    > .gitmodules
git -c core.fsmonitor=false init -q evil; cp -r .git/hooks evil/.git/
ln -s "$CANARY" way-out; ln -s / root; ln -s /proc/self/environ environment
echo written > way-out/through-a-link
"""
_PYTHON_TRAPS = {
    "conftest.py": "import os, pathlib\npathlib.Path(os.environ['CANARY'], 'conftest').touch()\n",
    "sitecustomize.py": "import os\nopen(os.environ['CANARY'] + '/sitecustomize', 'w')\n",
    "usercustomize.py": "import os\nopen(os.environ['CANARY'] + '/usercustomize', 'w')\n",
    "setup.py": "import os\nopen(os.environ['CANARY'] + '/setup', 'w')\n",
    "pyproject.toml": "[tool.pytest.ini_options]\naddopts = '-p trap'\npythonpath = ['.']\n",
    "trap.py": "import os, pathlib\npathlib.Path(os.environ['CANARY'], 'plug-in').touch()\n",
    ".env": "E2B_API_KEY=planted\nDAYTONA_API_URL=http://127.0.0.1:1\nRAY_ADDRESS=planted\n",
    "test_it.py": "def test_it():\n    assert True\n",
    "Makefile": "all:\n\ttouch $(CANARY)/make\n",
}


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "canary"
    folder.mkdir(mode=0o777)
    monkeypatch.setenv("CANARY", str(folder))
    return folder


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncGenerator[LocalProvider]:
    toolchains = tuple(dict.fromkeys((sys.prefix, sys.base_prefix)))
    provider = LocalProvider(tmp_path / "sandboxes", toolchains=toolchains)
    yield provider
    await provider.sweep({})
    await provider.close()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def a_repository(folder: Path) -> tuple[str, bytes]:
    folder.mkdir()
    git(folder, "init", "-q")
    for name, text in _PYTHON_TRAPS.items():
        (folder / name).write_text(text)
    git(folder, "add", "-f", ".")
    git(folder, "commit", "-q", "-m", "hostile")
    commit = git(folder, "rev-parse", "HEAD").decode().strip()
    return commit, git(folder, "bundle", "create", "-q", "-", "HEAD")


async def test_a_task_on_a_hostile_repository_leaves_the_host_untouched(
    provider: LocalProvider, canary: Path, tmp_path: Path
) -> None:
    commit, bundle = a_repository(tmp_path / "repository")
    sandbox = await provider.create(SandboxSpec(env={"CANARY": str(canary)}))
    await sandbox.git_import([bundle], commit)
    await sandbox.exec(_TRAPS, timeout_s=30)
    ran = await sandbox.exec(["python", "-m", "pytest", "-q"], timeout_s=60)
    assert not ran.ok, "its plug-ins cannot write their canary"
    for command in ("make", "git status", "git diff", "python setup.py", "git add -A"):
        await sandbox.exec(command, timeout_s=30)
    await sandbox.write_file("feature.py", b"answer = 42\n")
    exported, result = await sandbox.git_export(commit, message="feat: the answer")
    outcome = tmp_path / "outcome.bundle"
    outcome.write_bytes(result)
    git(tmp_path, "init", "-q", "--bare", "host.git")
    host = tmp_path / "host.git"
    git(host, "fetch", "-q", str(tmp_path / "repository"), "HEAD:refs/heads/base")
    git(
        host,
        *("-c", "transfer.fsckObjects=true", "fetch", "-q", "--no-tags"),
        *("--no-recurse-submodules", str(outcome), f"{EXPORTED_REF}:refs/heads/task"),
    )
    assert git(host, "rev-parse", "refs/heads/task").decode().strip() == exported
    assert git(host, "show", "refs/heads/task:feature.py") == b"answer = 42\n"
    await sandbox.terminate()
    assert names(canary) == set()


async def test_the_same_traps_spring_for_whoever_runs_things_on_the_host(
    canary: Path, tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    a_repository(repository)
    environment = {"PATH": os.environ["PATH"], "CANARY": str(canary), "HOME": str(tmp_path)}
    for command in (["bash", "-c", _TRAPS], ["git", "status"], ["git", "diff"], ["make"]):
        subprocess.run(  # noqa: ASYNC221 - a moment, in a test
            command, cwd=repository, env=environment, capture_output=True, check=False
        )
    assert names(canary) >= {"fsmonitor", "make", "through-a-link"}
