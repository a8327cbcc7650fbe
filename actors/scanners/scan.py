"""All scanners on one change."""

import asyncio
from collections.abc import Iterable

from actors.scanners.bandit import NAME as BANDIT
from actors.scanners.bandit import bandit
from actors.scanners.dependencies import new_dependencies
from actors.scanners.flow import follow
from actors.scanners.lines import look
from actors.scanners.place import AddedLines, Place, Scan, has_failed
from actors.scanners.secrets import NAME as SECRETS
from actors.scanners.secrets import secrets
from actors.scanners.semgrep import NAME as SEMGREP
from actors.scanners.semgrep import AbsentError, is_readable, semgrep
from actors.scanners.surface import surface
from orchestration.messages import FileChange
from orchestration.proof import Finding, Severity

MAX_FINDINGS = 200
OURS = "manta"
"""Our own checks: what values reach, risky calls, dependencies, files that steer other programs."""


async def scan(
    place: Place, *, changes: Iterable[FileChange], added: AddedLines, timeout_s: float = 120.0
) -> Scan:
    """Look at what the change adds. The workspace must be at the new commit.

    A scanner that fails is a finding itself, never a silent pass. `changes` and `added` come
    from the host's git objects.
    """
    async with asyncio.TaskGroup() as tasks:
        by = {
            BANDIT: tasks.create_task(bandit(place, added, timeout_s=timeout_s)),
            SECRETS: tasks.create_task(secrets(place, added, timeout_s=timeout_s)),
            SEMGREP: tasks.create_task(_semgrep(place, added, timeout_s)),
        }
    told = {name: task.result() for name, task in by.items()}
    by_tools = [finding for found in told.values() for finding in found or ()]
    by_lines = [*follow(added), *look(added), *new_dependencies(added)]
    found = [*by_tools, *by_lines, *surface(changes)]
    found.sort(key=lambda f: (-f.severity.rank, f.file, f.line))
    looked = {name for name, its in told.items() if its is not None and not has_failed(its)}
    wanted = {name for name, its in told.items() if its is not None}
    wanted |= {SEMGREP} if is_readable(added) else set()
    return Scan(
        findings=_capped(tuple(dict.fromkeys(found))),
        scanners=(*sorted(looked), OURS),
        missing=tuple(sorted(wanted - looked)),
    )


async def _semgrep(place: Place, added: AddedLines, timeout_s: float) -> tuple[Finding, ...] | None:
    try:
        return await semgrep(place, added, timeout_s=timeout_s)
    except AbsentError:
        return None


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
