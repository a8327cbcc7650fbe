"""Who opens a pull request: `gh`, or a server of tools that the person named."""

from typing import Any, Protocol

from actors.git.command import Git
from actors.git.publishing import PullRequest, open_pull_request, require_publishing
from actors.resident import entry_point
from cluster.settings import Settings

SERVER = "cluster.handover.forge_server:open_forge"
"""Opened by name: what speaks to such servers is heavy, and few need it."""


class Forge(Protocol):
    """Opens pull requests for branches that were pushed to a repository's origin."""

    async def require(self, git: Git) -> None:
        """Check, before any work is done or sent, that one could be opened.

        Raises:
            UsageError: it could not, and how to mend that.
        """
        ...

    async def open(self, git: Git, asked: PullRequest) -> str:
        """The address of an open pull request for the branch, made if there is none.

        Raises:
            GitError: the host refuses.
        """
        ...


class GhForge:
    """By `gh`, with whatever login the person has there."""

    async def require(self, git: Git) -> None:
        await require_publishing(git)

    async def open(self, git: Git, asked: PullRequest) -> str:
        return await open_pull_request(git, asked)


async def forge_of(settings: Settings) -> Forge:
    """The one that the settings name.

    Raises:
        UsageError: there is no server of that name.
    """
    if not settings.pr_server:
        return GhForge()
    forge: Any = await entry_point(SERVER)(settings)
    return forge
