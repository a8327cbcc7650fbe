"""What a scanner needs of a sandbox, and what it is given of a change."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from orchestration.proof import Finding, Severity

AddedLines = Mapping[str, Mapping[int, str]]
"""Lines that the change adds or alters: path -> line number in the new file -> text."""


class Ran(Protocol):
    """What a command did (a sandbox's `ExecResult`)."""

    @property
    def exit_code(self) -> int | None: ...
    @property
    def ended(self) -> str: ...
    @property
    def stdout(self) -> bytes: ...
    @property
    def stderr(self) -> bytes: ...


class Place(Protocol):
    """The part of a `Sandbox` that scanners use."""

    async def exec(
        self,
        command: str | Sequence[str],
        *,
        timeout_s: float,
        stdin: bytes | None = None,
        max_output: int = ...,
    ) -> Ran: ...


@dataclass(frozen=True, slots=True)
class Scan:
    """What scanners found on a change, worst first, and which of them looked."""

    findings: tuple[Finding, ...]
    scanners: tuple[str, ...]
    missing: tuple[str, ...]
    """They would have looked, and are not there or failed."""


_NOWHERE = "."


def has_failed(found: Iterable[Finding]) -> bool:
    """Whether one of these says that its scanner did not run."""
    return any(finding.file == _NOWHERE for finding in found)


def did_not_run(scanner: str, why: str) -> Finding:
    """A scanner that failed has not passed anything."""
    why = " ".join("".join(c if c.isprintable() else " " for c in why).split())[-300:]
    return Finding(
        file=_NOWHERE,
        severity=Severity.MEDIUM,
        why=f"{scanner} did not run, so nothing is known of what it looks for: {why}",
        fix="check that the sandbox's toolchain has it",
        source=scanner,
    )
