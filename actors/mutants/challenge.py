"""Mutants meet the tests: each is put into the workspace, the tests run, and it is taken out."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol

from actors.mutants.languages import tongue_of
from actors.mutants.making import mutants, mutated
from orchestration.errors import InfrastructureError
from orchestration.kinds import is_test_path
from orchestration.messages import FileChange
from orchestration.proof import Outcome, TestReport
from orchestration.strength import Fate, Mutant, Strength, Trial

Run = Callable[[float], Awaitable[TestReport]]
"""Run the tests of the workspace as it stands, for at most that many seconds."""

MAX_FILES = 50
SLACK_S = 3.0
PATIENCE = 3.0
"""A mutant gets this many times what the tests take without it, and `SLACK_S`."""
GIT_SECONDS = 60.0


class Ran(Protocol):
    """What a command did (a sandbox's `ExecResult`)."""

    @property
    def exit_code(self) -> int | None: ...
    @property
    def stderr(self) -> bytes: ...


class Place(Protocol):
    """The part of a `Sandbox` that a challenge uses."""

    async def exec(self, command: str | Sequence[str], *, timeout_s: float) -> Ran: ...
    async def read_file(self, path: str, *, offset: int = ..., limit: int = ...) -> bytes: ...
    async def write_file(self, path: str, data: bytes, *, mode: int = ...) -> None: ...
    async def remove(self, path: str) -> None: ...


Read = Callable[[str], Awaitable[bytes]]


async def mutants_of(
    read: Read, added: Mapping[str, Collection[int]], *, limit: int, seed: str
) -> tuple[Mutant, ...]:
    """At most `limit` mutants of a change, taken from its files in turn.

    `read` gives a file of the new commit; `added` are the line numbers that the change adds.
    """
    paths = [path for path in sorted(added) if tongue_of(path) and not is_test_path(path)]
    made = [
        mutants(await read(path), path, added[path], limit=limit, seed=seed)
        for path in paths[:MAX_FILES]
    ]
    turns = sorted(
        (turn, number, mutant)
        for number, of_file in enumerate(made)
        for turn, mutant in enumerate(_shuffled_evenly(of_file))
    )
    return tuple(mutant for _, _, mutant in turns[:limit])


async def challenge(
    place: Place, mutants: Iterable[Mutant], runs: Sequence[Run], *, budget_s: float
) -> Strength:
    """What becomes of each mutant. The workspace is a clean checkout, and is left as one.

    `runs` are tried in order on a mutant until one notices it: first the task's own tests, then
    perhaps the whole suite. Mutants that are left when the runs have taken `budget_s` seconds
    are untried.
    """
    trial = _Challenge(place, budget_s)
    if problem := await trial.prepare(runs):
        return Strength(problem=problem)
    return Strength(trials=tuple([await trial.meet(mutant) for mutant in mutants]))


async def reverted(
    place: Place, base: str, changes: Iterable[FileChange], run: Run, *, timeout_s: float
) -> Strength:
    """Whether the tests fail again without the patch. The workspace is left as it was."""
    sound = await run(timeout_s)
    if problem := _unusable(sound):
        return Strength(problem=problem)
    for change in changes:
        if is_test_path(change.path):
            continue
        if change.status == "A":
            await place.remove(change.path)
        else:
            await _git(place, "checkout", "-q", base, "--", change.path)
    without = await run(timeout_s)
    await _git(place, "reset", "-q", "--hard")
    return Strength(reverted=bool(without.problem) or bool(_lost(sound, without)))


class _Challenge:
    """The tests as they are without mutants, and how much time is left."""

    def __init__(self, place: Place, budget_s: float) -> None:
        self._place = place
        self._left_s = budget_s
        self._sound: list[tuple[Run, TestReport]] = []

    async def prepare(self, runs: Sequence[Run]) -> str:
        """Run the tests without any mutant; why that says nothing, or ""."""
        for run in runs:
            sound = await self._spend(run, self._left_s)
            if problem := _unusable(sound):
                return "" if self._sound else problem
            self._sound.append((run, sound))
        return ""

    async def meet(self, mutant: Mutant) -> Trial:
        if not self._can_afford():
            return Trial(mutant=mutant, fate=Fate.UNTRIED)
        source = await self._place.read_file(mutant.path)
        await self._place.write_file(mutant.path, mutated(source, mutant))
        try:
            return await self._noticed(mutant)
        finally:
            await self._place.write_file(mutant.path, source)

    async def _noticed(self, mutant: Mutant) -> Trial:
        for run, sound in self._sound:
            if self._left_s <= 0:
                break
            fate, by = _fate(mutant, sound, await self._spend(run, _patience(sound)))
            if fate is not Fate.SURVIVED:
                return Trial(mutant=mutant, fate=fate, by=by)
        return Trial(mutant=mutant, fate=Fate.SURVIVED)

    def _can_afford(self) -> bool:
        return bool(self._sound) and self._left_s >= self._sound[0][1].seconds

    async def _spend(self, run: Run, timeout_s: float) -> TestReport:
        report = await run(timeout_s)
        self._left_s -= report.seconds
        return report


def _fate(mutant: Mutant, sound: TestReport, report: TestReport) -> tuple[Fate, str]:
    if report.ended == "timeout":
        return Fate.TIMEOUT, ""
    lost = _lost(sound, report)
    ran = report.with_outcome(Outcome.PASSED, Outcome.FAILED)
    tongue = tongue_of(mutant.path)
    if tongue and tongue.compiled and not ran:
        return Fate.BROKEN, ""
    if report.problem or lost:
        return Fate.KILLED, (lost or [report.problem])[0]
    return Fate.SURVIVED, ""


def _lost(sound: TestReport, report: TestReport) -> list[str]:
    """Tests that passed and do not pass now."""
    passing = {case.id for case in report.with_outcome(Outcome.PASSED)}
    return [case.id for case in sound.with_outcome(Outcome.PASSED) if case.id not in passing]


def _unusable(sound: TestReport) -> str:
    if sound.problem:
        return f"without any mutant, {sound.problem}"
    if not sound.with_outcome(Outcome.PASSED):
        return "without any mutant, no test passes"
    return ""


def _patience(sound: TestReport) -> float:
    return SLACK_S + PATIENCE * sound.seconds


def _shuffled_evenly(found: Sequence[Mutant]) -> list[Mutant]:
    """First the one in the middle, then those between: any beginning is spread over the file."""
    order: list[Mutant] = []
    spans = [(0, len(found))]
    while spans:
        start, end = spans.pop(0)
        if start < end:
            middle = (start + end) // 2
            order.append(found[middle])
            spans += [(start, middle), (middle + 1, end)]
    return order


async def _git(place: Place, *args: str) -> None:
    ran = await place.exec(["git", *args], timeout_s=GIT_SECONDS)
    if ran.exit_code:
        said = ran.stderr.decode(errors="replace")[-300:]
        raise InfrastructureError(f"git {args[0]} failed in the sandbox: {said}")
