"""bandit on changed Python files, in the sandbox; findings on added lines only."""

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from pydantic import BaseModel, ValidationError

from actors.scanners.place import AddedLines, Place, Ran, did_not_run
from orchestration.kinds import is_test_path
from orchestration.proof import Finding, Severity

NAME = "bandit"
_BATCH = 200
_MAX_OUTPUT = 20_000_000
_SEVERITY = {"LOW": Severity.LOW, "MEDIUM": Severity.MEDIUM, "HIGH": Severity.HIGH}
_SKIPPED = "B101,B404"  # assert statements; the mere import of subprocess
_QUOTES_SECRETS = {"B105", "B106", "B107"}
_WORSE: dict[str, Severity] = dict.fromkeys(
    ("B506", "B501", "B202", "B608", "B301", "B307"), Severity.HIGH
)
"""Where bandit is milder than we are: a safe way to do the same exists."""


class _Result(BaseModel):
    filename: str
    line_number: int
    line_range: list[int] = []
    issue_severity: str
    issue_confidence: str
    issue_text: str
    test_id: str


class _Failure(BaseModel):
    filename: str
    reason: str


class _Report(BaseModel):
    results: list[_Result]
    errors: list[_Failure] = []


async def bandit(
    place: Place, added: AddedLines, *, timeout_s: float
) -> tuple[Finding, ...] | None:
    """Known weaknesses in Python; None without any. `# nosec` comments are not heeded."""
    paths = sorted(path for path in added if path.endswith((".py", ".pyi")))
    if not paths:
        return None
    found: list[Finding] = []
    for start in range(0, len(paths), _BATCH):
        files = [f"./{path}" for path in paths[start : start + _BATCH]]
        found += await _run(place, files, added, timeout_s)
    return tuple(found)


async def _run(
    place: Place, files: Sequence[str], added: AddedLines, timeout_s: float
) -> Sequence[Finding]:
    ran = await place.exec(
        ["python3", "-I", "-m", "bandit", "-q", "-f", "json", "--ignore-nosec", "--exit-zero",
         "-s", _SKIPPED, *files],
        timeout_s=timeout_s,
        max_output=_MAX_OUTPUT,
    )  # fmt: skip
    report = _parse(ran)
    if isinstance(report, Finding):
        return [report]
    unread = [
        did_not_run(NAME, f"{_path(failure.filename)}: {failure.reason}")
        for failure in report.errors
    ]
    return [*unread, *_on_added_lines(report, added)]


def _parse(ran: Ran) -> _Report | Finding:
    if ran.exit_code != 0:
        said = (ran.stderr or ran.stdout).decode(errors="replace")
        return did_not_run(NAME, f"{ran.ended} with code {ran.exit_code}: {said}")
    try:
        return _Report.model_validate_json(ran.stdout)
    except ValidationError:
        return did_not_run(NAME, "its report cannot be read")


def _on_added_lines(report: _Report, added: AddedLines) -> Iterator[Finding]:
    for result in report.results:
        path = _path(result.filename)
        if path not in added:
            yield did_not_run(NAME, f"it speaks of {path}, which it was not asked about")
        lines = added.get(path, {})
        touched = [n for n in (result.line_number, *result.line_range) if n in lines]
        if touched:
            yield Finding(
                file=path,
                line=touched[0],
                severity=_severity(result, path),
                why=f"{_text(result)} ({result.test_id})",
                source=NAME,
            )


def _text(result: _Result) -> str:
    text = result.issue_text[:500]
    return text.partition(":")[0] if result.test_id in _QUOTES_SECRETS else text


def _severity(result: _Result, path: str) -> Severity:
    severity = _WORSE.get(result.test_id) or _SEVERITY.get(result.issue_severity, Severity.LOW)
    unsure = result.issue_confidence == "LOW" or is_test_path(path)
    return Severity.LOW if unsure else severity


def _path(filename: str) -> str:
    return str(PurePosixPath(filename))  # bandit puts a ./ before the one it was given
