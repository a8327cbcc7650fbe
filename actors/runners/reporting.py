"""From how a command ended to a `TestReport`."""

import re
from collections.abc import Iterable

from actors.runners.runner import Ran
from orchestration.gates import contradiction
from orchestration.ids import CommitId
from orchestration.proof import Outcome, TestCase, TestReport

TAIL = 4000
"""Characters kept of what a run printed."""
MESSAGE = 2000
"""Characters kept of why one test failed."""
_ESCAPES = re.compile(
    r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[@-Z\\^_])"  # CSI, OSC, the rest
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"  # controls, text direction
)
_WORST_LAST = (Outcome.PASSED, Outcome.SKIPPED, Outcome.ERROR, Outcome.FAILED)
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Exit|Interrupt|Warning|Failed)\b")


def clean(text: str | bytes, limit: int = TAIL) -> str:
    """The end of what a program printed, as text that cannot drive a terminal."""
    if isinstance(text, bytes):
        text = text[-4 * limit :].decode(errors="replace")
    return _ESCAPES.sub("", text.replace("\r\n", "\n"))[-limit:].strip()


def message_of(crash: str, text: str) -> str:
    """Why a test failed: first the exception in one line, then the end of the runner's text."""
    first = crash.strip().partition("\n")[0]
    return clean(f"{first or headline(text)}\n{clean(text, MESSAGE - 300)}", MESSAGE)


def headline(text: str) -> str:
    """The line of a traceback that names the exception."""
    lines = [line for line in text.splitlines() if line.strip()]
    marked = [line[1:].strip() for line in lines if re.match(r"E\s", line)] or lines[-1:]
    named = [line for line in marked if _EXCEPTION.match(line)]
    return (named[-1:] or marked[:1] or ["no message"])[0][:300]


def merged(cases: Iterable[TestCase]) -> tuple[TestCase, ...]:
    """One case per id: where a test was reported more than once, its worst outcome holds."""
    worst: dict[str, TestCase] = {}
    for case in cases:
        seen = worst.get(case.id)
        if not seen or _WORST_LAST.index(case.outcome) > _WORST_LAST.index(seen.outcome):
            worst[case.id] = case
    return tuple(worst.values())


def report(
    ran: Ran,
    commit: CommitId,
    command: str,
    *,
    cases: Iterable[TestCase] = (),
    problem: str = "",
) -> TestReport:
    """A report whose `problem` also says where exit code and cases contradict each other."""
    made = TestReport(
        commit=commit,
        command=command,
        cases=merged(cases),
        exit_code=ran.exit_code,
        ended=ran.ended,
        seconds=ran.seconds,
        tail=clean(ran.stdout + (b"\n" + ran.stderr if ran.stderr else b"")),
    )
    return made.model_copy(update={"problem": problem or contradiction(made)})


def ending(ran: Ran, timeout_s: float) -> str:
    """Why a command did not come to its end by itself, or ""."""
    match ran.ended:
        case "exited":
            return ""
        case "timeout":
            return f"the tests ran longer than {timeout_s:.0f} s"
        case "signaled":
            return f"the test process was killed by signal {ran.signal}"
        case "oom":
            return "the tests used more memory than the sandbox allows"
        case "output_limit":
            return "the tests printed more than the sandbox allows"
        case other:
            return f"the test run ended by {other}"
