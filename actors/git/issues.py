"""An issue on GitHub, read by the person's own `gh`: a request may be a link to one."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from actors.git.hub import ask
from orchestration.errors import GitError

_LINK = re.compile(r"https://[\w.-]+(:\d+)?/[\w.-]+/[\w.-]+/issues/(?P<number>\d+)(#[\w-]*)?")
"""GitHub's own, or of a GitHub Enterprise server."""


@dataclass(frozen=True, slots=True)
class Issue:
    """What somebody wrote. Untrusted."""

    link: str
    title: str
    body: str

    def request(self) -> str:
        """The issue as a request."""
        return "\n\n".join(filter(None, (self.title, self.body, f"(From {self.link})")))


def is_link(text: str) -> bool:
    """Whether a text is the address of an issue, and nothing else."""
    return _LINK.fullmatch(text.strip()) is not None


async def issue_at(link: str) -> Issue:
    """The issue behind a link.

    Raises:
        UsageError: `gh` is missing, or not logged in.
        GitError: there is no such issue, or it cannot be read.
    """
    link = link.strip()
    answer = await ask(Path("/"), "issue", "view", link, "--json", "title,body,url")
    try:
        told = json.loads(answer.text)
        return Issue(link, str(told["title"]).strip(), str(told["body"] or "").strip())
    except (ValueError, KeyError, TypeError) as error:
        raise GitError(
            f"gh tells nothing of {link} that can be read", "look at it by hand"
        ) from error
