"""Findings as SARIF 2.1.0, the form that code hosts and editors read."""

from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote

from orchestration.proof import Finding, Severity

SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {
    Severity.INFO: "note",
    Severity.LOW: "note",
    Severity.MEDIUM: "warning",
    Severity.HIGH: "error",
    Severity.CRITICAL: "error",
}
_SCORES = {
    Severity.INFO: "0.0",
    Severity.LOW: "3.0",
    Severity.MEDIUM: "5.5",
    Severity.HIGH: "8.0",
    Severity.CRITICAL: "9.5",
}
"""As GitHub's code scanning reads `security-severity`."""


def sarif(findings: Iterable[Finding], *, commit: str, version: str) -> dict[str, Any]:
    """One run of ours; each source (bandit, reviewer, ...) is a rule. Paths are relative."""
    found = tuple(dict.fromkeys(findings))
    rules = sorted({(finding.source, finding.severity) for finding in found})
    driver = {
        "name": "Manta",
        "version": version,
        "rules": [_rule(source, severity) for source, severity in rules],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {"ROOT": {"description": {"text": "The repository's root."}}},
        "properties": {"commit": commit},
        "results": [_result(finding, rules) for finding in found],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(source: str, severity: Severity) -> dict[str, Any]:
    return {
        "id": f"{source}/{severity}",
        "shortDescription": {"text": f"Found by {source}, {severity}"},
        "defaultConfiguration": {"level": _LEVELS[severity]},
        "properties": {"security-severity": _SCORES[severity], "tags": ["security", source]},
    }


def _result(finding: Finding, rules: list[tuple[str, Severity]]) -> dict[str, Any]:
    location: dict[str, Any] = {
        "artifactLocation": {"uri": quote(finding.file), "uriBaseId": "ROOT"}
    }
    if finding.line:
        location["region"] = {"startLine": finding.line}
    fix = f"\n\nFix: {finding.fix}" if finding.fix else ""
    return {
        "ruleId": f"{finding.source}/{finding.severity}",
        "ruleIndex": rules.index((finding.source, finding.severity)),
        "level": _LEVELS[finding.severity],
        "message": {"text": finding.why + fix},
        "locations": [{"physicalLocation": location}],
    }
