"""detect-secrets on changed files, in the sandbox; findings on added lines only."""

import functools
import json
from pathlib import Path, PurePosixPath

from pydantic import TypeAdapter, ValidationError

from actors.scanners.place import AddedLines, Place, did_not_run
from orchestration.kinds import is_test_path
from orchestration.proof import Finding, Severity

NAME = "detect-secrets"
_MAX_OUTPUT = 5_000_000
_FOUND = TypeAdapter(list[tuple[str, int, str]])
_GUESSES = {"Base64 High Entropy String", "Hex High Entropy String", "Public IP (ipv4)"}
_WORDS = {"Secret Keyword", "Basic Auth Credentials"}
_GENERATED = {".lock", ".sum", ".snap", ".svg", ".ipynb", ".map", ".min.js"}


async def secrets(
    place: Place, added: AddedLines, *, timeout_s: float
) -> tuple[Finding, ...] | None:
    """Keys, tokens and passwords in the text; None without any. The findings do not repeat them."""
    paths = sorted(path for path in added if PurePosixPath(path).suffix not in _GENERATED)
    if not paths:
        return None
    ran = await place.exec(
        ["python3", "-I", "-c", _script()],
        timeout_s=timeout_s,
        stdin=json.dumps([f"./{path}" for path in paths]).encode(),
        max_output=_MAX_OUTPUT,
    )
    if ran.exit_code != 0:
        said = (ran.stderr or ran.stdout).decode(errors="replace")
        return (did_not_run(NAME, f"{ran.ended} with code {ran.exit_code}: {said}"),)
    try:
        found = _FOUND.validate_json(ran.stdout)
    except ValidationError:
        return (did_not_run(NAME, "its report cannot be read"),)
    named = [(path.removeprefix("./"), line, kind[:80]) for path, line, kind in found]
    return tuple(
        Finding(
            file=path,
            line=line,
            severity=_severity(path, kind),
            why=f"This looks like a secret: {kind}.",
            fix="read it from the environment, and revoke it if it is real",
            source=NAME,
        )
        for path, line, kind in sorted(set(named))
        if line in added.get(path, {})
    )


def _severity(path: str, kind: str) -> Severity:
    if kind in _GUESSES:
        return Severity.LOW
    if kind in _WORDS:
        return Severity.LOW if is_test_path(path) else Severity.MEDIUM
    return Severity.MEDIUM if is_test_path(path) else Severity.HIGH


@functools.cache
def _script() -> str:
    return Path(__file__).with_name("inside_secrets.py").read_text(encoding="utf-8")
