"""What must hold when everything is over, whatever went wrong before."""

from collections import Counter
from typing import Any

from tests.faults.plan import Fault

RECOVERS_WITHIN_S = 10.0
"""The last life: waiting for a lease, reading the journal, and all work that was left."""
Verdict = dict[str, Any]


def check(verdict: Verdict, undisturbed: Verdict, *, within_s: float = RECOVERS_WITHIN_S) -> None:
    """The run is done as if nothing had happened, and nothing is left over."""
    told = {k: v for k, v in verdict.items() if k not in {"records", "ran", "asked", "applied"}}
    assert verdict["judged"] == 0, told
    assert verdict["last"] == 0, told
    assert verdict["status"] == "done", told
    assert verdict["output"] == undisturbed["output"], told
    assert results(verdict) == results(undisturbed), told
    assert sorted(verdict["applied"]) == sorted(undisturbed["applied"]), told
    assert verdict["took_s"] < within_s, told
    assert verdict["owner"] == "", "the lease was given back"
    assert not verdict["leaks"], told
    check_journal(verdict)
    check_work(verdict)


def check_actionable(verdict: Verdict) -> None:
    """The run has not ended well, and says what a person can do; no promise is broken."""
    assert verdict["judged"] == 0, verdict["said"]
    assert verdict["status"] != "done"
    told = verdict["said"] + [e for e in [verdict["error"]] if e]
    assert verdict["status"] in {"pending", "running"} or verdict["waits_for"] or told
    assert all(each["what"] and each["fix"] for each in told), told
    check_journal(verdict)
    check_work(verdict)


def check_journal(verdict: Verdict) -> None:
    """Gapless, epochs in order, one DONE and one EFFECT per step, every intent before its end."""
    records = verdict["records"]
    assert [r["seq"] for r in records] == list(range(1, len(records) + 1))
    assert [r["epoch"] for r in records] == sorted(r["epoch"] for r in records)
    for kind in ("done", "effect", "sleeping", "chosen", "finished", "created"):
        times = Counter(r["step_key"] for r in records if r["kind"] == kind)
        assert all(n == 1 for n in times.values()), (kind, times, verdict["plan"])
    claims = [r["epoch"] for r in records if r["kind"] == "claimed"]
    assert claims == list(range(1, len(claims) + 1)), "each owner has an epoch of its own"


def check_work(verdict: Verdict) -> None:
    """No attempt without its intent, none after its step was done; the same for effects."""
    told = verdict["plan"]
    intents = {at(r) for r in verdict["records"] if r["kind"] == "started"}
    ran, asked = list(map(tuple, verdict["ran"])), list(map(tuple, verdict["asked"]))
    assert set(ran) <= intents, told
    assert set(asked) <= set(ran), told
    assert len(ran) == len(set(ran)), told
    assert len(asked) == len(set(asked)), told
    assert late(ran, verdict, "done") == [], told
    assert late(asked, verdict, "effect") == [], told
    assert len(verdict["applied"]) == len(set(verdict["applied"])), told


def late(lines: list[Any], verdict: Verdict, kind: str) -> list[Any]:
    """What was done in a later epoch, or by a later attempt, than its record of this kind."""
    recorded = {r["step_key"]: r for r in verdict["records"] if r["kind"] == kind}
    known = [(line, recorded[line[0]]) for line in lines if line[0] in recorded]
    return [
        (line, record)
        for line, record in known
        if line[1] > record["epoch"] or line[2] > record["attempt"]
    ]


def at(record: Verdict) -> tuple[str, int, int]:
    return record["step_key"], record["epoch"], record["attempt"]


def results(verdict: Verdict) -> dict[str, str]:
    """What each step, item and iteration gave."""
    return {r["step_key"]: r["body"] for r in verdict["records"] if r["kind"] == "done"}


def moments(undisturbed: Verdict) -> list[Fault]:
    """Every boundary of a life: before and after each write, before and after each act."""
    found = [("write", n) for n in range(len(undisturbed["writes"]))]
    found += [("act", n) for n in range(len(undisturbed["applied"]))]
    return [Fault(at=n, on=on, when=when) for on, n in found for when in ("before", "after")]  # type: ignore[arg-type] # pyright: ignore


def named(undisturbed: Verdict) -> dict[str, Fault]:
    """One moment of each name, in the middle of a life."""
    writes: list[str] = undisturbed["writes"]
    intent = [n for n, write in enumerate(writes) if write.endswith("started")][-1]
    done = next(n for n, write in enumerate(writes) if write.startswith("append done"))
    return {
        "before an intent": Fault(at=intent, when="before"),
        "after an intent": Fault(at=intent, when="after"),
        "after an effect": Fault(at=len(undisturbed["applied"]) // 2, on="act", when="after"),
        "after a step": Fault(at=done, when="after"),
    }
