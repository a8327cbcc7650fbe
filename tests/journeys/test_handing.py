"""A finished run becomes a patch file or a pull request: real git, a real bare repository as the
remote, and a stand-in for gh."""

import asyncio
import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from actors.models.gateway import ModelReply, ModelRequest
from cluster.demo.sample import git
from cluster.handover.handing import Finished, hand_over, publish, write_patch
from cluster.runs.follow import fetch
from cluster.settings import Settings
from orchestration.errors import GitError, UsageError
from orchestration.messages import DeliverAs
from tests.actors.git.hub import install
from tests.cluster.handover.test_forges import settings as server_settings
from tests.journeys.bench import RUN, Bench, delivered, minds, plan, steady, task

pytestmark = pytest.mark.slow


def says(*arguments: str, cwd: Path) -> str:
    done = subprocess.run(["git", *arguments], cwd=cwd, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def mind(request: ModelRequest) -> ModelReply:
    return plan(task("red")) if request.role == "architect" else steady(request)


async def played(place: Path, how: DeliverAs) -> tuple[Bench, Settings]:
    """A run that is done, of a repository with a remote."""
    bench = minds(place, mind)
    git(place, "clone", "--quiet", "--bare", str(bench.repository), str(place / "origin.git"))
    git(bench.repository, "remote", "add", "origin", str(place / "origin.git"))
    asked = await bench.request(text="Please add red, @everyone; closes #1 <b>")
    branch = says("branch", "--show-current", cwd=bench.repository)
    more = {"origin": str(bench.repository), "deliver": how, "base_ref": branch}
    delivered(await bench.drive(asked.model_copy(update=more)))
    return bench, Settings(state_dir=place / "state")


async def test_a_patch_file_makes_the_delivered_tree_by_am_and_by_apply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, settings = await played(tmp_path, "patch")
    monkeypatch.chdir(tmp_path)
    made = await hand_over(bench.journal, settings, RUN)
    assert await hand_over(bench.journal, settings, RUN) == made
    file = tmp_path / f"{RUN}.patch"
    assert (made.address, made.where) == (str(file), f"The patch is in {file}.")
    assert says("branch", "--list", "manta/*", cwd=bench.repository) == ""
    finished = await Finished.of(bench.journal, settings, RUN)
    wanted = finished.delivery
    git(bench.repository, "apply", "--check", str(file))
    git(bench.repository, "am", "--quiet", str(file))
    assert says("log", "-1", "--format=%s", cwd=bench.repository) == "feat: add red"
    await fetch(bench.journal, wanted, bench.repository, wanted.branch)
    assert says("diff", wanted.branch, cwd=bench.repository) == ""
    (tmp_path / "other.patch").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        await write_patch(finished, tmp_path / "other.patch")


async def test_a_pull_request_says_what_why_evidence_risk_and_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = install(tmp_path / "bin", monkeypatch)
    bench, settings = await played(tmp_path, "pr")
    urls = {(await hand_over(bench.journal, settings, RUN)).address for _ in range(2)}
    assert urls == {"https://example.org/o/r/pull/1"}
    (made,) = hub.calls("pr", "create")
    assert made["argv"][made["argv"].index("--title") + 1] == "feat: add red"
    body = made["stdin"]
    for section in ("What", "Why", "Evidence", "Risk", "Cost"):
        assert f"## {section}\n" in body
    assert "red: 1 failing (exit code 1) | green (exit code 0)" in body
    assert "@everyone" not in body
    assert "#1" not in body
    assert "<b>" not in body
    finished = await Finished.of(bench.journal, settings, RUN)
    there = says("ls-remote", "origin", "refs/heads/manta/*", cwd=bench.repository)
    assert there.split("\t")[0] == finished.delivery.tree.commit
    url = await publish(finished, f"file://{tmp_path / 'origin.git'}", "manta/run-1")
    assert url in urls


LOGGED_IN = """#!/bin/sh
for command; do :; done
exec sh -c "$(printf %s "$command" | sed "s|'o/r.git'|{origin}|")"
"""
"""An ssh that runs what it is asked on this machine, where the repository lies elsewhere."""


async def test_a_pull_request_through_an_mcp_server_carries_evidence_that_a_clone_can_prove(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first push is refused, and nothing is lost by that."""
    bench, settings = await played(tmp_path, "pr")
    origin, ssh = tmp_path / "origin.git", tmp_path / "ssh"
    ssh.write_text("#!/bin/sh\necho 'Permission denied (publickey).' >&2\nexit 255\n")
    ssh.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(ssh))
    monkeypatch.setenv("OF_GITHUB", "ghp_0123456789")
    git(bench.repository, "remote", "set-url", "origin", "git@github.com:o/r.git")
    settings = server_settings(tmp_path).model_copy(update={"push_evidence": True})
    with pytest.raises(GitError, match=f"cannot push manta/{RUN} to origin") as caught:
        await hand_over(bench.journal, settings, RUN)
    assert f"nothing is lost: then `manta fetch {RUN} --pr`" in caught.value.fix
    assert says("branch", "--list", "manta/*", cwd=bench.repository) == f"manta/{RUN}"

    ssh.write_text(LOGGED_IN.format(origin=origin))
    made = {(await hand_over(bench.journal, settings, RUN)).address for _ in range(2)}
    assert made == {"https://github.com/o/r/pull/1"}
    (asked,) = json.loads((tmp_path / "requests.json").read_text())
    evidence = await bench.journal.get_blob(
        (await Finished.of(bench.journal, settings, RUN)).delivery.evidence
    )
    assert f"Its sha256 is `{sha256(evidence).hexdigest()}`" in asked["body"]

    clone = tmp_path / "elsewhere" / "clone"
    git(tmp_path, "clone", "--quiet", str(origin), str(clone))
    done = await asyncio.to_thread(verify, f"manta/{RUN}", clone, tmp_path / "elsewhere" / "state")
    assert done.returncode == 0, done.stderr
    assert sha256(evidence).hexdigest() in done.stderr
    assert "every claim holds" in done.stdout


def verify(branch: str, clone: Path, state: Path) -> subprocess.CompletedProcess[str]:
    """`manta verify`, by somebody who has nothing but the clone."""
    argv = [sys.executable, "-m", "cluster.cli", "verify", branch, "--repo", str(clone)]
    return subprocess.run(
        [*argv, "--state-dir", str(state)], capture_output=True, text=True, check=False, timeout=200
    )
