"""What proves a task, in a few words each: for the head of its evidence, and beside the code."""

from collections.abc import Iterator
from dataclasses import dataclass

from orchestration.messages import Work
from orchestration.proof import Finding, Outcome, Review, TestReport
from orchestration.strength import Mutant, Strength


@dataclass(frozen=True, slots=True)
class Mark:
    """One part of a proof."""

    name: str
    verdict: str
    """good, bad, or mixed: it holds, with something to look at."""
    told: str


@dataclass(frozen=True, slots=True)
class Remark:
    """Something said about a line, or about a whole file (line 0)."""

    kind: str
    """A severity, or `mutant`."""
    source: str
    text: str
    fix: str = ""


def marks(work: Work) -> tuple[Mark, ...]:
    """How far a task is proven."""
    return (
        *_red(work.red),
        *_green(work.green),
        *_review("Review", work.review),
        *_review("Security", work.audit),
        *_strength(work.strength),
    )


def _red(report: TestReport | None) -> Iterator[Mark]:
    if report is None:
        return
    failed = len(report.with_outcome(Outcome.FAILED, Outcome.ERROR))
    if report.problem or not failed:
        yield Mark("Red", "bad", report.problem or "nothing failed")
    else:
        yield Mark("Red", "good", f"{failed} failed before")


def _green(report: TestReport | None) -> Iterator[Mark]:
    if report is None:
        return
    if report.problem or report.exit_code:
        yield Mark("Green", "bad", report.problem or f"exit code {report.exit_code}")
    else:
        yield Mark("Green", "good", "suite passes")


def _review(name: str, review: Review | None) -> Iterator[Mark]:
    if review is None:
        return
    found = _counted(len(review.findings), "remark") if review.findings else "no remarks"
    if not review.approved:
        yield Mark(name, "bad", f"not approved, {found}")
    else:
        yield Mark(name, "mixed" if review.findings else "good", f"approved, {found}")


def _strength(strength: Strength | None) -> Iterator[Mark]:
    if strength is None:
        return
    if strength.reverted is False:
        yield Mark("Without the patch", "bad", "its tests still pass")
    if strength.share is None:
        yield Mark("Mutants", "mixed", strength.problem or "none tried")
        return
    survived = len(strength.survivors)
    verdict = "mixed" if survived else "good"
    yield Mark(
        "Mutants", verdict, f"{strength.share:.0%} noticed{f', {survived} not' * bool(survived)}"
    )


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def remarks(works: tuple[Work, ...]) -> dict[str, dict[int, list[Remark]]]:
    """What reviewers, scanners and surviving mutants say: path -> line -> remarks."""
    found: dict[str, dict[int, list[Remark]]] = {}
    for work in works:
        for path, line, remark in _of(work):
            found.setdefault(path, {}).setdefault(line, []).append(remark)
    return found


def _of(work: Work) -> Iterator[tuple[str, int, Remark]]:
    for review in filter(None, (work.review, work.audit)):
        for one in review.findings:
            yield one.file, one.line, _of_finding(one)
    for mutant in work.strength.survivors if work.strength else ():
        yield mutant.path, mutant.line, _of_mutant(mutant)


def _of_finding(one: Finding) -> Remark:
    return Remark(one.severity.value, one.source, one.why, one.fix)


def _of_mutant(mutant: Mutant) -> Remark:
    said = mutant.sentence().partition(": ")[2]
    return Remark("mutant", mutant.what, said[:1].upper() + said[1:])


def tasks_of(works: tuple[Work, ...], path: str) -> tuple[Work, ...]:
    """The tasks that changed a file."""
    return tuple(work for work in works if work.patch and path in work.patch.paths)
