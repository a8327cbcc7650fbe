"""All scanners on one change."""

import asyncio
from collections.abc import Iterable

from actors.scanners.bandit import bandit
from actors.scanners.dependencies import new_dependencies
from actors.scanners.flow import follow
from actors.scanners.lines import look
from actors.scanners.place import AddedLines, Place
from actors.scanners.secrets import secrets
from actors.scanners.semgrep import semgrep
from actors.scanners.surface import surface
from orchestration.messages import FileChange
from orchestration.proof import Finding, Severity

MAX_FINDINGS = 200


async def scan(
    place: Place, *, changes: Iterable[FileChange], added: AddedLines, timeout_s: float = 120.0
) -> tuple[Finding, ...]:
    """Findings on what the change adds, worst first. The workspace must be at the new commit.

    A scanner that fails is a finding itself, never a silent pass. `changes` and `added` come
    from the host's git objects.
    """
    async with asyncio.TaskGroup() as tasks:
        weak = tasks.create_task(bandit(place, added, timeout_s=timeout_s))
        leaked = tasks.create_task(secrets(place, added, timeout_s=timeout_s))
        flows = tasks.create_task(semgrep(place, added, timeout_s=timeout_s))
    by_tools = [*weak.result(), *leaked.result(), *flows.result()]
    by_lines = [*follow(added), *look(added), *new_dependencies(added)]
    found = [*by_tools, *by_lines, *surface(changes)]
    found.sort(key=lambda f: (-f.severity.rank, f.file, f.line))
    return _capped(tuple(dict.fromkeys(found)))


def _capped(found: tuple[Finding, ...]) -> tuple[Finding, ...]:
    if len(found) <= MAX_FINDINGS:
        return found
    rest = found[MAX_FINDINGS:]
    more = Finding(
        file=".",
        severity=max((f.severity for f in rest), key=lambda s: s.rank, default=Severity.INFO),
        why=f"{len(rest)} more findings are not shown.",
        source="scan",
    )
    return (*found[:MAX_FINDINGS], more)
