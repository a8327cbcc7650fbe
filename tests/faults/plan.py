"""What is to go wrong: plans that travel as JSON from a test to the driver."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

RUN = "run"
TTL_S = 0.8
"""Lease time in this suite."""


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Fault(Frozen):
    """Something happens before or after the n-th write, act, or other call (from 0) of a life."""

    at: int
    do: Literal[
        "kill", "stop", "wake", "lose", "away", "slow", "block", "jump", "run", "lock", "twice"
    ] = "kill"
    """
    kill: SIGKILL of this process. stop: SIGSTOP of it, and wake: SIGCONT of all that stopped so.
    lose: an error; the write was not made (before), or its acknowledgement is lost (after).
    away: the store fails every call for `seconds`. slow: this call takes `seconds` longer.
    block: the whole process stands still for `seconds`. jump: the owner's clock jumps by them.
    run: the command `argv` is carried out in the run's directory.
    twice: this call is delivered, and after it was carried out delivered again.
    lock: a foreign client of the database locks the run's row for `seconds`.
    """
    when: Literal["before", "after"] = "before"
    on: Literal["write", "act", "get_blob", "put_blob", "read effect"] = "write"
    seconds: float = 0
    argv: tuple[str, ...] = ()


class Life(Frozen):
    """One process that drives the run until it ends, or it dies."""

    faults: tuple[Fault, ...] = ()
    owner: str = "owner"
    engines: int = 1
    """Engines in this process, each an owner of its own."""
    waits: bool = True
    """Wait while somebody else owns the run; otherwise give up."""
    tries: int = 1
    """How often to begin, if the store fails."""
    answers: bool = True
    """Answer what is asked, like a person in a hurry; otherwise end at a suspension."""
    variant: Literal["", "changed", "compatible"] = ""
    skew_s: float = 0
    """How far the owner's clock is ahead."""
    store_skew_s: float = 0
    """How far the embedded store's clock is ahead."""
    loses: float = 0
    """Share of calls to the store that fail, or whose acknowledgement is lost."""
    seed: int = 0
    locked_out: bool = False
    """Another program has the embedded store's file open, for itself alone."""


class Round(Frozen):
    """Lives at the same time; then a pause, in which leases run out."""

    lives: tuple[Life, ...]
    pause_s: float = 0


class Plan(Frozen):
    flow: str
    rounds: tuple[Round, ...] = ()
    last: Life | None = Field(default_factory=Life)
    """The undisturbed life that ends the run, once everything else is over."""
    store: str = ""
    """URL of a database; a directory of its own otherwise."""


def one(*lives: Life, pause_s: float = 0) -> Round:
    return Round(lives=lives, pause_s=pause_s)


def dying(*faults: Fault) -> Life:
    return Life(faults=faults)
