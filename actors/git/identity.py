"""What tells one repository from another of its name: where it is, and the commit it began with.

Where it is comes from the person who named it and from git, so that no repository can claim to be
another one; its first commit tells apart what lay at one place at different times.
"""

import re
from hashlib import sha256
from pathlib import Path

from actors.git.command import Git
from orchestration.errors import GitError, UsageError
from orchestration.ids import CommitId


def identity(where: str, first: CommitId) -> str:
    """A name for people, and a digest. `where` is a URL without credentials, or a directory."""
    last = re.split(r"[/:]", where.removesuffix("/.git").rstrip("/"))[-1]
    name = last.removesuffix(".git") or "repository"
    return f"{name}@{sha256(f'{where} {first}'.encode()).hexdigest()[:16]}"


async def local_identity(path: Path, ref: str = "HEAD") -> str:
    """Of a repository on this machine: the same from every subdirectory and worktree of it.

    Raises:
        UsageError: there is no repository at that path, or it has no such commit.
    """
    git = Git(path)
    try:
        where = await git("rev-parse", "--path-format=absolute", "--git-common-dir")
        return identity(where.text, await first_commit(git, ref))
    except (GitError, IndexError) as error:
        raise UsageError(
            f"{path} is not a git repository with a commit {ref!r}",
            "give the path of one with --repo",
        ) from error


async def first_commit(git: Git, ref: str) -> CommitId:
    """The first commit of a history, along first parents.

    Raises:
        GitError: there is no such ref.
    """
    first = ("--first-parent", "--max-parents=0", "--end-of-options", ref, "--")
    return CommitId((await git("rev-list", *first)).text.split()[-1])
