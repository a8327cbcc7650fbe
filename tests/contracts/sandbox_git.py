"""What every sandbox that can run git promises about carrying commits in and out."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from actors.sandbox.protocol import (
    NoSpaceError,
    Sandbox,
    SandboxError,
    SandboxProvider,
    SandboxSpec,
)
from actors.sandbox.workspace.git_transport import EXPORTED_REF

_NEUTRAL = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
    "PATH": os.defpath,
}


def git(directory: Path, *argv: str, stdin: bytes = b"") -> bytes:
    done = subprocess.run(
        ["git", *argv], cwd=directory, env=_NEUTRAL, input=stdin, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@dataclass
class Origin:
    """A repository of the host's and its first commit as a bundle."""

    directory: Path
    commit: str
    bundle: bytes

    def take(self, bundle: bytes, commit: str) -> None:
        git(self.directory, "fetch", "-q", "--no-tags", *_from(self.directory, bundle))
        assert git(self.directory, "rev-parse", "refs/heads/in").decode().strip() == commit

    def tree(self, commit: str) -> dict[str, str]:
        lines = git(self.directory, "ls-tree", "-r", "-z", commit).split(b"\0")
        rows = (line.split(b"\t", 1) for line in lines if line)
        return {os.fsdecode(name): meta.decode().split()[0] for meta, name in rows}


def _from(directory: Path, bundle: bytes) -> tuple[str, str]:
    path = directory.with_name("incoming.bundle")
    path.write_bytes(bundle)
    return str(path), f"+{EXPORTED_REF}:refs/heads/in"


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Origin:
    directory = tmp_path_factory.mktemp("origin") / "repository"
    directory.mkdir()
    git(directory, "init", "-q", "-b", "main")
    (directory / "a.txt").write_text("one\n")
    (directory / "run.sh").write_text("#!/bin/sh\n")
    (directory / "run.sh").chmod(0o755)
    (directory / ".gitignore").write_text("ignored\nbuild/\n")
    (directory / "link").symlink_to("a.txt")
    git(directory, "add", ".")
    git(directory, "commit", "-q", "-m", "first")
    commit = git(directory, "rev-parse", "HEAD").decode().strip()
    return Origin(directory, commit, git(directory, "bundle", "create", "-q", "-", "HEAD"))


class GitContract:
    """The fixture `origin` is a repository outside; `sandbox` an empty sandbox."""

    @pytest.fixture
    def origin(self, template: Origin) -> Origin:
        return template

    async def test_an_import_is_a_clean_checkout(self, sandbox: Sandbox, origin: Origin) -> None:
        await sandbox.git_import([origin.bundle], origin.commit)
        said = await sandbox.exec(
            "git rev-parse HEAD; git status --porcelain; git log -1 --format=%s", timeout_s=9
        )
        assert said.stdout.decode().split() == [origin.commit, "first"]
        assert await sandbox.read_file("a.txt") == b"one\n"
        assert (await sandbox.stat("run.sh")).mode & 0o100
        assert (await sandbox.stat("link")).kind == "symlink"

    async def test_importing_again_discards_what_was_not_committed(
        self, sandbox: Sandbox, origin: Origin
    ) -> None:
        await sandbox.git_import([origin.bundle], origin.commit)
        await sandbox.exec(
            "echo x >> a.txt; echo y > new; echo z > ignored; rm run.sh; git add new", timeout_s=9
        )
        await sandbox.git_import([origin.bundle], origin.commit)
        names = {entry.path for entry in await sandbox.list_files()} - {".git"}
        assert names == {"a.txt", "run.sh", ".gitignore", "link", "ignored"}
        assert await sandbox.read_file("a.txt") == b"one\n"
        await sandbox.git_import([], origin.commit)

    async def test_nothing_changed_exports_nothing(self, sandbox: Sandbox, origin: Origin) -> None:
        await sandbox.git_import([origin.bundle], origin.commit)
        await sandbox.write_file("ignored", b"x")
        assert await sandbox.git_export(origin.commit, message="no") == ("", b"")

    async def test_an_export_is_one_commit_on_the_base_with_the_workspaces_tree(
        self, sandbox: Sandbox, origin: Origin
    ) -> None:
        await sandbox.git_import([origin.bundle], origin.commit)
        await sandbox.exec(
            "echo mine > b; git add b; git commit -qm mine; git checkout -qb other; "
            "echo more >> b; git commit -qam more; rm a.txt; echo u > untracked; "
            "printf n > 'new\nline'; echo i > ignored; chmod -x run.sh; git tag t",
            timeout_s=9,
        )
        commit, bundle = await sandbox.git_export(origin.commit, message="feat: b\n\nWhy: asked")
        origin.take(bundle, commit)
        said = git(origin.directory, "log", "--format=%an <%ae> %P%n%B", "-1", commit).decode()
        assert said.startswith(f"Manta <manta@localhost> {origin.commit}\nfeat: b\n\nWhy: asked")
        assert origin.tree(commit) == {
            ".gitignore": "100644", "b": "100644", "link": "120000", "new\nline": "100644",
            "run.sh": "100644", "untracked": "100644",
        }  # fmt: skip
        head = await sandbox.exec(
            "git log --oneline | wc -l; git status --short | wc -l", timeout_s=9
        )
        assert head.stdout.split() == [b"3", b"4"]

    async def test_bundles_that_rest_on_each_other_are_imported_in_order(
        self, provider: SandboxProvider, sandbox: Sandbox, origin: Origin
    ) -> None:
        await sandbox.git_import([origin.bundle], origin.commit)
        await sandbox.write_file("b", b"2")
        second, on_top = await sandbox.git_export(origin.commit, message="second")
        fresh = await provider.create(SandboxSpec())
        await fresh.git_import([origin.bundle, on_top], second)
        assert await fresh.read_file("b") == b"2"
        alone = await provider.create(SandboxSpec())
        with pytest.raises(SandboxError):
            await alone.git_import([on_top], second)

    async def test_neither_hooks_nor_filters_nor_configuration_change_what_leaves(
        self, sandbox: Sandbox, origin: Origin
    ) -> None:
        await sandbox.git_import([origin.bundle], origin.commit)
        hostile = """
            mkdir -p .git/hooks .git/info
            for h in pre-commit post-checkout reference-transaction post-index-change; do
                printf '#!/bin/sh\\ntouch /tmp/ran $PWD/ran\\n' > .git/hooks/$h
                chmod +x .git/hooks/$h
            done
            cp -r .git/hooks evil; git config core.hooksPath evil
            git config core.fsmonitor 'touch ran;'
            git config filter.x.clean 'touch ran; echo forged'; git config filter.x.required true
            echo '* filter=x' > .git/info/attributes; echo '*' > .git/info/exclude
            git config core.worktree /tmp; git config core.bare true
            git config core.ignoreCase true
            echo honest > file; rm -rf evil
        """
        await sandbox.exec(hostile, timeout_s=9)
        commit, bundle = await sandbox.git_export(origin.commit, message="m")
        origin.take(bundle, commit)
        assert git(origin.directory, "show", f"{commit}:file") == b"honest\n"
        assert not [entry for entry in await sandbox.list_files() if entry.path == "ran"]
        await sandbox.git_import([origin.bundle], origin.commit)
        assert (await sandbox.exec("git status --porcelain", timeout_s=9)).stdout == b""
        assert not [entry for entry in await sandbox.list_files() if entry.path == "ran"]

    @pytest.mark.parametrize(
        "damage",
        [
            "rm -rf .git/index; touch .git/index.lock .git/HEAD.lock",
            "echo garbage > .git/index; echo garbage > .git/HEAD; echo garbage > .git/config",
            "git init -q empty; git init -q full; cd full; git commit -q --allow-empty -m x",
            "mkfifo pipe; echo x > secret; chmod 000 secret; mkdir closed; chmod 000 closed",
            "printf '../../../tmp' > .git/objects/info/alternates",
        ],
    )
    async def test_a_damaged_workspace_is_exported_and_imported_all_the_same(
        self, sandbox: Sandbox, origin: Origin, damage: str
    ) -> None:
        await sandbox.git_import([origin.bundle], origin.commit)
        await sandbox.exec(f"echo good > good; {damage}", timeout_s=9)
        commit, bundle = await sandbox.git_export(origin.commit, message="m")
        origin.take(bundle, commit)
        assert origin.tree(commit)["good"] == "100644"
        assert "160000" not in origin.tree(commit).values()
        await sandbox.git_import([origin.bundle], origin.commit)
        assert (await sandbox.exec("git status --porcelain", timeout_s=9)).stdout == b""

    @pytest.mark.parametrize(
        "trick",
        [
            "rm -rf .git; ln -s /etc .git",
            "rm -rf .git; echo 'gitdir: /tmp/x' > .git",
            "rm -rf .git",
        ],
    )
    async def test_without_its_repository_a_workspace_exports_nothing_but_can_be_made_anew(
        self, sandbox: Sandbox, origin: Origin, trick: str
    ) -> None:
        await sandbox.git_import([origin.bundle], origin.commit)
        await sandbox.exec(trick, timeout_s=9)
        with pytest.raises(SandboxError):
            await sandbox.git_export(origin.commit, message="m")
        await sandbox.git_import([origin.bundle], origin.commit)
        assert await sandbox.git_export(origin.commit, message="m") == ("", b"")

    async def test_too_large_an_export_is_refused(self, sandbox: Sandbox, origin: Origin) -> None:
        await sandbox.git_import([origin.bundle], origin.commit)
        await sandbox.exec("head -c 300000 /dev/urandom > big", timeout_s=9)
        with pytest.raises(NoSpaceError, match="larger than 1000 bytes"):
            await sandbox.git_export(origin.commit, message="m", max_bytes=1000)

    async def test_unknown_commits_and_damaged_bundles_are_told(
        self, sandbox: Sandbox, origin: Origin
    ) -> None:
        with pytest.raises(SandboxError, match="does not know commit"):
            await sandbox.git_import([origin.bundle], "1" * 40)
        with pytest.raises(SandboxError, match="failed"):
            await sandbox.git_import([origin.bundle[:-50]], origin.commit)
        with pytest.raises(SandboxError, match="does not know commit"):
            await sandbox.git_export("1" * 40, message="m")
        for bad in ("HEAD", "--upload-pack=x", "", "1" * 39):
            with pytest.raises(SandboxError, match="not a commit id"):
                await sandbox.git_export(bad, message="m")
