"""A user's repository, made with plain git as a user would."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

_ENV = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_AUTHOR_DATE": "@1700000000 +0000",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
    "GIT_COMMITTER_DATE": "@1700000000 +0000",
    "GIT_ALLOW_PROTOCOL": "file",
}


class Checkout:
    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", "-b", "main", "--template=")

    @classmethod
    def at(cls, path: Path) -> "Checkout":
        """One that is there already."""
        made = cls.__new__(cls)
        made.path = path
        return made

    def git(self, *args: str, stdin: bytes = b"") -> str:
        return self.raw(*args, stdin=stdin).decode(errors="replace").strip()

    def raw(self, *args: str, stdin: bytes = b"") -> bytes:
        done = subprocess.run(
            ["git", *args], cwd=self.path, env=_ENV, input=stdin, capture_output=True, check=False
        )
        assert not done.returncode, done.stderr.decode(errors="replace")
        return done.stdout

    def write(self, files: Mapping[str, str | bytes | None]) -> None:
        for name, content in files.items():
            path = self.path / name
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)

    def commit(self, files: Mapping[str, str | bytes | None], message: str = "Change") -> str:
        self.write(files)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.head

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    def bundle(self, *revisions: str) -> bytes:
        return self.raw("bundle", "create", "-q", "-", *(revisions or ("HEAD",)))

    def plant_canaries(self, canary: Path) -> None:
        """Make everything git might run in this repository leave a mark."""
        script = self.path / ".git" / "evil.sh"
        script.write_text(f'#!/bin/sh\necho "$0 $*" >> {canary}\ncat\n')
        script.chmod(0o755)
        hooks = self.path / ".git" / "hooks"
        hooks.mkdir(exist_ok=True)
        for hook in ("reference-transaction", "post-index-change", "post-checkout", "update"):
            (hooks / hook).symlink_to(script)
        for key in (
            "core.fsmonitor",
            "filter.evil.clean",
            "filter.evil.smudge",
            "filter.evil.process",
            "diff.external",
            "diff.evil.textconv",
            "merge.evil.driver",
            "core.sshCommand",
            "core.pager",
            "gpg.program",
        ):
            self.git("config", key, str(script))
        (self.path / ".gitattributes").write_text("* filter=evil diff=evil merge=evil\n")


def everything_in(path: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file() and not file.is_symlink()
    }
