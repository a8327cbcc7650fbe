"""How strong a proof is: small faults that good tests notice, and what became of them."""

from enum import StrEnum

from pydantic import Field

from orchestration.frozen import Frozen


class Mutant(Frozen):
    """A small fault put into a changed line, which good tests notice."""

    path: str
    line: int = Field(ge=1)
    what: str
    """What it does, such as `comparison` or `statement removed`."""
    start: int = Field(ge=0)
    """Byte offset of `before` in the file, which is UTF-8."""
    before: str
    after: str

    def sentence(self) -> str:
        """For the coder: what no test noticed."""
        then = f"`{_short(self.after)}`" if self.after.strip() else "nothing"
        return f"{self.path}:{self.line}: no test fails when `{_short(self.before)}` becomes {then}"


class Fate(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    """A test that passed without it fails."""
    TIMEOUT = "timeout"
    """The tests ran far longer than without it; counts as killed."""
    SURVIVED = "survived"
    BROKEN = "broken"
    """It does not build, so it says nothing."""
    UNTRIED = "untried"
    """The budget was spent."""


class Trial(Frozen):
    """One mutant, and what became of it."""

    mutant: Mutant
    fate: Fate
    by: str = ""
    """The test that killed it."""


class Strength(Frozen):
    """How much of a change its tests hold in place. Parts of one challenge add up."""

    trials: tuple[Trial, ...] = ()
    reverted: bool | None = None
    """Whether the tests fail again without the patch; None when that was not tried."""
    problem: str = ""
    """Why nothing could be tried; empty when sound."""

    def __add__(self, other: "Strength") -> "Strength":
        known = [part.reverted for part in (self, other) if part.reverted is not None]
        return Strength(
            trials=self.trials + other.trials,
            reverted=all(known) if known else None,
            problem=self.problem or other.problem,
        )

    def count(self, *fates: Fate) -> int:
        return sum(trial.fate in fates for trial in self.trials)

    @property
    def survivors(self) -> tuple[Mutant, ...]:
        return tuple(trial.mutant for trial in self.trials if trial.fate is Fate.SURVIVED)

    @property
    def share(self) -> float | None:
        """Killed of those that were tried and build, 0 to 1; None without any."""
        killed = self.count(Fate.KILLED, Fate.TIMEOUT)
        tried = killed + len(self.survivors)
        return killed / tried if tried else None


def _short(code: str) -> str:
    line = " ".join(code.split())
    return line if len(line) <= 80 else f"{line[:77]}..."
