"""semgrep with our rules and the repository's own, where the sandbox has it.

It is large, so that nothing installs it unasked: put a directory whose `bin` has it among the
toolchains. Without it the evidence says so; bandit and our own checks look for the same things by
simpler means.
"""

import functools
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict, ValidationError

from actors.scanners.place import AddedLines, Place, did_not_run
from orchestration.kinds import is_test_path
from orchestration.proof import Finding, Severity

NAME = "semgrep"
_MAX_OUTPUT = 20_000_000
_MAX_FILES = 500
_ABSENT = 127
_SEVERITY = {"ERROR": Severity.HIGH, "WARNING": Severity.MEDIUM}
_READ = {
    ".py", ".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx", ".go", ".rb", ".java",
    ".kt", ".php", ".cs", ".rs", ".c", ".cpp", ".sh", ".tf", ".yaml", ".yml",
}  # fmt: skip
_RUN = """
command -v semgrep >/dev/null || exit 127
place=$(mktemp -d) && cat >"$place/manta.yaml" || exit 1
for own in .semgrep.yml .semgrep.yaml .semgrep; do
  [ -e "$own" ] && set -- --config "$own" "$@"
done
exec semgrep scan --metrics=off --disable-version-check --disable-nosem --no-git-ignore \
  --quiet --json --config "$place/manta.yaml" "$@"
"""


class _Start(BaseModel):
    line: int


class _Extra(BaseModel):
    model_config = ConfigDict(extra="ignore")
    severity: str
    message: str


class _Result(BaseModel):
    model_config = ConfigDict(extra="ignore")
    check_id: str
    path: str
    start: _Start
    end: _Start
    extra: _Extra


class _Report(BaseModel):
    model_config = ConfigDict(extra="ignore")
    results: list[_Result]


class AbsentError(Exception):
    """It is not installed."""


def is_readable(added: AddedLines) -> bool:
    """Whether any of these files is of a language that it knows."""
    return bool(_paths(added))


def _paths(added: AddedLines) -> list[str]:
    return [path for path in sorted(added) if PurePosixPath(path).suffix.lower() in _READ]


async def semgrep(
    place: Place, added: AddedLines, *, timeout_s: float
) -> tuple[Finding, ...] | None:
    """Findings on added lines; None where there is nothing that it can read.

    `nosemgrep` comments and `.semgrepignore` are not heeded.

    Raises:
        AbsentError: the sandbox has none.
    """
    paths = _paths(added)
    if not paths:
        return None
    ran = await place.exec(
        ["sh", "-c", _RUN, "sh", *(f"./{path}" for path in paths[:_MAX_FILES])],
        timeout_s=timeout_s,
        stdin=_rules(),
        max_output=_MAX_OUTPUT,
    )
    if ran.exit_code == _ABSENT:
        raise AbsentError
    try:
        report = _Report.model_validate_json(ran.stdout)
    except ValidationError:
        said = (ran.stderr or ran.stdout).decode(errors="replace")
        return (did_not_run(NAME, f"{ran.ended} with code {ran.exit_code}: {said}"),)
    return tuple(_on_added_lines(report, added))


def _on_added_lines(report: _Report, added: AddedLines) -> Iterator[Finding]:
    for result in report.results:
        path = str(PurePosixPath(result.path))
        lines = added.get(path, {})
        touched = [n for n in range(result.start.line, result.end.line + 1) if n in lines]
        if touched:
            severity = _SEVERITY.get(result.extra.severity, Severity.LOW)
            rule = result.check_id.rpartition(".")[2][:80]
            yield Finding(
                file=path,
                line=touched[0],
                severity=Severity.LOW if is_test_path(path) else severity,
                why=f"{result.extra.message[:500]} ({rule})",
                source=NAME,
            )


@functools.cache
def _rules() -> bytes:
    return (Path(__file__).parent / "rules" / "flows.yaml").read_bytes()
