"""A stand-in for `gh`, of the tests' own: a real program on PATH that writes down how it is called
and keeps the pull requests it is asked for in a file. It speaks to nobody."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_PROGRAM = """#!{python} -IB
import json, os, sys
from pathlib import Path
place, argv = Path({place!r}), sys.argv[1:]
known = json.loads((place / "known.json").read_text())
stdin = sys.stdin.read()
with (place / "calls.jsonl").open("a") as calls:
    call = dict(argv=argv, stdin=stdin, cwd=os.getcwd(), env=dict(os.environ))
    calls.write(json.dumps(call) + chr(10))
if not os.environ.get("GH_TOKEN"):
    print("To get started with GitHub CLI, please run: gh auth login", file=sys.stderr)
    sys.exit(1 if argv[0] == "auth" else 4)
if argv[:2] == ["issue", "view"]:
    issues = json.loads((place / "issues.json").read_text())
    if argv[2] not in issues:
        print("GraphQL: Could not resolve to an issue", file=sys.stderr)
        sys.exit(1)
    print(json.dumps(issues[argv[2]]))
if argv[:2] == ["pr", "list"]:
    print("".join(url + chr(10) for url in known), end="")
if argv[:2] == ["pr", "create"]:
    known.append("https://example.org/o/r/pull/%d" % (len(known) + 1))
    (place / "known.json").write_text(json.dumps(known))
    print("Creating pull request" + chr(10) + known[-1])
"""


@dataclass
class Hub:
    """What the stand-in was asked."""

    place: Path

    def has_issue(self, link: str, title: str, body: str | None) -> None:
        """Somebody wrote an issue."""
        issue = {"title": title, "body": body, "url": link}
        (self.place / "issues.json").write_text(json.dumps({link: issue}))

    def calls(self, *verb: str) -> list[dict[str, Any]]:
        file = self.place / "calls.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        made = [json.loads(line) for line in lines]
        return [call for call in made if call["argv"][: len(verb)] == list(verb)]


def install(place: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """Put it first on PATH, logged in by a token in the environment."""
    place.mkdir()
    (place / "known.json").write_text("[]")
    (place / "issues.json").write_text("{}")
    program = place / "gh"
    program.write_text(_PROGRAM.format(python=sys.executable, place=str(place)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(place), prepend=os.pathsep)
    monkeypatch.setenv("GH_TOKEN", "a-token-of-the-tests")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "not-for-gh")
    monkeypatch.delenv("GH_REPO", raising=False)
    return Hub(place)
