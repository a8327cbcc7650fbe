"""`gh`, the person's own client of GitHub: run with their access, told of nothing else of ours."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from actors.git.command import Answer, redact, run_beside
from actors.git.source import personal
from orchestration.errors import GitError, UsageError

_ALSO_GH = re.compile(r"PATH|GH_\w+|GITHUB_(ENTERPRISE_)?TOKEN|XDG_\w+|DBUS_SESSION_BUS_ADDRESS")
"""What `gh` needs besides: its configuration, its tokens, the way to the person's key ring."""
_QUIET = {"core.hooksPath": "/dev/null", "core.fsmonitor": "false"}
NOT_LOGGED_IN = 4
"""Exit code of `gh` where it needs to be logged in."""


async def ask(directory: Path, *arguments: str, stdin: bytes = b"") -> Answer:
    """What `gh` says, when it is able to.

    Raises:
        UsageError: it is missing, or not logged in.
        GitError: it failed.
    """
    answer = await call(directory, *arguments, stdin=stdin)
    if answer.code == NOT_LOGGED_IN:
        raise refused(answer)
    if answer.code:
        said = answer.err or f"exit code {answer.code}"
        raise GitError(f"gh {' '.join(arguments[:2])} failed: {said}", "try the same by hand")
    return answer


async def call(directory: Path, *arguments: str, stdin: bytes = b"") -> Answer:
    """Run `gh` in a directory, whatever its exit code.

    Raises:
        UsageError: it is missing.
    """
    environment = {**personal(), "GH_PROMPT_DISABLED": "1", "NO_COLOR": "1"}
    environment |= {name: v for name, v in os.environ.items() if _ALSO_GH.fullmatch(name)}
    try:
        return await run_beside(("gh", *arguments), directory, _quietened(environment), stdin=stdin)
    except FileNotFoundError as error:
        raise UsageError(
            "GitHub is spoken to by gh, which is not installed",
            "install it (https://cli.github.com), or do without pull requests and links to issues",
        ) from error


def _quietened(environment: Mapping[str, str]) -> dict[str, str]:
    """So that the git which `gh` starts runs nothing that the repository's configuration names."""
    count = int(environment.get("GIT_CONFIG_COUNT") or 0)
    more = {"GIT_CONFIG_COUNT": str(count + len(_QUIET))}
    for number, (key, value) in enumerate(_QUIET.items(), count):
        more |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return {**environment, **more}


def refused(answer: Answer) -> UsageError:
    """What `gh` said where it is not logged in, as an error with its remedy."""
    return UsageError(
        f"gh is not logged in: {redact(answer.err) or f'exit code {answer.code}'}",
        "run gh auth login, or set GH_TOKEN",
    )
