"""A branch on the origin remote, and a pull request for it, with the person's own access.

Whatever is needed to log in (git's credentials, a token of `gh`) comes from the environment of
this process and goes to git and `gh` alone. No hook of the repository runs.
"""

import os
import re
from dataclasses import dataclass, replace

from actors.git.command import Answer, Git
from actors.git.hub import ask, call, refused
from actors.git.records import oid
from actors.git.source import personal
from orchestration.errors import GitError, UsageError

PUSH_S = 1800.0
_HOSTED = re.compile(
    r"(?:(?:https|ssh|git)://(?:[^/@]*@)?|[\w.-]+@)(?P<host>[\w-]+(\.[\w-]+)+)(?::\d+)?[:/]/?"
    r"(?P<owner>[\w.-]+)/(?P<name>[\w.-]+?)(?:\.git)?/?"
)


@dataclass(frozen=True, slots=True)
class PullRequest:
    """What is asked of whoever owns the remote."""

    branch: str
    into: str
    """The branch that the work began on; where origin has none of that name, its default."""
    title: str
    body: str
    """Markdown."""


@dataclass(frozen=True, slots=True)
class Hosted:
    """Where a repository is hosted, as the address of its origin says it."""

    host: str
    owner: str
    name: str


async def require_publishing(git: Git) -> None:
    """Check, before any work is done or sent, that a pull request could be opened.

    Raises:
        UsageError: there is no remote called origin, or `gh` is missing or not logged in.
    """
    there = await hosted(git)
    host = ("--hostname", there.host) if there else ()
    answer = await call(git.directory, "auth", "status", *host)
    if answer.code:
        raise refused(answer)


async def push(git: Git, commit: str, branch: str) -> None:
    """Make the branch on the origin remote, which has to lack it, or have it just so. Idempotent.

    Raises:
        UsageError: there is no remote called origin.
        GitError: the remote refuses.
    """
    await _origin(git)
    there = f"{oid(commit)}:refs/heads/{branch}"
    options = ("--porcelain", "--no-verify", "--no-follow-tags", "--recurse-submodules=no")
    try:
        await _personal(git)("push", *options, "origin", there, timeout_s=PUSH_S)
    except GitError as error:
        raise GitError(
            f"cannot push {branch} to origin: {error.what}",
            f"check your access: git push --dry-run origin {commit[:12]}:refs/heads/{branch}",
        ) from error


async def open_pull_request(git: Git, asked: PullRequest) -> str:
    """The address of an open pull request for a branch that was pushed, made if there is none.

    Raises:
        UsageError: `gh` is missing or not logged in.
        GitError: the host refuses.
    """
    where = await _where(git)
    head = ("--head", asked.branch)
    query = ("--state", "open", "--limit", "1", "--json", "url", "--jq", ".[].url")
    known = _url_of(await ask(git.directory, "pr", "list", *where, *head, *query))
    if known:
        return known
    into = ("--base", asked.into) if await _has_branch(git, asked.into) else ()
    told = ("--title", asked.title, "--body-file", "-")
    made = await ask(
        git.directory, "pr", "create", *where, *head, *into, *told, stdin=asked.body.encode()
    )
    if url := _url_of(made):
        return url
    raise GitError("gh said nothing of the pull request that it made", "look at it with gh pr list")


async def hosted(git: Git) -> Hosted | None:
    """Where origin is hosted; None where its address does not say it.

    Raises:
        UsageError: there is no remote called origin.
    """
    found = _HOSTED.fullmatch(await _origin(git))
    return Hosted(found["host"], found["owner"], found["name"]) if found else None


async def base_branch(git: Git, wanted: str) -> str:
    """That branch of origin's, or its default one where it has none of the name; "" if unknown."""
    if await _has_branch(git, wanted):
        return wanted
    answer = await _personal(git)("ls-remote", "--symref", "origin", "HEAD", ok=(0, 128))
    found = re.match(r"ref: refs/heads/(\S+)\tHEAD", answer.text)
    return found[1] if found else ""


async def _origin(git: Git) -> str:
    """Where the origin remote is pushed to.

    Raises:
        UsageError: there is no such remote.
    """
    answer = await git("remote", "get-url", "--push", "origin", ok=(0, 1, 2, 128))
    if answer.code or not answer.text:
        raise UsageError(
            f"{git.directory} has no remote called origin to push to",
            "add one with git remote add origin URL, or take a branch: --deliver branch",
        )
    return answer.text.splitlines()[0]


async def _where(git: Git) -> tuple[str, ...]:
    """Which repository `gh` is to speak of: the one behind origin, where its address says it."""
    there = await hosted(git)
    if there is None or os.environ.get("GH_REPO"):
        return ()
    return ("--repo", f"{there.host}/{there.owner}/{there.name}")


async def _has_branch(git: Git, name: str) -> bool:
    if not name or name.startswith("-"):
        return False
    full = f"refs/heads/{name}"
    answer = await _personal(git)("ls-remote", "origin", full, ok=(0, 128), timeout_s=120)
    return full in answer.text.split()


def _personal(git: Git) -> Git:
    return replace(git, env=personal())


def _url_of(answer: Answer) -> str:
    """The last line that is an address."""
    found = [line for line in answer.text.splitlines() if line.startswith(("https://", "http://"))]
    return found[-1].strip() if found else ""
