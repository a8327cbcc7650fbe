"""How a run ended well: the branch, what changed, how it is proven, what it cost, what next."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.text import Text

from actors.evidence import Evidence
from actors.tools.text import neutralise
from cluster.desk.diffs import FileDiff, read_diff
from cluster.desk.protocol import Desk
from cluster.handover.handing import Handover
from cluster.terminal.figures import cost, counted, duration
from orchestration.messages import Delivery, TaskEvidence
from orchestration.proof import Finding, Severity
from orchestration.strength import Fate, Strength

FILES, FINDINGS = 20, 10
"""Shown at most, each."""
RECORDING = "recording:"
"""Before the names of models whose replies were played back."""
_LABEL = 10
_COLOURS = {Severity.INFO: "dim", Severity.LOW: "yellow"}


@dataclass(frozen=True, slots=True)
class Ending:
    """A delivered run, with what a person wants to know of it."""

    delivery: Delivery
    made: Handover
    evidence: Evidence
    files: tuple[FileDiff, ...]
    seconds: float
    """From the request to the end, waiting for people included."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What reviewers remarked on what was merged: nothing of it blocked."""
        return tuple(finding for proof in self.evidence.tasks for finding in remarks(proof))

    @property
    def strength(self) -> Strength:
        return sum((p.strength for p in self.evidence.tasks if p.strength), Strength())


async def ending_of(desk: Desk, made: Handover) -> Ending | None:
    """All about a delivery; None where there was nothing to deliver."""
    delivery = made.delivery
    if delivery is None or not delivery.branch:
        return None
    run_id = delivery.run_id
    run = (await desk.run(run_id)).run
    files = tuple(read_diff((await desk.diff(run_id)).diff))
    seconds = run.updated_at - run.created_at
    return Ending(delivery, made, await desk.evidence(run_id), files, seconds)


def remarks(proof: TaskEvidence) -> tuple[Finding, ...]:
    """Findings that were left open, worst first."""
    found = {one.sentence(): one for one in (*proof.review.findings, *proof.audit.findings)}
    return tuple(sorted(found.values(), key=lambda one: (-one.severity.rank, one.file, one.line)))


def told(ending: Ending, *, titles: bool = True) -> Iterator[Text]:
    """The ending for people; without the tasks' titles where a tree of them stands above."""
    evidence = ending.evidence
    yield Text("")
    yield Text.assemble(("delivered ", "bold green"), (ending.delivery.branch, "bold"))
    yield Text(ending.made.where or "It is in the store, and not yet in a repository.")
    yield Text("")
    if titles:
        for proof in evidence.tasks:
            yield _row("task", neutralise(f"{proof.task.id}: {proof.task.title}"))
    for undone in ending.delivery.undone:
        yield _row("not done", " ".join(neutralise(undone).split()), "red")
    yield from _changes(ending.files)
    yield _row("tests", _tests(evidence))
    yield from _mutants(ending.strength)
    yield from _findings(ending.findings)
    yield _row("cost", _cost(ending))
    yield Text("")
    yield from _next(ending)


def facts(ending: Ending) -> dict[str, Any]:
    """The same for programs."""
    strength = ending.strength
    return {
        "files": [
            {"path": f.path, "status": f.status, "added": f.added, "removed": f.removed}
            for f in ending.files
        ],
        "new_tests": _new_tests(ending.evidence),
        "suite_passes": _suite_passes(ending.evidence),
        "mutants_killed": strength.count(Fate.KILLED, Fate.TIMEOUT),
        "mutants_survived": len(strength.survivors),
        "findings": [finding.model_dump(mode="json") for finding in ending.findings],
        "models": list(ending.evidence.models),
        "usage": ending.evidence.usage.model_dump(),
        "seconds": round(ending.seconds, 3),
    }


def _row(label: str, said: str, style: str = "") -> Text:
    return Text.assemble((f"  {label:<{_LABEL}}", "dim"), (said, style))


def _changes(files: tuple[FileDiff, ...]) -> Iterator[Text]:
    added, removed = sum(f.added for f in files), sum(f.removed for f in files)
    total = _row("changed", f"{counted(len(files), 'file')}  ")
    yield total.append_text(_counts(added, removed))
    room = min(60, max((len(f.path) for f in files[:FILES]), default=0))
    for file in files[:FILES]:
        status = "" if file.status == "changed" else f"  {file.status}"
        name = _row("", f"  {neutralise(file.path):<{room}}  ")
        yield name.append_text(_counts(file.added, file.removed)).append(status, style="dim")
    if len(files) > FILES:
        yield _row("", f"  and {len(files) - FILES} more")


def _counts(added: int, removed: int) -> Text:
    return Text.assemble((f"+{added:<4}", "green"), " ", (f"-{removed}", "red"))


def _tests(evidence: Evidence) -> str:
    new = _new_tests(evidence)
    first = f"{counted(new, 'new test')}, red without the change and green with it" if new else ""
    final = evidence.final
    if final is None:
        return first or "none"
    ends = "passes" if _suite_passes(evidence) else f"ends with exit code {final.exit_code}"
    whole = f"the whole suite {ends} ({' '.join(neutralise(final.command).split())})"
    return f"{first}; {whole}" if first else whole


def _new_tests(evidence: Evidence) -> int:
    return sum(len(proof.red.brief().cases) for proof in evidence.tasks if proof.red)


def _suite_passes(evidence: Evidence) -> bool:
    return evidence.final is not None and evidence.final.exit_code == 0


def _mutants(strength: Strength) -> Iterator[Text]:
    killed, survivors = strength.count(Fate.KILLED, Fate.TIMEOUT), strength.survivors
    tried = killed + len(survivors)
    if not tried:
        return
    said = f"{killed} of {tried} killed"
    yield _row("mutants", said if survivors else f"{said}: the tests notice every fault tried")
    for mutant in survivors[:FINDINGS]:
        yield _row("", f"  {neutralise(mutant.sentence())}", "yellow")


def _findings(found: tuple[Finding, ...]) -> Iterator[Text]:
    if not found:
        yield _row("review", "approved, without remarks")
        return
    yield _row("review", f"approved; {counted(len(found), 'remark')} that did not block")
    for one in found[:FINDINGS]:
        place = f"{one.file}:{one.line}" if one.line else one.file
        said = " ".join(neutralise(f"{place}: {one.why} ({one.source})").split())
        line = _row("", "  ")
        yield line.append(f"{one.severity:<7}", style=_COLOURS.get(one.severity, "red")).append(
            said
        )
    if len(found) > FINDINGS:
        yield _row("", f"  and {len(found) - FINDINGS} more")


def _cost(ending: Ending) -> str:
    used = ending.evidence.usage
    tokens = used.input_tokens + used.output_tokens
    is_recording = all(model.startswith(RECORDING) for model in ending.evidence.models)
    money = "nothing (a recording)" if is_recording else cost(used.cost_usd) or "no price known"
    cached = f" ({used.cached_tokens:,} cached)" if used.cached_tokens else ""
    calls = counted(used.calls, "model call")
    return f"{money}, {calls}, {tokens:,} tokens{cached}, {duration(ending.seconds)}"


def _next(ending: Ending) -> Iterator[Text]:
    run_id, home = ending.delivery.run_id, ending.made.home
    merging = f"git{_at(home)} merge {ending.delivery.branch}" if home else ""
    steps = {
        "look at it": f"manta show {run_id} --diff",
        "take it": merging or f"manta fetch {run_id} --repo PATH",
        "prove it again": f"manta verify {run_id}",
        "all evidence": f"manta show {run_id} --evidence",
    }
    for why, command in steps.items():
        yield Text.assemble((f"  {why:<16}", "dim"), (command, "cyan"))


def _at(home: Path) -> str:
    """Nothing where the person stands in it already."""
    return "" if Path.cwd().is_relative_to(home) else f" -C {home}"
