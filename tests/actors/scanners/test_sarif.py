"""SARIF: the parts that readers require (the published schema's licence keeps it out of here)."""

import json

from actors.scanners.sarif import sarif
from orchestration.proof import Finding, Severity

FOUND = [
    Finding(file="src/a b.py", line=7, severity=Severity.HIGH, why="No.", fix="Yes.", source="x"),
    Finding(file="src/c.py", severity=Severity.INFO, why="Hm."),
]


def test_findings_become_results_with_place_level_and_rule() -> None:
    made = json.loads(json.dumps(sarif([*FOUND, FOUND[0]], commit="1" * 40, version="0.1.0")))
    assert (made["version"], made["$schema"].endswith("sarif-2.1.0.json")) == ("2.1.0", True)
    (run,) = made["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == ["reviewer/info", "x/high"]
    bad, mild = run["results"]
    place = bad["locations"][0]["physicalLocation"]
    assert place == {
        "artifactLocation": {"uri": "src/a%20b.py", "uriBaseId": "ROOT"},
        "region": {"startLine": 7},
    }
    assert (bad["level"], bad["message"]["text"]) == ("error", "No.\n\nFix: Yes.")
    assert (mild["level"], "region" in mild["locations"][0]["physicalLocation"]) == ("note", False)
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]


def test_no_findings_are_an_empty_run() -> None:
    assert sarif([], commit="1" * 40, version="0")["runs"][0]["results"] == []
