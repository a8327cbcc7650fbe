"""A delivery in the words of a pull request: what, why, evidence, risk, cost.

Nearly all of it was written by models, or comes from the repository. It is shown as text: it can
neither mention people, nor close issues, nor load pictures.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath

from actors.evidence import Evidence
from actors.scanners.dependencies import new_dependencies
from actors.scanners.surface import flags
from actors.tools.text import neutralise
from orchestration.kinds import is_test_path
from orchestration.messages import Delivery, FileChange, TaskEvidence
from orchestration.proof import Finding, TestReport
from orchestration.strength import Strength

TITLE = 72
"""Characters."""
REQUEST = 4_000
"""Characters shown of the request."""
BODY = 60_000
"""Characters. GitHub takes 65,536."""
HARMLESS = "Nothing that steers builds, CI or dependencies, and nothing is deleted."
_CONVENTIONAL = re.compile(r"[a-z]+(\([\w ./-]+\))?!?: \S")
_MENDING = re.compile(
    r"\b(fix(es|ed)?|bugs?|broken|wrong(ly)?|crash(es|ed)?|regress\w*|fails?)\b", re.I
)
_DOCS = {".md", ".rst", ".txt", ".adoc"}
_MARKS = re.compile(r"([\\`*_\[\]<>|~])")
_LIVE = re.compile(r"@(?=\w)|#(?=\d)|(?<=\w)(?=://)|(?<=\bGH)-(?=\d)", re.I)
"""Where a mention, a reference or a link begins."""
_PAUSE = "\u200b"


def title_of(evidence: Evidence) -> str:
    """A conventional title, at most 72 characters."""
    titles = [proof.task.title for proof in evidence.tasks]
    text = " ".join(neutralise(titles[0] if len(titles) == 1 else evidence.request).split())
    if not _CONVENTIONAL.match(text):
        text = f"{_kind(evidence)}: {text[:1].lower()}{text[1:]}"
    text = text.rstrip(".")
    return text if len(text) <= TITLE else f"{text[: TITLE - 1].rstrip()}…"


def body_of(
    evidence: Evidence,
    delivery: Delivery,
    changes: Iterable[FileChange],
    added: Mapping[str, dict[int, str]],
) -> str:
    """Markdown. `changes` and `added` lines are the whole delivery's."""
    risks = [plain(risk) for risk in risks_of(evidence, changes, added)]
    undone = [f"Not part of it: {plain(one)}" for one in delivery.undone]
    sections = {
        "What": [*map(_what, evidence.tasks), *undone],
        "Why": [_quoted(evidence.request[:REQUEST])],
        "Evidence": [_table(evidence), _final(evidence.final), *_findings(evidence, delivery)],
        "Risk": risks or [HARMLESS],
        "Cost": [cost_of(evidence)],
    }
    text = "\n\n".join(f"## {name}\n\n{_lines(name, parts)}" for name, parts in sections.items())
    return text if len(text) <= BODY else f"{text[:BODY]}\n\n(cut)"


def risks_of(
    evidence: Evidence, changes: Iterable[FileChange], added: Mapping[str, dict[int, str]]
) -> Iterator[str]:
    """What a reader should look at first, a sentence each."""
    changes = tuple(changes)
    for change in changes:
        if change.status == "D":
            yield f"{change.path} is deleted."
    yield from (why for _, why in flags(changes))
    yield from (finding.why for finding in new_dependencies(dict(added)))
    for proof in evidence.tasks:
        yield from (f"{path} is an old test and was changed." for path in proof.task.existing_tests)


def cost_of(evidence: Evidence) -> str:
    """What models were used, and what that cost."""
    used = evidence.usage
    who = ", ".join(evidence.models) or "no model"
    tokens = f"{used.input_tokens:,} tokens in ({used.cached_tokens:,} cached), "
    return (
        f"{used.calls} model calls ({plain(who)}): {tokens}{used.output_tokens:,} out, "
        f"${used.cost_usd:.2f}."
    )


def plain(text: str) -> str:
    """Untrusted text on one line of Markdown, as it is and without effect."""
    return _LIVE.sub(
        lambda m: f"{m[0]}{_PAUSE}", _MARKS.sub(r"\\\1", " ".join(neutralise(text).split()))
    )


def _kind(evidence: Evidence) -> str:
    """The first word of a conventional title."""
    tasks = [proof.task for proof in evidence.tasks]
    if any(task.changes_behaviour for task in tasks):
        asked = " ".join((evidence.request, *(task.title for task in tasks)))
        return "fix" if _MENDING.search(asked) else "feat"
    files = [path for task in tasks for path in task.files]
    if files and all(is_test_path(path) for path in files):
        return "test"
    is_docs = files and all(PurePosixPath(path).suffix in _DOCS for path in files)
    return "docs" if is_docs else "refactor"


def _what(proof: TaskEvidence) -> str:
    points = "".join(f"\n  - {plain(point)}" for point in proof.task.acceptance)
    return f"{plain(proof.task.title)}{points}"


def _quoted(text: str) -> str:
    return "\n".join(f"> {plain(line)}" for line in neutralise(text).strip().splitlines())


def _table(evidence: Evidence) -> str:
    rows = [
        f"| {plain(proof.task.id)} | {_red(proof)} | {_green(proof.green)} "
        f"| {_strength(proof.strength)} | {len(_open(proof))} |"
        for proof in evidence.tasks
    ]
    head = ["| task | without its code | with it | faults noticed | open findings |"]
    return "\n".join([*head, "|---|---|---|---|---|", *rows])


def _red(proof: TaskEvidence) -> str:
    if proof.red is None:
        return "changes no behaviour"
    failing = len(proof.red.brief().cases)
    return f"red: {failing} failing (exit code {proof.red.exit_code})"


def _green(report: TestReport) -> str:
    failing = len(report.brief().cases)
    known = f", {failing} failing as before" if failing else ""
    return f"green (exit code {report.exit_code}{known})"


def _strength(strength: Strength | None) -> str:
    if strength is None or strength.share is None:
        return "not tried"
    return f"{strength.share:.0%}, {len(strength.survivors)} unnoticed"


def _final(final: TestReport | None) -> str:
    if final is None:
        return ""
    ends = "passes" if final.exit_code == 0 else f"ends with exit code {final.exit_code}"
    return f"The whole suite {ends} on the branch ({plain(final.command)})."


def _findings(evidence: Evidence, delivery: Delivery) -> Iterator[str]:
    found = [finding for proof in evidence.tasks for finding in _open(proof)]
    yield from (f"- {plain(finding.sentence())}" for finding in found[:50])
    yield _scanned(evidence)
    yield (
        "Red and green can be run again by anyone who has the evidence: "
        f"`manta show {evidence.run_id} --evidence`, `manta verify FILE`. Its sha256 is "
        f"`{delivery.evidence}`."
    )


def _scanned(evidence: Evidence) -> str:
    """Which scanners looked at it, and which had to be done without."""
    audits = [proof.audit for proof in evidence.tasks]
    looked = {name for audit in audits for name in audit.scanners}
    missing = {name for audit in audits for name in audit.missing}
    if not looked:
        return ""
    without = f", without {plain(', '.join(sorted(missing)))}" if missing else ""
    return f"Scanned by {plain(', '.join(sorted(looked)))}{without}."


def _open(proof: TaskEvidence) -> tuple[Finding, ...]:
    return (*proof.review.findings, *proof.audit.findings)


def _lines(name: str, parts: Iterable[str]) -> str:
    told = [part for part in parts if part]
    return (
        "\n".join(f"- {part}" for part in told) if name in {"What", "Risk"} else "\n\n".join(told)
    )
